"""The window: the last messages of a stream as they came, from all its partitions, ready to be given again.

A stream's own numbers are one series for each partition; here every message has one number, in the order of
arrival. Whoever follows the stream is a number in this series.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from headgate.core.codec import Codec
from headgate.core.match import Selection
from headgate.core.message import Message
from headgate.core.position import Batch, Position
from headgate.errors import CodecError


class Gap(msgspec.Struct, frozen=True):
    """What a reader is told that it missed, and between which places."""

    missed: int | None  # None: nobody can say, for the stream began afresh
    of: str  # what is counted: messages of the `stream`, so that it is at most as many, or the `subscription`'s own
    reason: str  # overtaken, expired or restarted
    begin: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")


def gap_before(batch: Batch, place: Position | None) -> Gap | None:
    """What a reader that was at this place missed before a batch that it was given; None when that is nothing."""
    before = batch.position.before(batch.messages)
    restarted = place is not None and place.epoch != before.epoch
    if not batch.missed and not restarted:
        return None
    return Gap(
        missed=None if restarted else batch.missed,
        of="stream",
        reason="restarted" if restarted else "expired",
        begin=str(place or ""),
        end=str(before),
    )


class Rendering(Protocol):
    """How messages look to one kind of reader. Two that are equal render alike."""

    def frame(self, message: Message[bytes], place: str) -> bytes:
        """One message, and the place after it."""
        ...

    def gap(self, gap: Gap) -> bytes:
        """The word that something was missed."""
        ...

    def __hash__(self) -> int: ...


class Entry:
    """A message in the window, with what was made of it for its readers: each of them made once."""

    __slots__ = ("_codec", "_frames", "_value", "before", "message", "place")

    def __init__(self, message: Message[bytes], place: str, codec: Codec[Any], before: int = -1) -> None:
        self.message = message
        self.place = place
        self.before = before  # the number of the message before it that has its key; -1: there is none
        self._codec = codec
        self._frames: dict[Hashable, bytes] | None = None
        self._value: Any = _NOT_DECODED

    @property
    def weight(self) -> int:
        """About how many bytes it takes, beside what was made of it."""
        message = self.message
        headers = sum(len(name) + len(data) for name, data in message.headers)
        return _OVERHEAD + len(message.value) + len(message.key or b"") + headers + len(self.place)

    def decoded(self) -> Any:
        """The message's value; None when its codec refuses it."""
        if self._value is _NOT_DECODED:
            try:
                self._value = self._codec.decode(self.message.value)
            except CodecError:
                self._value = None
        return self._value

    def frame(self, rendering: Rendering) -> bytes:
        """The message as this kind of reader sees it."""
        if self._frames is None:
            self._frames = {}
        if (frame := self._frames.get(rendering)) is None:
            frame = self._frames[rendering] = rendering.frame(self.message, self.place)
        return frame


_NOT_DECODED = object()
_OVERHEAD = 512  # bytes that an entry takes beside what varies


