"""The log: publishing to it and reading from it, against plain executemany and fetchall on the same kind of file."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.table import Row, median_ratio
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.transport.base import StreamSettings
from headgate.transport.log import LogTransport

BATCH, BATCHES, IN_FLIGHT, SINGLES = 1000, 50, 64, 3200
STREAM = StreamSettings("bench", keep_messages=1_000_000)
MESSAGES = [Message(value=b"x" * 100, key=b"machine-7", timestamp=1_700_000_000_000_000_000 + n) for n in range(BATCH)]


def rows() -> list[Row]:
    """Batches of 1000, one at a time with 64 in flight, and reading; all with a sync per commit."""
    return [
        Row("log publish, batches of 1000", "executemany + commit", median_ratio(_log_batches, _raw_batches)),
        Row(
            "log publish, single, 64 in flight",
            "insert + commit, one by one",
            median_ratio(_log_singles, _raw_singles, 5),
            "group commit",
        ),
        Row("log read, 1000 at a time", "fetchall", median_ratio(_log_read, _raw_read), "checksums verified"),
    ]


def _with_log(work: Callable[[LogTransport], Awaitable[float]]) -> float:
    async def run(path: Path) -> float:
        log = LogTransport(path=path)
        try:
            return await work(log)
        finally:
            await log.close()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder) / "log.db"))


def _with_raw(work: Callable[[sqlite3.Connection], float]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("CREATE TABLE m (offset INTEGER PRIMARY KEY, timestamp INTEGER, key BLOB, value BLOB)")
        try:
            return work(connection)
        finally:
            connection.close()


def _log_batches() -> float:
    async def work(log: LogTransport) -> float:
        sink = await log.open_sink(STREAM)
        began = time.perf_counter()
        for _ in range(BATCHES):
            await sink.send(MESSAGES)
        return BATCH * BATCHES / (time.perf_counter() - began)

    return _with_log(work)


def _raw_batches() -> float:
    def work(connection: sqlite3.Connection) -> float:
        began = time.perf_counter()
        for first in range(0, BATCH * BATCHES, BATCH):
            _insert(connection, first)
        return BATCH * BATCHES / (time.perf_counter() - began)

    return _with_raw(work)


def _insert(connection: sqlite3.Connection, first: int) -> None:
    kept = ((first + n, m.timestamp, m.key, m.value) for n, m in enumerate(MESSAGES))
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO m VALUES (?, ?, ?, ?)", kept)
    connection.execute("COMMIT")


def _log_singles() -> float:
    async def work(log: LogTransport) -> float:
        sink = await log.open_sink(STREAM)
        numbers = iter(range(SINGLES))

        async def sender() -> None:
            for _ in numbers:
                await sink.send(MESSAGES[:1])

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
        return SINGLES / (time.perf_counter() - began)

    return _with_log(work)


def _raw_singles() -> float:
    def work(connection: sqlite3.Connection) -> float:
        message = MESSAGES[0]
        began = time.perf_counter()
        for number in range(SINGLES):
            row = (number, message.timestamp, message.key, message.value)
            connection.execute("INSERT INTO m VALUES (?, ?, ?, ?)", row)
        return SINGLES / (time.perf_counter() - began)

    return _with_raw(work)


def _log_read() -> float:
    async def work(log: LogTransport) -> float:
        sink = await log.open_sink(STREAM)
        for _ in range(20):
            await sink.send(MESSAGES)
        source = await log.open_source(STREAM, Oldest())
        began = time.perf_counter()
        for _ in range(20):
            await source.read(BATCH)
        return BATCH * 20 / (time.perf_counter() - began)

    return _with_log(work)


def _raw_read() -> float:
    def work(connection: sqlite3.Connection) -> float:
        for first in range(0, BATCH * 20, BATCH):
            _insert(connection, first)
        began = time.perf_counter()
        for first in range(0, BATCH * 20, BATCH):
            connection.execute("SELECT * FROM m WHERE offset >= ? LIMIT 1000", (first,)).fetchall()
        return BATCH * 20 / (time.perf_counter() - began)

    return _with_raw(work)
