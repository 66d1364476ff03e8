"""Settings over HTTP: `GET` gives all of them, now or when one changes, `POST` sets some, `DELETE` takes one away."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from headgate.core.codec import decode_json
from headgate.core.position import Position
from headgate.core.settings import Entry, Key
from headgate.core.wire import JSON
from headgate.errors import BadRequest, CodecError, NotFound, SettingRefused, UnsupportedMedia
from headgate.interface.exchange import Request, Response, json
from headgate.interface.poll import MOST_WAIT, Drained
from headgate.interface.route import Answer, Parameter, Route
from headgate.runtime.config.channel import Ack, Channel
from headgate.runtime.tasks import finish_or_cancel
from headgate.transport.bell import Deadline

MOST = 1000  # settings in one request


class _Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One setting in a request."""

    key: str
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    restore: int | msgspec.UnsetType = msgspec.UNSET  # the version whose value it gets
    message_id: str | None = None
    if_version: int | None = None


_several = msgspec.json.Decoder(list[_Asked])
_one = msgspec.json.Decoder(_Asked)


def config_routes(path: str, channel: Channel, drained: Drained) -> list[Route]:
    """The routes of a config interface. `drained` returns when the gate shuts down and nobody may wait longer."""
    return [
        Route("GET", path, partial(_get, channel, drained), "Read settings", "config", _READ, answers=_GIVEN),
        Route("POST", path, partial(_set, channel), "Set settings", "config", body={JSON: _BODY}, answers=_SET),
        Route("DELETE", path, partial(_unset, channel), "Take a setting away", "config", _UNSET, answers=_SET),
    ]


async def _get(channel: Channel, drained: Drained, request: Request) -> Response:
    _refuse_unknown(request, _READ)
    after, wait = request.parameter("after"), _seconds(request.parameter("wait"))
    if after is not None and wait:
        place = Position.parse(after)
        await request.unless_gone(finish_or_cancel(_moved(channel, place, wait), drained))
    key = request.parameter("key")
    answer = _all(channel) if key is None else _single(channel, Key.parse(key))
    return json(answer, Cache_Control="no-store")


async def _moved(channel: Channel, place: Position, seconds: float) -> None:
    """Wait until the settings are others than at a place."""
    deadline = Deadline(seconds)
    while channel.place == place and await channel.news.wait(deadline.left()):
        pass


def _all(channel: Channel) -> dict[str, Any]:
    entries = sorted((entry for entry in channel.settings.entries.values() if entry.is_set), key=lambda e: e.key)
    return {
        "device": channel.service,
        "position": str(channel.place),
        "values": {str(entry.key): msgspec.Raw(entry.text) for entry in entries},
        "schema": channel.declared.schema(),
    }


def _single(channel: Channel, key: Key) -> dict[str, Any]:
    entry = channel.settings.entries.get(key)
    if entry is None or not entry.is_set:
        raise NotFound(f"{key} is not set")
    history = channel.settings.history.get(key, ())
    return {"key": str(key), **_told(entry), "history": [_told(older) for older in reversed(history)]}


def _told(entry: Entry) -> dict[str, Any]:
    value = msgspec.Raw(entry.text or b"null")
    told = {"value": value, "version": entry.version, "timestamp": entry.timestamp, "message_id": entry.message_id}
    return told if entry.is_set else told | {"removed": True}


async def _set(channel: Channel, request: Request) -> Response:
    # A page of another site may send a form or plain text unasked, but not JSON.
    if (request.header("content-type") or JSON).partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMedia(f"settings come as {JSON}")
    body = await request.body()
    asked = _read(body)
    acks = [await _attempt(channel, item) for item in asked]
    return _answer(acks, several=body.lstrip()[:1] == b"[")


def _read(body: bytes) -> Sequence[_Asked]:
    try:
        asked = _several.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f'not a setting as {{"key": "source/service/name", "value": ..}}: {error}') from None
    if len(asked) > MOST:
        raise BadRequest(f"{len(asked)} settings are over the limit of {MOST} in one request")
    return asked


async def _attempt(channel: Channel, asked: _Asked) -> Ack:
    message_id = asked.message_id or secrets.token_hex(8)
    try:
        key = Key.parse(asked.key)
        return await channel.set(key, _text(channel, key, asked), message_id, asked.if_version)
    except (SettingRefused, CodecError) as error:
        channel.stats.refused += 1
        return Ack(message_id, channel.service, error)


