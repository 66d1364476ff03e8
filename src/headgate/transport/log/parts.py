"""The log's sinks and sources."""

import asyncio
import itertools
import logging
from collections.abc import Sequence

from headgate.core.message import Message
from headgate.core.position import Batch, Position, Receipt, Start
from headgate.errors import StreamClosed, StreamFull
from headgate.transport.base import Overflow
from headgate.transport.bell import Deadline
from headgate.transport.log.database import Connection
from headgate.transport.log.file import LogFile
from headgate.transport.log.frames import frames
from headgate.transport.log.shelf import Reading, Shelf

logger = logging.getLogger("headgate.transport.log")
_LOOK_FOR_THE_DEAD = 1.0  # seconds between looks at the other owners of a queue


class LogSink:
    """Puts batches into the file."""

    def __init__(self, log: LogFile, shelf: Shelf) -> None:
        self._log = log
        self._shelf = shelf
        self._turn = asyncio.Lock()  # of a stream that blocks: pieces of two batches must not mix
        self._sending = 0
        self._closed = False

    async def send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        if self._closed or self._log.closed:
            raise StreamClosed(f"stream {self._shelf.settings.name!r} is closed")
        if self._shelf.settings.overflow is Overflow.BLOCK:
            async with self._turn:
                return await self._send_in_pieces(batch)
        return await self._send(batch)

    async def _send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        framed = frames(batch, self._shelf.settings.id)
        timestamps = [message.timestamp for message in batch]
        size = sum(map(len, framed))
        epoch, offsets = await self._log.writer.do(
            lambda connection: self._shelf.append(connection, timestamps, framed), size=size
        )
        self._log.bell.ring()
        return Receipt(epoch, offsets)

    async def _send_in_pieces(self, batch: Sequence[Message[bytes]]) -> Receipt:
        offsets: list[int] = []
        receipt = Receipt("", ())
        while len(offsets) < len(batch):
            if self._closed or self._log.closed:
                raise StreamClosed(f"stream {self._shelf.settings.name!r} is closed")
            mark = self._log.watch.mark()
            room = await self._log.readers.do(self._shelf.room)
            if room <= 0:
                await self._log.watch.wait(mark, None)
                continue
            try:
                receipt = await self._send(batch[len(offsets) : len(offsets) + room])
            except StreamFull:
                continue  # another sender took the room meanwhile
            offsets += receipt.offsets
        return Receipt(receipt.epoch, offsets)

    async def close(self) -> None:
        self._closed = True
        self._log.bell.ring()


class _Reading:
    """What both kinds of source share: waiting, and being closed."""

    def __init__(self, log: LogFile, shelf: Shelf, epoch: str) -> None:
        self._log = log
        self._shelf = shelf
        self._epoch = epoch
        self._closed = False

    async def read(self, limit: int = 1000, wait: float | None = None) -> Batch:
        deadline = Deadline(wait)
        while True:
            self._refuse_closed()
            mark = self._log.watch.mark()
            batch = await self._take(limit)
            if batch.messages or batch.missed or deadline.left() == 0:
                return batch
            self._refuse_closed()
            await self._log.watch.wait(mark, deadline.left())

    async def _take(self, limit: int) -> Batch:
        raise NotImplementedError

    def _refuse_closed(self) -> None:
        if self._closed or self._log.closed:
            raise StreamClosed(f"the reader of stream {self._shelf.settings.name!r} is closed")

    def _batch(self, reading: Reading, missed: int) -> Batch:
        if reading.damaged:
            facts = {"stream": self._shelf.settings.name, "before": reading.next, "count": reading.damaged}
            logger.error("damaged messages are left out", extra=facts)
        return Batch(reading.messages, Position.single(self._epoch, reading.next), missed)

    async def close(self) -> None:
        self._closed = True
        self._log.bell.ring()


