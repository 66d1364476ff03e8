"""The position: a place between the messages of a stream, and the ways to name one to start at.

A position is an epoch (which life of the stream) and, for each partition, the offset of the next
message. Everything before it has been seen. A partition that it does not name is read from its beginning.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from headgate.core.message import Message
from headgate.errors import PositionError

_SINGLE = re.compile(r"([0-9A-Za-z_-]{1,64}):(\d{1,19})", re.ASCII)
_VECTOR = re.compile(r"([0-9A-Za-z_-]{1,64}):(\d{1,9}-\d{1,19}(?:,\d{1,9}-\d{1,19}){0,9999})", re.ASCII)
_HIGHEST = 2**63 - 1


UNKNOWN = "unknown"  # the epoch of a place that nobody can tell yet


class Position(msgspec.Struct, frozen=True):
    """A place in a stream. As text: `epoch:offset`, or `epoch:partition-offset,...`."""

    epoch: str
    offsets: Mapping[int, int]

    @classmethod
    def single(cls, epoch: str, offset: int) -> "Position":
        """The place before `offset` in a stream that has one partition."""
        return cls(epoch, {0: offset})

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read a position's text form; a `PositionError` for anything else."""
        if match := _SINGLE.fullmatch(text):
            return cls(match[1], {0: _offset(match[2])})
        if match := _VECTOR.fullmatch(text):
            pairs = [item.split("-") for item in match[2].split(",")]
            offsets = {int(partition): _offset(offset) for partition, offset in pairs}
            if len(offsets) == len(pairs):
                return cls(match[1], offsets)
        raise PositionError(f"{text[:80]!r} is not a position; take one from an answer of this stream")

    @property
    def is_known(self) -> bool:
        """Whether it is a place at all: a broker that is away has not said yet where a reader is."""
        return self.epoch != UNKNOWN

    @property
    def offset(self) -> int:
        """The next offset of the first partition: all there is to say of a stream with one."""
        return self.offsets.get(0, 0)

    def after(self, message: "Message[bytes]") -> "Position":
        """This place moved to just after `message`."""
        return Position(self.epoch, {**self.offsets, message.partition: message.offset + 1})

    def before(self, messages: "Sequence[Message[bytes]]") -> "Position":
        """This place moved back to before `messages`, which are the last ones before it."""
        return Position(self.epoch, {**self.offsets, **{m.partition: m.offset for m in reversed(messages)}})

    def furthest(self, other: "Position") -> "Position":
        """In each partition the place that is further on."""
        pairs = [*self.offsets.items(), *other.offsets.items()]
        return Position(self.epoch, {p: max(self.offsets.get(p, 0), other.offsets.get(p, 0)) for p, _ in pairs})

    def __str__(self) -> str:
        if self.offsets.keys() == {0}:
            return f"{self.epoch}:{self.offsets[0]}"
        return f"{self.epoch}:" + ",".join(f"{p}-{o}" for p, o in sorted(self.offsets.items()))


def _offset(text: str) -> int:
    if (offset := int(text)) > _HIGHEST:
        raise PositionError(f"{text} is too large for an offset")
    return offset


class Batch(msgspec.Struct, frozen=True):
    """What one read gave: messages, the place after them, and how many fell away before them."""

    messages: "Sequence[Message[bytes]]"
    position: Position
    missed: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """Where a batch was kept: an offset for each message, in its order."""

    epoch: str
    offsets: Sequence[int]
    partitions: Sequence[int] | None = None

    def positions(self) -> Iterator[Position]:
        """The place just after each message."""
        partitions = self.partitions or [0] * len(self.offsets)
        for partition, offset in zip(partitions, self.offsets, strict=True):
            yield Position(self.epoch, {partition: offset + 1})


@dataclass(frozen=True, slots=True)
class Oldest:
    """Start with the oldest message that is kept."""


@dataclass(frozen=True, slots=True)
class Newest:
    """Start with the next message that is published."""


@dataclass(frozen=True, slots=True)
class At:
    """Start at this place."""

    position: Position


@dataclass(frozen=True, slots=True)
class Since:
    """Start with the first message whose timestamp (ns) is this or later."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class Last:
    """Start so many messages before the end (of each partition)."""

    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Start with the latest message of each key. No transport knows this: who follows a stream has it."""


Start = Oldest | Newest | At | Since | Last


_LAST = re.compile(r"last:(\d{1,12})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[ +-]\d\d:\d\d)?", re.ASCII)


def parse_start(text: str) -> Start:
    """`oldest`, `newest`, `last:N`, a moment (RFC 3339) or a position."""
    if text in ("oldest", "newest"):
        return Oldest() if text == "oldest" else Newest()
    if match := _LAST.fullmatch(text):
        return Last(int(match[1]))
    if _DAY.match(text):
        return Since(_nanoseconds(text))
    try:
        return At(Position.parse(text))
    except PositionError:
        raise PositionError(
            f"{text[:80]!r} is no place to start: use oldest, newest, last:N, an RFC 3339 time or a position"
        ) from None


def _nanoseconds(text: str) -> int:
    match = _MOMENT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, time, fraction, zone = match.groups()
        # A plus sign in a query string arrives as a space.
        moment = datetime.fromisoformat(f"{day}T{time}{(zone or 'Z').upper().replace(' ', '+')}")
    except ValueError:
        raise PositionError(f"{text[:80]!r} is not an RFC 3339 time") from None
    if zone is None:
        raise PositionError(f"{text[:80]!r} has no time zone; append Z for UTC")
    nanoseconds = int(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
    return min(max(0, nanoseconds), _HIGHEST)