def _text(channel: Channel, key: Key, asked: _Asked) -> bytes:
    """The JSON of the value that is asked for."""
    if isinstance(asked.value, msgspec.Raw) and asked.restore is msgspec.UNSET:
        text = bytes(asked.value)
        decode_json(text)  # a number may be beyond what anybody can read
        return text
    if isinstance(asked.restore, int) and asked.value is msgspec.UNSET:
        kept = (entry for entry in channel.settings.history.get(key, ()) if entry.version == asked.restore)
        if (entry := next(kept, None)) is None:
            raise SettingRefused(f"{key} has no version {asked.restore} that is still known")
        return entry.text
    raise SettingRefused(f"{key}: give it a value, or a version to restore")


async def _unset(channel: Channel, request: Request) -> Response:
    _refuse_unknown(request, _UNSET)
    key = Key.parse(request.parameter("key") or "")
    expects = request.parameter("if_version")
    if expects is not None and not expects.isdecimal():
        raise BadRequest(f"if_version is a number, not {expects!r:.80}")
    ack = await channel.set(key, b"", secrets.token_hex(8), None if expects is None else int(expects))
    return _answer([ack], several=False)


def _answer(acks: Sequence[Ack], *, several: bool) -> Response:
    refused = [ack.error for ack in acks if ack.error is not None]
    status = 200 if not refused else refused[0].status if len(refused) == len(acks) else 207
    told = [_form(ack) for ack in acks]
    response = json(told if several else told[0], status)
    response.failed = refused[0].code if refused else None
    return response


def _form(ack: Ack) -> dict[str, Any]:
    if ack.error is None:
        return ack.told() | {"version": ack.version}
    return ack.told() | {"error": str(ack.error), "type": ack.error.code}


def _refuse_unknown(request: Request, known: Sequence[Parameter]) -> None:
    names = [parameter.name for parameter in known]
    if unknown := request.query.keys() - set(names):
        raise BadRequest(f"query parameter {min(unknown)[:80]!r} is unknown; there are {', '.join(names)}")


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        raise BadRequest(f"wait must be a number, not {text!r:.80}") from None
    if not 0 <= seconds <= MOST_WAIT:
        raise BadRequest(f"wait must be between 0 and {MOST_WAIT:g}, not {text!r:.80}")
    return seconds


_KEY = Parameter("key", "The key: `source/service/name`.", {"type": "string"})
_READ = [
    _KEY,
    Parameter("after", "Wait until the settings are others than at this position.", {"type": "string"}),
    Parameter("wait", "For so many seconds.", {"type": "number", "minimum": 0, "maximum": MOST_WAIT, "default": 0}),
]
_UNSET = [
    Parameter(_KEY.name, _KEY.meaning, _KEY.schema, required=True),
    Parameter("if_version", "Only if it has this version.", {"type": "integer", "minimum": 0}),
]
_SETTING: dict[str, Any] = {
    "type": "object",
    "required": ["key"],
    "additionalProperties": False,
    "properties": {
        "key": {"type": "string", "description": "`source/service/name`; * is every source or service."},
        "value": {"description": "Any JSON, or what the service's schema says."},
        "restore": {"type": "integer", "description": "Instead of a value: the version whose value it gets."},
        "message_id": {"type": "string", "description": "What the acknowledgement is to call it."},
        "if_version": {"type": "integer", "description": "Only if it has this version; 0 if it is not set."},
    },
}
_ACK: dict[str, Any] = {
    "type": "object",
    "required": ["message_id", "device", "response", "message"],
    "properties": {
        "message_id": {"type": "string"},
        "device": {"type": "string"},
        "response": {"type": "string", "enum": ["ACK", "ERR"]},
        "message": {"type": "string"},
        "version": {"type": "integer"},
        "error": {"type": "string"},
        "type": {"type": "string"},
    },
}
_BODY: dict[str, Any] = {"oneOf": [_SETTING, {"type": "array", "items": _SETTING, "maxItems": MOST}]}
_ACKS = {JSON: {"oneOf": [_ACK, {"type": "array", "items": _ACK}]}}
_GIVEN = [
    Answer(200, "The settings, and in `position` how new they are.", {JSON: {"type": "object"}}),
    Answer(400, "A parameter is wrong."),
    Answer(404, "This key is not set."),
    Answer(422, "This is no key."),
]
_SET = [
    Answer(200, "It counts.", _ACKS),
    Answer(207, "Some count; the acknowledgements of the others say why not.", _ACKS),
    Answer(400, "The request cannot be read."),
    Answer(409, "It has another version; nothing was changed.", _ACKS),
    Answer(413, "The body is over the limit."),
    Answer(415, "The body is of a type that is not read here."),
    Answer(422, "It is refused; nothing was changed.", _ACKS),
    Answer(503, "The stream of the settings cannot be reached."),
]
