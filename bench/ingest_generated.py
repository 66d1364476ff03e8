"""The server that is generated for entities, beside the gate: batches, streams and single messages."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from tests.services.postgres import PostgresCluster

from bench.flood import flood
from bench.ingest_data import Messages, line, made
from bench.ingest_measure import cleared, emptied, measured_row, timed
from bench.ingest_servers import Server, gate, generated
from bench.table import Row, interleaved

LINES, SINGLE, IN_FLIGHT, ROUNDS = 200_000, 4000, 64, 3
_GATE = "the gate"


def generated_rows(folder: Path, cluster: PostgresCluster) -> Iterator[Row]:
    """The same into PostgreSQL and into SQLite."""
    lines, bad = made(folder, "L", LINES), made(folder, "L", LINES, bad=1)
    database = cluster.create_database()
    yield from _rows(folder, "PostgreSQL", database, lines, bad, emptied(database, "order_line_items"))
    file = folder / "generated.db"
    yield from _rows(folder, "SQLite", f"sqlite:///{file}", lines, bad, lambda: cleared(file))


def _rows(
    folder: Path, name: str, database: str, lines: Messages, bad: Messages, empty: Callable[[], None]
) -> Iterator[Row]:
    keys = count(10**9)

    def singly(server: Server) -> Callable[[], float]:
        return lambda: flood(server.port, "/ingest/message", [line(next(keys)) for _ in range(SINGLE)], IN_FLIGHT)

    def runs(server: Server) -> dict[str, Callable[[], float]]:
        return {
            "batch": timed(lines.count, empty, lambda: server.batch(lines.file)),
            "batch, 1 % bad": timed(bad.count, empty, lambda: server.batch(bad.file)),
            "stream": timed(lines.count, empty, lambda: server.stream(lines.file)),
            "one message a request": singly(server),
        }

    with gate(folder, database, foreign_keys=False) as ours, generated(folder, database) as theirs:
        by_gate, by_generated = runs(ours), runs(theirs)
        both = {
            f"{whose}, {what}": run
            for what in by_gate
            for whose, run in ((_GATE, by_gate[what]), ("", by_generated[what]))
        }
        rates = interleaved(both, ROUNDS)
    for what in by_gate:
        path = f"generated server, {name}, {what}"
        yield measured_row(path, f", {what}", f"{_GATE}, {what}", rates, "aim 0.5", floor=_GATE)