class LogSource(_Reading):
    """A cursor of its own."""

    def __init__(self, log: LogFile, shelf: Shelf, epoch: str, offset: int, cursor: str | None) -> None:
        super().__init__(log, shelf, epoch)
        self._next = offset
        self._cursor = cursor

    async def _take(self, limit: int) -> Batch:
        reading = await self._log.readers.do(lambda connection: self._shelf.read(connection, self._next, limit))
        # No await from here: a read that is cancelled has moved on with its messages given, or has not moved.
        self._next = reading.next
        return self._batch(reading, reading.missed)

    async def commit(self, position: Position) -> None:
        if self._cursor is not None:
            name, offset = self._cursor, position.offset
            await self._log.writer.do(lambda connection: self._shelf.commit(connection, name, offset))
            self._log.bell.ring()


class LogQueueSource(_Reading):
    """A share of the one cursor that all readers of a queue have, in all processes."""

    _ids = itertools.count()

    def __init__(self, log: LogFile, shelf: Shelf, epoch: str) -> None:
        super().__init__(log, shelf, epoch)
        self._id = next(self._ids)
        self._taking: asyncio.Task[Batch] | None = None
        self._place = Position.single(epoch, 0)
        self._look_again = 0.0

    async def _take(self, limit: int) -> Batch:
        # A reader may give up while the claim is being committed: the next read takes it up.
        if self._taking is None:
            self._taking = asyncio.ensure_future(self._claim(limit))
        batch = await asyncio.shield(self._taking)
        self._taking = None
        return batch

    async def _claim(self, limit: int) -> Batch:
        await self._bring_back_the_dead()
        if not await self._log.readers.do(self._shelf.waiting):
            return Batch((), self._place)
        owner, shelf = self._log.owner, self._shelf
        owner.hold()
        run = await self._log.writer.do(lambda connection: shelf.take(connection, owner.token, self._id, limit))
        if not run:
            return Batch((), self._place)
        reading = await self._log.readers.do(lambda connection: shelf.read(connection, run.start, len(run)))
        self._place = Position.single(self._epoch, run.stop)
        return self._batch(reading._replace(next=run.stop), reading.damaged)

    async def _bring_back_the_dead(self) -> None:
        """What a process held that was killed is given out again."""
        now = asyncio.get_running_loop().time()
        if now < self._look_again:
            return
        self._look_again = now + _LOOK_FOR_THE_DEAD
        owner, shelf = self._log.owner, self._shelf
        others = await self._log.readers.do(lambda connection: shelf.other_owners(connection, owner.token))
        if dead := owner.dead_among(others):
            await self._log.writer.do(lambda connection: shelf.give_back_all(connection, dead))

    async def commit(self, position: Position) -> None:
        owner, offset = self._log.owner.token, position.offset
        await self._log.writer.do(lambda connection: self._shelf.done(connection, owner, self._id, offset))
        self._log.bell.ring()

    async def close(self) -> None:
        if self._closed:
            return
        await super().close()
        if self._taking is not None:
            await asyncio.gather(self._taking, return_exceptions=True)
        if not self._log.closed:
            owner = self._log.owner.token
            await self._log.writer.do(lambda connection: self._shelf.give_back(connection, owner, self._id))
            self._log.bell.ring()


def extent_of(shelf: Shelf, connection: Connection) -> tuple[str, int, int, int, int]:
    """Epoch, oldest, newest, what can be read and what was dropped."""
    state = shelf.state(connection)
    oldest = shelf.oldest(connection, state)
    is_queue = shelf.settings.delivery == "queue"
    count = shelf.waiting(connection) if is_queue else state.next - oldest
    return state.epoch, oldest, state.next, count, state.dropped


def opened_at(shelf: Shelf, connection: Connection, start: Start, cursor: str | None) -> tuple[str, int]:
    """The epoch, and where a source begins. Runs in the writer's transaction where the cursor has a name."""
    epoch = shelf.state(connection).epoch
    offset = shelf.begin(connection, start) if cursor is None else shelf.cursor(connection, cursor, start)
    return epoch, offset
