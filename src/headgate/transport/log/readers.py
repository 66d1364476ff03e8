"""The readers: connections that only read, and the watch for what other processes wrote."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from headgate.errors import StreamClosed, TransportError
from headgate.transport.bell import Bell
from headgate.transport.log.database import Connect, Connection, open_for_reading, translated

Value = TypeVar("Value")
THREADS = 2  # SQLite's own work holds no lock of ours, but building messages does: more would not read faster
WATCH_SECONDS = 0.025
IDLE_SECONDS = 1.0  # that the watch goes on when nobody waits: a reader is soon back


class Readers:
    """A few threads, each with a connection."""

    def __init__(self, path: Path, connect: Connect, threads: int = THREADS) -> None:
        self._path = path
        self._connect = connect
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"log {path.name} reader")
        self._own = threading.local()
        self._open: list[Connection] = []
        self._closed = False

    async def do(self, run: Callable[[Connection], Value]) -> Value:
        """Run this in one read transaction, so that all of it sees the same state of the file."""
        if self._closed:
            raise StreamClosed(f"the log {self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, run)

    def _run(self, run: Callable[[Connection], Value]) -> Value:
        try:
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                return run(connection)
            finally:
                connection.execute("ROLLBACK")
        except TransportError:
            raise
        except Exception as error:  # noqa: BLE001 - the border to the file: a damaged one may raise anything at all
            self._forget()
            raise translated(error, self._path) from None

    def _connection(self) -> Connection:
        if getattr(self._own, "connection", None) is None:
            self._own.connection = open_for_reading(self._path, self._connect)
            self._open.append(self._own.connection)
        return self._own.connection

    def _forget(self) -> None:
        connection, self._own.connection = getattr(self._own, "connection", None), None
        if connection is not None:
            self._open.remove(connection)
            connection.close()

    async def close(self) -> None:
        """End the threads and close what they opened."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
        while self._open:
            self._open.pop().close()


class Watch:
    """Rings when another process changed the file. Looks while somebody waits, and a little longer."""

    def __init__(self, readers: Readers, bell: Bell) -> None:
        self._readers = readers  # of one thread: what is compared is of one connection
        self._bell = bell
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None

    def mark(self) -> int:
        """What `wait` needs to know from before its caller looked."""
        return self._bell.rings

    async def wait(self, mark: int, seconds: float | None) -> None:
        """Wait for a change by this process or another since the mark was taken."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look())
        if self._bell.rings != mark:
            return
        self._waiting += 1
        try:
            await self._bell.wait(seconds)
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        version: int | None = None
        idle = 0.0
        while idle < IDLE_SECONDS:
            idle = 0.0 if self._waiting else idle + WATCH_SECONDS
            try:
                now = await self._readers.do(_data_version)
            except TransportError:
                now = None  # whoever waits finds out by reading
            # The first version says nothing of what came between a reader's look and this one: so it rings, too.
            if now != version or now is None:
                self._bell.ring()
            version = now
            await asyncio.sleep(WATCH_SECONDS)

    async def close(self) -> None:
        """Look no longer."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._readers.close()


def _data_version(connection: Connection) -> int:
    [version] = connection.execute("PRAGMA data_version").fetchone()
    return int(version)
