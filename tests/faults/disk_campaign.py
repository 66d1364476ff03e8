"""Row 4 for ingest: PostgreSQL whose disk is full. First that of its tables, then that of its log."""

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg

from tests.faults.ingest_campaign import client_of
from tests.faults.result import Result
from tests.gates.ingest import BASE, config, order
from tests.gates.process import gate_process
from tests.services.daemon import Unavailable, wait_until
from tests.services.postgres import PostgresCluster
from tests.services.small_disk import SmallDisk, small_disk

LINES = 2000  # of a batch


@dataclass
class Fate:
    """What a sender was told of its orders, and what there is in the end."""

    acked: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)  # nothing is kept of these, it was said
    unknown: set[int] = field(default_factory=set)  # of a batch that broke off, or a commit that nobody saw the end of
    statuses: Counter[int] = field(default_factory=Counter)
    kept: list[int] = field(default_factory=list)
    well_again: bool = False

    @property
    def wrong(self) -> int:
        """Acknowledged and lost, refused and kept, or twice there."""
        there = set(self.kept)
        return len(self.acked - there) + len(self.refused & there) + len(self.kept) - len(there)

    def __str__(self) -> str:
        told = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return f"{told}; {len(self.acked)} acknowledged, {self.wrong} wrong, well again: {self.well_again}"


def row_4(factor: float) -> Result:
    """Both kinds of disks, some times each."""
    fates = []
    try:
        for _ in range(max(1, round(5 * factor))):
            for place in (full_tables, full_log):
                with tempfile.TemporaryDirectory() as name:
                    fates.append(place(Path(name)))
    except Unavailable as error:
        return Result(4, "ingest: full disk", str(error), passed=False)
    figures = f"{len(fates)} disks: {sum(fate.wrong for fate in fates)} wrong; the last two: {fates[-2]} | {fates[-1]}"
    passed = all(fate.wrong == 0 and fate.well_again and fate.acked and fate.refused for fate in fates)
    return Result(4, "ingest: full disk", figures, passed=passed)


def full_tables(folder: Path) -> Fate:
    """The database is in a tablespace on a small disk; the server's log is elsewhere, and the server goes on."""
    with small_disk(64) as disk, PostgresCluster(controllable=True) as cluster:
        url = cluster.create_database("small")
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk.folder}'".encode())
            connection.execute("ALTER DATABASE small SET TABLESPACE small")
        return _fate(folder, cluster, url, disk)


def full_log(folder: Path) -> Fate:
    """The server's log is on a small disk. It panics when it cannot write that, and starts again when it has room."""
    settings = {"max_wal_size": "1GB", "checkpoint_timeout": "1h"}  # nothing of the log is let go
    with small_disk(64) as disk, PostgresCluster(settings, controllable=True) as cluster:
        url = cluster.create_database()
        cluster.stop()
        shutil.copytree(cluster.data / "pg_wal", disk.folder / "pg_wal", copy_function=shutil.copy2)
        shutil.rmtree(cluster.data / "pg_wal")
        (cluster.data / "pg_wal").symlink_to(disk.folder / "pg_wal")
        for path in (disk.folder / "pg_wal", *(disk.folder / "pg_wal").rglob("*")):
            shutil.chown(path, cluster.data.owner(), cluster.data.group())
        cluster.start()
        return _fate(folder, cluster, url, disk)


def _fate(folder: Path, cluster: PostgresCluster, url: str, disk: SmallDisk) -> Fate:
    fate, keys = Fate(), itertools.count(1)
    with gate_process(config(url, interface=", on_duplicate: error"), folder) as gate, client_of(gate) as client:
        assert client.post("/ingest/batch", content=BASE).status_code == 200
        _send(client, keys, fate)
        disk.fill(but=3_000_000)
        for _ in range(60):
            _send(client, keys, fate)
            if len(fate.statuses) > 1 and fate.refused:
                break
        disk.fill()
        _send(client, keys, fate)
        whole = [_whole(client, keys, fate) for _ in range(3)]
        disk.free()
        if not wait_until(lambda: _answers(cluster), within=5):
            cluster.start()
        fate.well_again = wait_until(lambda: client.post("/ingest/message", content="#").status_code == 400, within=30)
        _send(client, keys, fate)
        for key, first in whole:  # what was asked for with a key is done now, once
            _ask(client, key, first, fate)
        fate.well_again &= fate.statuses[200] >= 2
    with psycopg.connect(url) as connection:
        fate.kept = [row[0] for row in connection.execute("SELECT order_key FROM orders").fetchall()]
    return fate


def _send(client: httpx2.Client, keys: Iterator[int], fate: Fate) -> None:
    """A batch, and messages that come together."""
    numbers = list(itertools.islice(keys, LINES))
    answer = client.post("/ingest/batch", content="\n".join(_order(key) for key in numbers))
    fate.statuses[answer.status_code] += 1
    if answer.status_code == 200:
        fate.acked.update(numbers)
    else:
        settled = answer.json()["processed"]
        fate.acked.update(numbers[:settled])
        (fate.unknown if "may be kept" in answer.json()["message"] else fate.refused).update(numbers[settled:])
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: _one(client, key, fate), itertools.islice(keys, 64)))


def _one(client: httpx2.Client, key: int, fate: Fate) -> None:
    answer = client.post("/ingest/message", content=_order(key))
    fate.statuses[answer.status_code] += 1
    if answer.status_code == 200:
        fate.acked.add(key)
    else:
        (fate.unknown if "may be kept" in answer.json()["message"] else fate.refused).add(key)
        assert answer.headers["retry-after"]


def _whole(client: httpx2.Client, keys: Iterator[int], fate: Fate) -> tuple[str, int]:
    """A batch that is one transaction, asked for while there is no room."""
    first = next(keys)
    for _ in range(LINES):
        next(keys)
    key = f"batch-{first}"
    answer = client.post("/ingest/batch", content=_batch(first), headers={"Idempotency-Key": key})
    fate.statuses[answer.status_code] += 1
    return key, first


def _ask(client: httpx2.Client, key: str, first: int, fate: Fate) -> None:
    answer = client.post("/ingest/batch", content=_batch(first), headers={"Idempotency-Key": key})
    fate.statuses[answer.status_code] += 1
    if answer.status_code == 200 and answer.json()["inserted"] == LINES:
        fate.acked.update(range(first, first + LINES))


def _batch(first: int) -> str:
    return "\n".join(_order(key) for key in range(first, first + LINES))


def _order(key: int) -> str:
    return order(key, comment="x" * 79)


def _answers(cluster: PostgresCluster) -> bool:
    try:
        psycopg.connect(cluster.url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
