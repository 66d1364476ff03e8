"""The command: what a client asks of a device, what is allowed, and the message that goes to its connector.

A command type is data: a JSON Schema for the payload, protocols, how long it is of use, and defaults.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from headgate.core.codec import decode_json, encode_json
from headgate.core.command_status import FEEDBACK
from headgate.core.nearest import nearest
from headgate.errors import CodecError, InvalidCommand

Name = Annotated[str, Meta(min_length=1, max_length=256)]
LATEST = 253_370_764_800.0  # seconds since the epoch: the year 9999, in any time zone
PROTOCOLS = ("mqtt", "coap")
HIGHEST_PRIORITY = 9
COMMAND_ID = re.compile(r"[0-9A-Za-z._:-]{1,128}", re.ASCII)
_PLACE = re.compile(r"(?: - at `\$?(.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


class CommandRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A command, as a client sends it."""

    device_id: Name
    command_type: Name
    payload: dict[str, Any]
    protocol: Name
    parser_script_ref: str | None = None
    metadata: dict[str, Any] | None = None
    qos: Annotated[int, Meta(ge=0, le=2)] | None = None
    retain: bool | None = None
    confirmable: bool | None = None
    request_id: str | None = None
    priority: Annotated[int, Meta(ge=0, le=HIGHEST_PRIORITY)] | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None


