"""The memory transport: a bounded ring per stream, gone with the process."""

import itertools
import secrets
import time
from collections.abc import Callable, Sequence

from headgate.core.ledger import Ledger
from headgate.core.message import Message
from headgate.core.position import At, Batch, Last, Newest, Oldest, Position, Receipt, Since, Start
from headgate.core.ring import Ring
from headgate.errors import StreamClosed, StreamFull
from headgate.transport.base import Ability, Delivery, Extent, Overflow, StreamSettings
from headgate.transport.bell import Bell, Deadline


class MemoryTransport:
    """Keeps each stream in a ring. All of one stream's sinks and sources share it."""

    abilities = frozenset(
        {
            Ability.QUEUE,
            Ability.START_TIME,
            Ability.LAST,
            Ability.RETAIN_COUNT,
            Ability.RETAIN_AGE,
            Ability.OVERFLOW,
        }
    )

    def __init__(self, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._streams: dict[str, _Stream] = {}

    async def open_sink(self, stream: StreamSettings) -> "MemorySink":
        kept = self._stream(stream)
        kept.become(stream)
        return MemorySink(kept)

    async def open_source(
        self, stream: StreamSettings, start: Start, cursor: str | None = None
    ) -> "MemorySource | MemoryQueueSource":
        kept = self._stream(stream)
        if kept.ledger is not None:
            return MemoryQueueSource(kept)
        return MemorySource(kept, start, cursor)

    async def extent(self, stream: StreamSettings) -> Extent:
        return self._stream(stream).extent()

    def trouble(self) -> str | None:
        return None

    async def close(self) -> None:
        for stream in self._streams.values():
            stream.closed = True
            stream.bell.ring()
        self._streams.clear()

    def _stream(self, settings: StreamSettings) -> "_Stream":
        if settings.name not in self._streams:
            self._streams[settings.name] = _Stream(settings, self._clock)
        return self._streams[settings.name]


class _Stream:
    """One stream's ring, and the accounts of who read how far."""

    def __init__(self, settings: StreamSettings, clock: Callable[[], int]) -> None:
        self.settings = settings
        self.epoch = secrets.token_hex(4)
        self._clock = clock
        self.ring = Ring(messages=settings.keep_messages, age=settings.keep_age, clock=clock)
        self.ledger = Ledger() if settings.delivery is Delivery.QUEUE else None
        self.cursors: dict[str, int] = {}  # named cursors: where each committed
        self.bell = Bell()
        self.closed = False

    def __repr__(self) -> str:
        return f"<memory stream {self.settings.name}: {self.ring!r}>"

    def become(self, settings: StreamSettings) -> None:
        """Go on with what is kept as the settings now say: a stream may change while its transport lives."""
        if settings == self.settings:
            return
        self.settings, was = settings, self.ring
        self.ring = Ring(messages=settings.keep_messages, age=settings.keep_age, clock=self._clock, first=was.oldest)
        self.ring.append(was.read(was.oldest, len(was)))
        if settings.delivery is not Delivery.QUEUE:
            self.ledger = None
        elif self.ledger is None:
            self.ledger = Ledger(self.ring.oldest)
        self.refresh()
        self.bell.ring()

    def append(self, batch: Sequence[Message[bytes]]) -> range:
        offsets = self.ring.append(batch)
        if self.ledger is not None:
            self.ledger.drop_before(self.ring.oldest)
        self.bell.ring()
        return offsets

    def room(self) -> int:
        """How many more fit before something that somebody still needs would go."""
        return self.settings.keep_messages - (self.ring.newest - self._floor())

    def _floor(self) -> int:
        self.refresh()
        needed = (
            self.ledger.floor() if self.ledger is not None else min(self.cursors.values(), default=self.ring.newest)
        )
        return max(needed, self.ring.oldest)

    def expires_in(self) -> float | None:
        """In how many seconds there is room because something is too old; None when it never is."""
        nanoseconds = self.ring.expires_in()
        return None if nanoseconds is None else nanoseconds / 1e9

    def refresh(self) -> None:
        """Let go of what is too old."""
        self.ring.expire()
        if self.ledger is not None:
            self.ledger.drop_before(self.ring.oldest)

    def extent(self) -> Extent:
        self.refresh()
        oldest, newest = (Position.single(self.epoch, o) for o in (self.ring.oldest, self.ring.newest))
        if self.ledger is None:
            return Extent(oldest, newest, len(self.ring))
        return Extent(oldest, newest, self.ledger.waiting(self.ring.newest), self.ledger.dropped)

    def begin(self, start: Start) -> int:
        """The offset that a start means now."""
        self.refresh()
        ring = self.ring
        match start:
            case Newest():
                return ring.newest
            case Last(count):
                return max(ring.oldest, ring.newest - count)
            case Since(timestamp):
                return ring.since(timestamp)
            case At(position) if position.epoch == self.epoch:
                return min(position.offset, ring.newest)
            case Oldest() | At():
                return ring.oldest


class MemorySink:
    """Puts batches into the ring."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._closed = False

    async def send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        stream = self._stream
        self._refuse_closed()
        offsets: Sequence[int]
        match stream.settings.overflow:
            case Overflow.DROP_OLDEST:
                offsets = stream.append(batch)
            case Overflow.REJECT:
                offsets = self._send_if_room(batch)
            case Overflow.BLOCK:
                offsets = await self._send_in_pieces(batch)
        return Receipt(stream.epoch, offsets)

    def _send_if_room(self, batch: Sequence[Message[bytes]]) -> range:
        room = self._stream.room()
        if len(batch) > room:
            raise StreamFull(
                f"stream {self._stream.settings.name!r} has room for {room} of {len(batch)} messages; "
                "read it, or raise retain.messages"
            )
        return self._stream.append(batch)

    async def _send_in_pieces(self, batch: Sequence[Message[bytes]]) -> list[int]:
        offsets: list[int] = []
        while len(offsets) < len(batch):
            self._refuse_closed()
            if room := self._stream.room():
                offsets += self._stream.append(batch[len(offsets) : len(offsets) + room])
            else:
                await self._stream.bell.wait(self._stream.expires_in())
        return offsets

    def _refuse_closed(self) -> None:
        if self._closed or self._stream.closed:
            raise StreamClosed(f"stream {self._stream.settings.name!r} is closed")

    async def close(self) -> None:
        self._closed = True
        self._stream.bell.ring()


class _Reading:
    """What both kinds of source share: waiting, and being closed."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._closed = False

    async def read(self, limit: int = 1000, wait: float | None = None) -> Batch:
        deadline = Deadline(wait)
        while True:
            if self._closed or self._stream.closed:
                raise StreamClosed(f"the reader of stream {self._stream.settings.name!r} is closed")
            batch = self._take(limit)
            if batch.messages or batch.missed or deadline.left() == 0:
                return batch
            await self._stream.bell.wait(deadline.left())

    def _take(self, limit: int) -> Batch:
        raise NotImplementedError

    async def close(self) -> None:
        self._closed = True
        self._stream.bell.ring()


class MemorySource(_Reading):
    """A cursor of its own."""

    def __init__(self, stream: _Stream, start: Start, cursor: str | None) -> None:
        super().__init__(stream)
        self._cursor = cursor
        self._next = stream.cursors[cursor] if cursor in stream.cursors else stream.begin(start)
        if cursor is not None:
            stream.cursors[cursor] = self._next

    def _take(self, limit: int) -> Batch:
        stream = self._stream
        stream.refresh()
        missed = max(0, stream.ring.oldest - self._next)
        self._next += missed
        messages = stream.ring.read(self._next, limit)
        self._next += len(messages)
        return Batch(messages, Position.single(stream.epoch, self._next), missed)

    async def commit(self, position: Position) -> None:
        if self._cursor is not None:
            self._stream.cursors[self._cursor] = max(self._stream.cursors[self._cursor], position.offset)
            self._stream.bell.ring()


class MemoryQueueSource(_Reading):
    """A share of the one cursor that all readers of a queue have."""

    _ids = itertools.count()

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self._id = next(self._ids)
        assert stream.ledger is not None
        self._ledger = stream.ledger
        self._place = Position.single(stream.epoch, stream.ring.oldest)

    def _take(self, limit: int) -> Batch:
        stream = self._stream
        stream.refresh()
        run = self._ledger.take(self._id, newest=stream.ring.newest, limit=limit)
        if run:
            self._place = Position.single(stream.epoch, run.stop)
        return Batch(stream.ring.read(run.start, len(run)), self._place)

    async def commit(self, position: Position) -> None:
        self._ledger.done(self._id, position.offset)
        self._stream.bell.ring()

    async def close(self) -> None:
        self._ledger.give_back(self._id)
        await super().close()
