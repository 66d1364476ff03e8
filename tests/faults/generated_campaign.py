"""Row 35: the server that is generated passes rows 14 and 24, too."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from headgate.core.table import Dialect
from tests.faults.gate_campaign import resident
from tests.faults.ingest_campaign import bodies, bomb, cut, messages, rows, sent
from tests.faults.result import Result
from tests.gates.generated import GeneratedServer, running, written
from tests.gates.ingest import BASE, order
from tests.services.daemon import wait_until
from tests.services.postgres import PostgresCluster


def row_35(factor: float) -> Result:
    """A batch with bad lines through a killed database, and bodies that nobody should take."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batch, batch_passed = _killed_database(folder, factor / 2)
        bad, bad_passed = _bad_bodies(folder, factor / 2)
    return Result(35, "generated server", f"{batch}; {bad}", passed=batch_passed and bad_passed)


def _killed_database(folder: Path, factor: float) -> tuple[str, bool]:
    """It has no Idempotency-Key: what was kept before the kill is there when the same comes again."""
    body, bad, total = messages(folder, factor)
    with PostgresCluster(controllable=True) as cluster:
        url = cluster.create_database()
        server = written(folder / "postgresql", Dialect.POSTGRESQL)
        with running(server, url, MAX_BATCH_ITEMS="1000000") as running_, closing(_client(running_)) as client:
            atomic = client.post("/ingest/batch?mode=atomic&on_duplicate=error", content=body.read_bytes())
            none = rows(url)
            acked = sum(client.post("/ingest/message", content=line).status_code == 200 for line in _regions())
            killed = client.post("/ingest/batch", content=cut(body, cluster)).status_code
            cluster.start()
            wait_until(lambda: client.post("/ingest/message", content="R|0|AFRICA|").status_code == 200, within=30)
            before = rows(url)
            answer = client.post("/ingest/batch", content=body.read_bytes()).json()
        kept = rows(url)
    misfits = {number for number, why in bad.items() if why != "duplicate"}  # that is passed over, as what was kept
    wrong = len(_lines(atomic.json()) ^ bad.keys()) + len(_lines(answer) ^ misfits)
    wrong += abs(kept - total + len(bad)) + abs(answer["inserted"] - (kept - before))
    told = f"{total} lines, {len(bad)} bad, atomic: {atomic.status_code} with {none} rows"
    figures = f"{told}, killed: {killed} after {before} rows, then {kept} rows, {wrong} wrong"
    return figures, (killed, atomic.status_code, none, wrong, acked) == (503, 400, 0, 0, 5) and before >= acked


def _lines(answer: dict[str, Any]) -> set[int]:
    return {error["line_number"] for error in answer["errors"]}


def _regions() -> Iterator[str]:
    reference = (Path(__file__).parents[2] / "examples" / "tpch-ingest" / "reference.txt").read_text()
    return (line for line in reference.splitlines() if line.startswith("R|"))


def _bad_bodies(folder: Path, factor: float) -> tuple[str, bool]:
    server = written(folder / "sqlite", Dialect.SQLITE)
    with running(server, f"sqlite:///{folder}/bad.db") as running_, closing(_client(running_)) as client:
        client.post("/ingest/batch", content=BASE)
        before, slowest, wrong = resident(running_.pid), 0.0, []
        for what, path, content, headers in bodies(bomb(factor)):
            took, status = sent(client, path, content, headers)
            slowest = max(slowest, took if what != "chunked" else 0)
            if not 400 <= status < 500:
                wrong.append(f"{what}: {status}")
        grown = (resident(running_.pid) - before) / 1e6
        alive = client.post("/ingest/message", content=order(1)).status_code == 200
    told = f"bad bodies {grown:+.0f} MB, slowest {slowest * 1000:.0f} ms, {', '.join(wrong) or 'all refused'}"
    return told, alive and not wrong and grown < 20 and slowest < 0.2


def _client(server: GeneratedServer) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, trust_env=False, timeout=600)