class CommandMessage(Struct, kw_only=True):
    """A command, as connectors read it from the stream. What is null is told; the last two only when they are given."""

    request_id: str
    timestamp: datetime
    device_id: str
    command_type: str
    payload: dict[str, Any]
    protocol: str
    parser_script_ref: str | None
    metadata: dict[str, Any] | None
    qos: int | None
    retain: bool | None
    confirmable: bool | None
    priority: int | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class CommandType:
    """What is allowed of one type of commands. `check` tells what is wrong with a payload, and where."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    check: Callable[[Mapping[str, Any]], str | None] | None = None
    protocols: tuple[str, ...] = ()  # none: all that the interface knows
    expires: float | None = None  # seconds after which it is of no use
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by protocol


class Catalog:
    """What an interface allows."""

    def __init__(
        self, types: Sequence[CommandType] = (), *, closed: bool = False, protocols: Collection[str] = PROTOCOLS
    ) -> None:
        self.types = {kind.name: kind for kind in types}
        self.closed = closed  # a type that is not in it is refused
        self.protocols = tuple(protocols)

    def __repr__(self) -> str:
        return f"<Catalog: {len(self.types)} types, {'no' if self.closed else 'and'} others>"

    def read(self, text: bytes | msgspec.Raw, now: datetime, *, again: bool = False) -> CommandRequest:
        """The command of a JSON text, with what it leaves out filled in. Raises an `InvalidCommand`.

        One that may have been sent before, `again`, may be over by now.
        """
        try:
            request = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise InvalidCommand(_told(error)) from None
        self._check_protocol(request)
        _check_forms(request)
        _check_times(request, None if again or request.request_id is not None else now)
        kind = self.types.get(request.command_type)
        if kind is not None:
            _complete(request, kind, now)
        elif self.closed:
            hint = nearest(request.command_type, self.types)
            raise InvalidCommand(f"command_type: there is no type {request.command_type[:80]!r} here{hint}")
        return request

    def _check_protocol(self, request: CommandRequest) -> None:
        request.protocol = request.protocol.lower()
        if request.protocol not in self.protocols:
            known = ", ".join(self.protocols)
            raise InvalidCommand(f"protocol: {request.protocol[:80]!r} is not one of {known}")


_decode = msgspec.json.Decoder(CommandRequest).decode


def _check_forms(request: CommandRequest) -> None:
    if request.request_id is not None and not COMMAND_ID.fullmatch(request.request_id):
        raise InvalidCommand("request_id: must be 1 to 128 letters, digits, and . _ : -")
    script = request.parser_script_ref
    if script is not None and not (script.endswith(".py") and len(script) <= 256):
        raise InvalidCommand("parser_script_ref: must be the name of a script that ends in .py")
    if request.command_type == FEEDBACK:
        raise InvalidCommand("command_type: feedback is what devices answer with; it is no command")
    if "\0" in request.device_id or "\0" in request.command_type:
        raise InvalidCommand("device_id and command_type must not hold a NUL")


def _complete(request: CommandRequest, kind: CommandType, now: datetime) -> None:
    if kind.protocols and request.protocol not in kind.protocols:
        known = ", ".join(kind.protocols)
        raise InvalidCommand(f"protocol: {kind.name} goes over {known}, not over {request.protocol}")
    if kind.check is not None and (wrong := kind.check(request.payload)) is not None:
        raise InvalidCommand(wrong)
    for name, value in kind.defaults.get(request.protocol, {}).items():
        if name == "metadata":
            request.metadata = {**value, **(request.metadata or {})}
        elif getattr(request, name) is None:
            setattr(request, name, value)
    if kind.expires is not None and request.expires_at is None:
        begins = now if request.not_before is None else max(now, request.not_before)
        request.expires_at = datetime.fromtimestamp(min(begins.timestamp() + kind.expires, LATEST), UTC)


def _check_times(request: CommandRequest, now: datetime | None) -> None:
    for name in ("not_before", "expires_at"):
        moment = getattr(request, name)
        if moment is not None and moment.tzinfo is None:
            raise InvalidCommand(f"{name}: has no time zone; append Z for UTC")
        if moment is not None and not 0 <= moment.timestamp() < LATEST:
            raise InvalidCommand(f"{name}: must be between 1970 and 9999")
    if request.expires_at is not None:
        if now is not None and request.expires_at <= now:
            raise InvalidCommand("expires_at: is over already")
        if request.not_before is not None and request.expires_at <= request.not_before:
            raise InvalidCommand("expires_at: is before not_before")


def message_of(request: CommandRequest, request_id: str, now: datetime) -> bytes:
    """What is published of a command. Raises an `InvalidCommand`."""
    message = CommandMessage(
        request_id=request_id,
        timestamp=now,
        device_id=request.device_id,
        command_type=request.command_type,
        payload=request.payload,
        protocol=request.protocol,
        parser_script_ref=request.parser_script_ref,
        metadata=request.metadata,
        qos=request.qos,
        retain=request.retain,
        confirmable=request.confirmable,
        priority=UNSET if request.priority is None else request.priority,
        expires_at=UNSET if request.expires_at is None else request.expires_at.astimezone(UTC),
    )
    try:
        return encode_json(message)
    except CodecError as error:
        raise InvalidCommand(str(error)) from None


def commands_of(body: bytes, most: int) -> list[msgspec.Raw]:
    """The texts of the commands of a batch, each by itself. Raises an `InvalidCommand`."""
    try:
        batch = _decode_batch(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCommand(_told(error)) from None
    if len(batch.commands) > most:
        raise InvalidCommand(f"commands: {len(batch.commands)} are over the limit of {most} in one batch")
    return batch.commands


class _Batch(Struct, forbid_unknown_fields=True):
    commands: list[msgspec.Raw]


_decode_batch = msgspec.json.Decoder(_Batch).decode


def _told(error: Exception) -> str:
    """What the decoder has against a text, with the field before it."""
    if isinstance(error, RecursionError):
        return "the command is nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return f"the body is not JSON: {error}"
    text = str(error)
    place = _PLACE.search(text)
    path = (place[1] if place and place[1] else "").removeprefix(".").replace("[", ".").replace("]", "").strip(".")
    words = text[: place.start()] if place else text
    if match := _MISSING.fullmatch(words):
        return f"{_joined(path, match[1])}: is missing"
    if match := _UNKNOWN.fullmatch(words):
        hint = nearest(match[1], CommandRequest.__struct_fields__)
        return f"{_joined(path, match[1][:80])}: there is no such field{hint}"
    words = words.replace("`", "").replace("Expected", "expected")
    return f"{path}: {words}" if path else words


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class SeenMessage(Struct, kw_only=True):
    """What is of interest in a message of the stream of commands, or of answers to them."""

    request_id: str
    device_id: str = ""
    command_type: str = ""
    protocol: str = ""
    timestamp: datetime | None = None
    expires_at: datetime | None = None
    priority: int | None = None
    status: str | None = None
    payload: dict[str, Any] | None = None
    message: str | None = None


_decode_seen = msgspec.json.Decoder(SeenMessage, strict=False).decode


def seen(text: bytes) -> SeenMessage | None:
    """A command or an answer that is on the stream; None for what is neither."""
    found: SeenMessage | None
    try:
        found = _decode_seen(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        found = _leniently(text)
    return found if found is not None and COMMAND_ID.fullmatch(found.request_id) else None


def _leniently(text: bytes) -> SeenMessage | None:
    """Others write their messages, too: all that has to be right is whom it is about."""
    try:
        value = decode_json(text)
    except CodecError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("request_id"), str):
        return None
    texts = {
        name: value[name] for name in ("device_id", "command_type", "protocol") if isinstance(value.get(name), str)
    }
    more = {
        name: value[name] for name, kind in (("status", str), ("payload", dict)) if isinstance(value.get(name), kind)
    }
    return SeenMessage(request_id=value["request_id"], **texts, **more)
