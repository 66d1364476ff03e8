"""The log's file in use: its writer, its readers, and who waits for it to change."""

from pathlib import Path

from headgate.transport.bell import Bell
from headgate.transport.log.database import Connect
from headgate.transport.log.owner import Owner
from headgate.transport.log.readers import Readers, Watch
from headgate.transport.log.writer import Writer


class LogFile:
    """All that the sinks and sources of one file share."""

    def __init__(self, path: Path, durability: str, connect: Connect) -> None:
        self.bell = Bell()
        self.writer = Writer(path, durability, connect)
        self.readers = Readers(path, connect)
        self.watch = Watch(Readers(path, connect, threads=1), self.bell)
        self.owner = Owner(path)
        self.closed = False

    async def close(self) -> None:
        """Finish what was asked of the writer, end who waits, and let go of the file."""
        if self.closed:
            return
        self.closed = True
        self.bell.ring()
        await self.writer.close()
        await self.watch.close()
        await self.readers.close()
        self.owner.let_go()
