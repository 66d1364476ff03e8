"""Ingest: messages through HTTP into PostgreSQL and SQLite, beside psql's \\copy, the usual design and executemany."""

import math
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.services.postgres import PostgresCluster

from bench.flood import flood
from bench.ingest_data import Messages, arguments, line, made, parents
from bench.ingest_generated import generated_rows
from bench.ingest_measure import cleared, emptied, measured_row, timed
from bench.ingest_servers import Server, gate, nothing, usual
from bench.table import Row, interleaved

LINES, FEW, ROUNDS = 500_000, 20_000, 3
SINGLE, IN_FLIGHT = 6000, 64
STREAM_BYTES = round(300_000_000 * float(os.environ.get("FACTOR", "1")))
ONE, TWO, USUAL, CLEAN = "psql, one stream", "psql, two streams", "FastAPI, pydantic, SQLAlchemy", "no bad lines"
EXECUTEMANY = "split and executemany"
SETTINGS = {"autovacuum": "off", "max_wal_size": "8GB", "shared_buffers": "512MB", "checkpoint_timeout": "1h"}
_BYTES_OF_A_LINE = 88


def rows() -> list[Row]:
    """Lines per second of the ways into a database, messages per second one by one, and the gate's memory."""
    if shutil.which("psql") is None:
        return [Row("ingest", "", math.nan, "not measured: needs psql")]
    with tempfile.TemporaryDirectory() as name, PostgresCluster(SETTINGS) as cluster:
        bench = _Bench(Path(name), cluster)
        measured: list[Row] = []
        for part in (bench.plain, bench.keyed, bench.sqlite, bench.single, bench.generated, bench.memory):
            began = time.perf_counter()
            measured += part()
            print(f"    {part.__name__}: {time.perf_counter() - began:.0f} s", flush=True)
        return measured


