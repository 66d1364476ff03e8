"""The log transport itself: one file, one writer, a few readers."""

import time
from collections.abc import Callable
from pathlib import Path

from headgate.core.position import Position, Start
from headgate.transport.base import Ability, Delivery, Extent, StreamSettings
from headgate.transport.log.database import Connect, connect_sqlite
from headgate.transport.log.file import LogFile
from headgate.transport.log.parts import LogQueueSource, LogSink, LogSource, extent_of, opened_at
from headgate.transport.log.shelf import Shelf


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
        self.file = LogFile(path, durability, connect)

    async def open_sink(self, stream: StreamSettings) -> LogSink:
        return LogSink(self.file, await self._shelf(stream))

    async def open_source(
        self, stream: StreamSettings, start: Start, cursor: str | None = None
    ) -> LogSource | LogQueueSource:
        shelf = await self._shelf(stream)
        do = self.file.readers.do if cursor is None else self.file.writer.do
        epoch, offset = await do(lambda connection: opened_at(shelf, connection, start, cursor))
        if stream.delivery is Delivery.QUEUE:
            return LogQueueSource(self.file, shelf, epoch)
        return LogSource(self.file, shelf, epoch, offset, cursor)

    async def extent(self, stream: StreamSettings) -> Extent:
        shelf = await self._shelf(stream)
        epoch, oldest, newest, count, dropped = await self.file.readers.do(
            lambda connection: extent_of(shelf, connection)
        )
        return Extent(Position.single(epoch, oldest), Position.single(epoch, newest), count, dropped)

    def trouble(self) -> str | None:
        return self.file.writer.trouble

    async def close(self) -> None:
        await self.file.close()

    async def _shelf(self, stream: StreamSettings) -> Shelf:
        shelf = self._shelves.get(stream.name)
        if shelf is None or shelf.settings != stream:  # a reload may have changed what it keeps
            shelf = await self.file.writer.do(lambda connection: Shelf.opened(connection, stream, self._clock))
            self._shelves[stream.name] = shelf
        return shelf