class Window:
    """Keeps at most so many `messages`, and about so many bytes (`size`)."""

    def __init__(self, codec: Codec[Any], *, messages: int, size: int) -> None:
        self.capacity, self.most_bytes = messages, size
        self.epoch = ""
        self.oldest = self.newest = 0  # `newest` is the number that the next message gets
        self.lost = 0  # messages of the stream that never came here
        self._codec = codec
        self._entries: dict[int, Entry] = {}
        self._last: dict[bytes, int] = {}  # key -> the number of its last message
        self._reach: dict[int, int] = {}  # partition -> the offset from which on all is here
        self._head: dict[int, int] = {}  # partition -> the offset that comes next
        self._texts: dict[int, str] = {}
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Window {self.oldest}..{self.newest}: {self._bytes} bytes>"

    def __getitem__(self, number: int) -> Entry:
        return self._entries[number]

    @property
    def head(self) -> Position:
        """The place after the newest message."""
        return Position(self.epoch, dict(self._head))

    @property
    def tail(self) -> Position:
        """The place before the oldest message that is here."""
        return Position(self.epoch, dict(self._reach))

    def place_before(self, number: int) -> str:
        """The place before the message of this number, as text."""
        before = self._entries.get(number - 1)
        return before.place if before else str(self.tail if number <= self.oldest else self.head)

    def restart(self, position: Position, missed: int = 0) -> None:
        """Begin anew at a place: what comes next does not follow on what is here."""
        self.epoch = position.epoch
        self.lost += missed
        self.oldest = self.newest
        self._entries.clear()
        self._last.clear()
        self._bytes = 0
        self._reach, self._head = dict(position.offsets), dict(position.offsets)
        self._texts = {partition: f"{partition}-{offset}" for partition, offset in sorted(self._head.items())}

    def append(self, batch: Batch) -> range:
        """Keep a batch that follows on what is here, and give its numbers. `trim` when all had it."""
        first = self.newest
        for message in batch.messages:
            key = message.key
            before = -1 if key is None else self._last.get(key, -1)
            entry = Entry(message, self._place_after(message), self._codec, before)
            self._entries[self.newest] = entry
            self._bytes += entry.weight
            if key is not None:
                self._last[key] = self.newest
            self.newest += 1
        for partition, offset in batch.position.offsets.items():
            if self._head.get(partition) != offset:
                self._step(partition, offset)
        return range(first, self.newest)

    def trim(self) -> None:
        """Let go of the oldest that are too many or too large."""
        while len(self._entries) > self.capacity or (self._entries and self._bytes > self.most_bytes):
            self._drop_oldest()

    def _place_after(self, message: Message[bytes]) -> str:
        self._step(message.partition, message.offset + 1)
        if self._head.keys() == {0}:
            return f"{self.epoch}:{message.offset + 1}"
        return f"{self.epoch}:{','.join(self._texts.values())}"

    def _step(self, partition: int, offset: int) -> None:
        if partition not in self._head:  # a partition that was added: all of it is here
            self._reach[partition] = 0
            self._texts[partition] = ""
            self._texts = dict(sorted(self._texts.items()))
        self._head[partition] = offset
        self._texts[partition] = f"{partition}-{offset}"

    def _drop_oldest(self) -> None:
        entry = self._entries.pop(self.oldest)
        message = entry.message
        self._reach[message.partition] = message.offset + 1
        self._bytes -= entry.weight
        if message.key is not None and self._last[message.key] == self.oldest:
            del self._last[message.key]
        self.oldest += 1

    def covers(self, position: Position) -> bool:
        """Whether all that comes after this place is here, or will come."""
        return position.epoch == self.epoch and all(
            position.offsets.get(partition, 0) >= offset for partition, offset in self._reach.items()
        )

    def is_beyond(self, offsets: Mapping[int, int]) -> bool:
        """Whether this place is ahead of what has come."""
        return any(offset > self._head.get(partition, 0) for partition, offset in offsets.items())

    def seek(self, offsets: Mapping[int, int]) -> int:
        """The number of the first message that may come after this place: those before it do not."""

        def is_beyond(number: int) -> bool:
            reached = Position.parse(self._entries[number].place).offsets
            return any(offset > offsets.get(partition, 0) for partition, offset in reached.items())

        return self.oldest + bisect_left(range(self.oldest, self.newest), True, key=is_beyond)

    def wanted(
        self, selection: Selection, first: int, floor: Mapping[int, int] | None = None
    ) -> Iterator[tuple[int, Entry]]:
        """What a reader wants from a number on, but for what lies before the offsets of its `floor`."""
        for number in self._candidates(selection, first):
            entry = self._entries[number]
            message = entry.message
            if floor is not None and message.offset < floor.get(message.partition, 0):
                continue
            if selection.wants(message, entry.decoded):
                yield number, entry

    def _candidates(self, selection: Selection, first: int) -> Iterator[int]:
        first = max(first, self.oldest)
        if selection.keys is None:
            return iter(range(first, self.newest))
        found = [self._tail_of(key.encode(), first) for key in selection.keys]
        return iter(found[0] if len(found) == 1 else sorted(number for numbers in found for number in numbers))

    def _tail_of(self, key: bytes, first: int) -> list[int]:
        tail = []
        number = self._last.get(key, -1)
        while number >= first:
            tail.append(number)
            number = self._entries[number].before
        return tail[::-1]
