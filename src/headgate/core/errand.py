"""The errands: what a gate and its workers say to each other, each kind in frames of its own that carry many."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TypeVar

import msgspec

from headgate.core import wire
from headgate.core.message import Message
from headgate.errors import BadRequest, FrameMalformed

T = TypeVar("T")
ROOM = 4096  # bytes of a frame that are not messages


class Kind(IntEnum):
    """What a frame is about."""

    WORK = 16  # gate to worker: portions
    STOP = 17  # gate to worker: finish what you have, and go
    HERE = 32  # worker to gate: I am this process, and load what I need
    READY = 33  # I can work
    FAILED = 34  # I cannot, and why
    MADE = 35  # a part of what a portion made
    RAN = 36  # what became of portions
    BEAT = 37  # I am alive
    LOGS = 38  # lines of my log
    LEAVING = 39  # I go; what I did not say anything about was not begun


TO_WORKER = (Kind.WORK, Kind.STOP)
TO_GATE = tuple(kind for kind in Kind if kind not in TO_WORKER)


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """Why some messages of a portion, one after the other, could not be handled."""

    index: int
    count: int
    reason: str
    trace: str = ""
    retriable: bool = False  # it may work at another time
    timed_out: bool = False


class Portion(msgspec.Struct, frozen=True, array_like=True):
    """Messages of one input of a node."""

    id: int
    node: str
    stream: str
    messages: bytes


class Made(msgspec.Struct, frozen=True, array_like=True):
    """Some of what a portion made for one output."""

    id: int
    output: int
    messages: bytes


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of a portion. What it made came before, as far as it is not here."""

    id: int
    seen: int
    made: int
    outputs: Sequence[bytes]
    faults: Sequence[Fault]


class Here(msgspec.Struct, frozen=True, array_like=True):
    """A worker's process."""

    pid: int


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """How a worker is."""

    cpu_seconds: float = 0.0
    resident_bytes: int = 0


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A line of a worker's log."""

    level: int
    logger: str
    text: str
    created: float
    facts: Mapping[str, str | int | float | bool | None]


class Said(msgspec.Struct, frozen=True, array_like=True):
    """Some words."""

    text: str = ""


_TYPES: Mapping[int, type] = {
    Kind.WORK: list[Portion],
    Kind.STOP: Said,
    Kind.HERE: Here,
    Kind.READY: Said,
    Kind.FAILED: Said,
    Kind.MADE: Made,
    Kind.RAN: list[Outcome],
    Kind.BEAT: Beat,
    Kind.LOGS: list[Line],
    Kind.LEAVING: Said,
}
_decoders: Mapping[int, "msgspec.msgpack.Decoder[object]"] = {
    kind: msgspec.msgpack.Decoder(type_) for kind, type_ in _TYPES.items()
}
encode = msgspec.msgpack.Encoder().encode


def decode(kind: int, payload: bytes) -> object:
    """What a frame says. May raise `FrameMalformed`."""
    try:
        return _decoders[kind].decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameMalformed(f"a frame of kind {kind} says nothing: {error}") from None


def messages_of(body: bytes) -> list[Message[bytes]]:
    """The messages in it. May raise `FrameMalformed`."""
    try:
        return wire.unpack(body)
    except BadRequest as error:
        raise FrameMalformed(str(error)) from None


def frames_of(items: Sequence[T], sizes: Sequence[int], limit: int) -> list[list[T]]:
    """Items in as many lists as frames are needed for them."""
    lists: list[list[T]] = []
    room = 0
    for item, size in zip(items, sizes, strict=True):
        if not lists or size > room:
            lists.append([])
            room = limit
        lists[-1].append(item)
        room -= size
    return lists


def fitting(messages: Sequence[Message[bytes]], limit: int) -> int:
    """How many of the first messages go into one frame; 0 when the first one alone does not."""
    room = limit - ROOM
    for count, message in enumerate(messages):
        room -= weight(message)
        if room < 0:
            return count
    return len(messages)


def weight(message: Message[bytes]) -> int:
    """About how many bytes of a frame a message takes; not less than it does."""
    headers = sum([len(name) * 4 + len(value) + 16 for name, value in message.headers])
    names = 4 * (len(message.stream.kind) + len(message.stream.name))
    return len(message.value) + len(message.key or b"") + headers + names + 64