class _Bench:
    def __init__(self, folder: Path, cluster: PostgresCluster) -> None:
        self._folder, self._cluster = folder, cluster

    def plain(self) -> Iterator[Row]:
        """Lines of orders without foreign keys, clean and with bad ones among them."""
        clean = made(self._folder, "L", LINES, split=True)
        bad = {percent: made(self._folder, "L", LINES, bad=percent) for percent in (1, 10)}
        known = made(self._folder, "L", LINES, bad=1, by="database")
        few = made(self._folder, "L", FEW)
        database = self._cluster.create_database()
        with gate(self._folder, database, foreign_keys=False) as ours, usual(self._folder, database) as theirs:
            empty = emptied(database, "order_line_items")
            rates = interleaved(
                {
                    ONE: timed(clean.count, empty, lambda: _copy(database, clean, streams=1)),
                    TWO: timed(clean.count, empty, lambda: _copy(database, clean, streams=2)),
                    "best effort": timed(clean.count, empty, lambda: ours.batch(clean.file)),
                    "atomic": timed(clean.count, empty, lambda: ours.batch(clean.file, "?mode=atomic")),
                    "1 % bad": timed(bad[1].count, empty, lambda: ours.batch(bad[1].file)),
                    "10 % bad": timed(bad[10].count, empty, lambda: ours.batch(bad[10].file)),
                    "1 % there already": timed(known.count, empty, lambda: ours.batch(known.file)),
                    USUAL: timed(few.count, empty, lambda: theirs.batch(few.file)),
                },
                ROUNDS,
            )
        yield measured_row("ingest, lines, best effort", "best effort", TWO, rates, "aim 0.9")
        yield measured_row("ingest, lines, best effort", "best effort", ONE, rates)
        yield measured_row("ingest, lines, atomic", "atomic", ONE, rates, "aim 0.8")
        yield measured_row("ingest, lines, best effort", "best effort", USUAL, rates, "aim 25")
        for name, aim in (("1 % bad", ""), ("10 % bad", "aim 0.75"), ("1 % there already", "")):
            path = f"ingest, lines, {name}"
            yield measured_row(path, name, "best effort", rates, aim, floor=CLEAN)

    def keyed(self) -> Iterator[Row]:
        """Orders and their lines, with foreign keys."""
        clean = made(self._folder, "O,L", LINES, split=True)
        bad = made(self._folder, "O,L", LINES, bad=10)
        unfit = made(self._folder, "O,L", LINES, bad=1, by="database")
        database = self._cluster.create_database()
        with gate(self._folder, database, foreign_keys=True) as ours:
            ours.batch(parents(self._folder, LINES))
            empty = emptied(database, "order_line_items, orders")
            rates = interleaved(
                {
                    ONE: timed(clean.count, empty, lambda: _copy(database, clean, streams=1)),
                    TWO: timed(clean.count, empty, lambda: _copy(database, clean, streams=2)),
                    "best effort": timed(clean.count, empty, lambda: ours.batch(clean.file)),
                    "atomic": timed(clean.count, empty, lambda: ours.batch(clean.file, "?mode=atomic")),
                    "10 % bad": timed(bad.count, empty, lambda: ours.batch(bad.file)),
                    "1 % unfit": timed(unfit.count, empty, lambda: ours.batch(unfit.file)),
                },
                ROUNDS,
            )
        yield measured_row("ingest, foreign keys, best effort", "best effort", TWO, rates, "aim 0.85")
        yield measured_row("ingest, foreign keys, best effort", "best effort", ONE, rates)
        yield measured_row("ingest, foreign keys, atomic", "atomic", ONE, rates, "aim 0.85")
        yield measured_row("ingest, foreign keys, 10 % bad", "10 % bad", "best effort", rates, "aim 0.75", floor=CLEAN)
        path = "ingest, foreign keys, 1 % there already or without parent"
        yield measured_row(path, "1 % unfit", "best effort", rates, floor=CLEAN)

    def sqlite(self) -> Iterator[Row]:
        """The lines of orders, into SQLite."""
        clean = made(self._folder, "L", LINES)
        file = self._folder / "ours.db"
        with gate(self._folder, f"sqlite:///{file}", foreign_keys=False) as ours:
            other = self._folder / "other.db"
            with sqlite3.connect(file) as source, sqlite3.connect(other) as target:
                source.backup(target)
            rates = interleaved(
                {
                    EXECUTEMANY: timed(clean.count, lambda: cleared(other), lambda: _executemany(other, clean.file)),
                    "best effort": timed(clean.count, lambda: cleared(file), lambda: ours.batch(clean.file)),
                    "atomic": timed(clean.count, lambda: cleared(file), lambda: ours.batch(clean.file, "?mode=atomic")),
                },
                ROUNDS,
            )
        yield measured_row("ingest, SQLite, best effort", "best effort", EXECUTEMANY, rates)
        yield measured_row("ingest, SQLite, atomic", "atomic", EXECUTEMANY, rates)

    def single(self) -> Iterator[Row]:
        """One message a request."""
        keys = iter(range(1, 10**9))
        database = self._cluster.create_database()
        with ExitStack() as stack:
            ours = stack.enter_context(gate(self._folder, database, foreign_keys=False))
            floor = stack.enter_context(nothing(self._folder))
            theirs = stack.enter_context(usual(self._folder, database))

            def flooded(server: Server, count: int) -> Callable[[], float]:
                def rate() -> float:
                    bodies = [line(next(keys)) for _ in range(count)]
                    return flood(server.port, "/ingest/message", bodies, IN_FLIGHT)

                return rate

            rates = interleaved(
                {"ours": flooded(ours, SINGLE), "ASGI": flooded(floor, SINGLE), USUAL: flooded(theirs, SINGLE // 4)},
                ROUNDS,
            )
        yield measured_row(
            "ingest, one message a request", "ours", "ASGI", rates, "aim 0.55", "ASGI that reads and answers"
        )
        yield measured_row(
            "ingest, one message a request", "ours", USUAL, rates, "aim 5", "FastAPI, an insert a request"
        )

    def generated(self) -> Iterator[Row]:
        """The server that is generated, beside the gate."""
        return generated_rows(self._folder, self._cluster)

    def memory(self) -> Iterator[Row]:
        """The most memory that the gate ever has while much goes through it."""
        for path in ("/ingest/batch", "/ingest/stream?progress=batch"):
            database = self._cluster.create_database()
            with gate(self._folder, database, foreign_keys=False) as ours:
                idle = ours.peak_megabytes()
                began = time.perf_counter()
                ours.pour(path, _much())
                took = time.perf_counter() - began
                name = f"ingest, peak MB, {STREAM_BYTES / 1e6:,.0f} MB to {path.partition('?')[0]}"
                speed = f"{STREAM_BYTES / took / 1e6:.1f} MB/s"
                yield Row(name, "aim 150", ours.peak_megabytes(), f"{idle:.0f} MB before; {speed}")


def _copy(database: str, messages: Messages, streams: int) -> None:
    """Each table after the one that it refers to, with so many psql at once."""
    for table in messages.split:
        files = [table.whole] if streams == 1 else table.halves
        commands = [f"\\copy {table.name} ({table.columns}) from '{file}'" for file in files]
        runs = [subprocess.Popen(["psql", database, "-q", "-v", "ON_ERROR_STOP=1", "-c", it]) for it in commands]
        if any([run.wait() for run in runs]):  # noqa: C419 - all are waited for
            raise RuntimeError("psql failed")


def _executemany(file: Path, messages: Path) -> None:
    """What is quickest in Python when nothing is checked. Durable as the gate is."""
    with sqlite3.connect(file) as database, messages.open() as lines:
        database.execute("PRAGMA synchronous = FULL")
        split = (line.rstrip("\n").split("|")[1:] for line in lines)
        database.executemany(f"INSERT INTO order_line_items VALUES ({', '.join('?' * 13)}, NULL, NULL, NULL)", split)
    database.close()


def _much() -> Iterator[bytes]:
    maker = arguments("L", STREAM_BYTES // _BYTES_OF_A_LINE)
    with subprocess.Popen(maker, stdout=subprocess.PIPE) as making:
        assert making.stdout is not None
        while chunk := making.stdout.read(256 * 1024):
            yield chunk
