"""The log transport itself: one file, one writer, a few readers."""

import time
from collections.abc import Callable
from pathlib import Path

from headgate.core.position import Position, Start
from headgate.transport.base import Ability, Delivery, Extent, StreamSettings
from headgate.transport.bell import Bell
from headgate.transport.log.database import Connect, connect_sqlite
from headgate.transport.log.owner import Owner
from headgate.transport.log.parts import LogQueueSource, LogSink, LogSource, extent_of, opened_at
from headgate.transport.log.readers import Readers, Watch
from headgate.transport.log.shelf import Shelf
from headgate.transport.log.writer import Writer


class LogTransport:
    """Streams in one SQLite file. Several processes may use the file at once."""

    abilities = frozenset(Ability) - {Ability.PARTITIONS}

    def __init__(
        self,
        *,
        path: Path,
        durability: str = "full",
        clock: Callable[[], int] = time.time_ns,
        connect: Connect = connect_sqlite,
    ) -> None:
        self._clock = clock
        self._shelves: dict[str, Shelf] = {}
        self.bell = Bell()
        self.writer = Writer(path, durability, connect)
        self.readers = Readers(path, connect)
        self.watch = Watch(self.readers, self.bell)
        self.owner = Owner(path)
        self.closed = False

    async def open_sink(self, stream: StreamSettings) -> LogSink:
        return LogSink(self, await self._shelf(stream))

    async def open_source(
        self, stream: StreamSettings, start: Start, cursor: str | None = None
    ) -> LogSource | LogQueueSource:
        shelf = await self._shelf(stream)
        do = self.readers.do if cursor is None else self.writer.do
        epoch, offset = await do(lambda connection: opened_at(shelf, connection, start, cursor))
        if stream.delivery is Delivery.QUEUE:
            return LogQueueSource(self, shelf, epoch)
        return LogSource(self, shelf, epoch, offset, cursor)

    async def extent(self, stream: StreamSettings) -> Extent:
        shelf = await self._shelf(stream)
        epoch, oldest, newest, count, dropped = await self.readers.do(lambda connection: extent_of(shelf, connection))
        return Extent(Position.single(epoch, oldest), Position.single(epoch, newest), count, dropped)

    def trouble(self) -> str | None:
        return self.writer.trouble

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.bell.ring()
        await self.writer.close()
        await self.watch.close()
        await self.readers.close()
        self.owner.let_go()

    async def _shelf(self, stream: StreamSettings) -> Shelf:
        key = stream.name
        if key not in self._shelves:
            self._shelves[key] = await self.writer.do(lambda connection: Shelf.opened(connection, stream, self._clock))
        return self._shelves[key]
