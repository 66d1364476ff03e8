"""The writer: the one thread of a process that changes the file, many jobs to a transaction."""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from headgate.errors import HeadgateError, StreamClosed, TransportError
from headgate.transport.bell import Bell
from headgate.transport.log.database import Connect, Connection, open_for_writing, translated

logger = logging.getLogger("headgate.transport.log")
Value = TypeVar("Value")
GROUP = 500  # jobs in one transaction
GROUP_BYTES = 16 * 1024 * 1024
WAITING_BYTES = 64 * 1024 * 1024  # of batches that may wait for the thread before senders have to


class Job:
    """Something to do in a transaction, and the future of whoever asked for it."""

    __slots__ = ("future", "loop", "run", "size")

    def __init__(self, run: Callable[[Connection], Any], size: int) -> None:
        self.run = run
        self.size = size
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


class Writer:
    """Runs jobs in the order they come. A job that is acknowledged is committed; one that fails wrote nothing."""

    def __init__(self, path: Path, durability: str, connect: Connect) -> None:
        self._path = path
        self._durability = durability
        self._connect = connect
        self._connection: Connection | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting_bytes = 0
        self._room = Bell()
        self._closed = False
        self.commits = 0
        self.trouble: str | None = None

    async def do(self, run: Callable[[Connection], Value], *, size: int = 0) -> Value:
        """Have this done in the next transaction, and return when that is committed."""
        while self._waiting_bytes > WAITING_BYTES and not self._closed:
            await self._room.wait()
        if self._closed:
            raise StreamClosed(f"the log {self._path} is closed")
        job = Job(run, size)
        self._waiting_bytes += size
        self._jobs.put(job)
        self._started()
        try:
            # Shielded: what is under way is done whether or not anybody waits for it.
            result: Value = await asyncio.shield(job.future)
        except asyncio.CancelledError:
            job.future.add_done_callback(_noticed)
            raise
        return result

    def _started(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"log {self._path.name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, stop = self._group(job)
            self._report(self._run(group))
            if stop:
                break
        self._disconnect()

    def _group(self, first: Job) -> tuple[list[Job], bool]:
        """The job, and those that came meanwhile; whether the end of the work was among them."""
        group, size = [first], first.size
        while len(group) < GROUP and size < GROUP_BYTES:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
            size += job.size
        return group, False

    def _run(self, group: Sequence[Job]) -> list[tuple[Job, Any]]:
        """Do all of a group in one transaction; what comes of each."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [(job, _outcome(job, connection)) for job in group]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the thread's root: a damaged file may raise anything at all
            failure = self._failed(error)
            return [(job, failure) for job in group]
        self.commits += 1
        self.trouble = None
        return outcomes

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = open_for_writing(self._path, self._durability, self._connect)
        return self._connection

    def _failed(self, error: Exception) -> TransportError:
        """The file refused: nothing of the transaction is kept, and the next one opens the file anew."""
        failure = error if isinstance(error, TransportError) else translated(error, self._path)
        if self._connection is not None or self.trouble is None:
            logger.error("the log cannot be written", extra={"reason": str(failure)})
        self.trouble = str(failure)
        self._drop_connection()
        return failure

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except sqlite3.Error as error:
            logger.warning("closing the log failed", extra={"reason": str(error)})

    def _disconnect(self) -> None:
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                logger.info("the log keeps its journal until the next start", extra={"reason": str(error)})
        self._drop_connection()

    def _report(self, outcomes: list[tuple[Job, Any]]) -> None:
        """Wake those who asked: one call into a loop, however many they are."""
        loops = {job.loop for job, _ in outcomes}
        for loop in loops:
            mine = [(job, outcome) for job, outcome in outcomes if job.loop is loop]
            try:
                loop.call_soon_threadsafe(self._settle, mine)
            except RuntimeError:
                logger.debug("the loop of a job is gone")

    def _settle(self, outcomes: list[tuple[Job, Any]]) -> None:
        for job, outcome in outcomes:
            self._waiting_bytes -= job.size
            if job.future.done():
                continue
            if isinstance(outcome, BaseException):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        self._room.ring()

    async def close(self) -> None:
        """Finish what was asked for, then end the thread."""
        if not self._closed:
            self._closed = True
            self._room.ring()
            self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)


def _outcome(job: Job, connection: Connection) -> Any:
    """A job's result. An error of ours is its own; one of the file is everybody's."""
    try:
        return job.run(connection)
    except HeadgateError as error:
        return error


def _noticed(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
