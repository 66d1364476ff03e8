"""An ingest interface when things break: what was acknowledged is there, once, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disk_campaign import Fate, full_log, full_tables
from tests.gates.ingest import BASE, Sender, ingesting, order
from tests.gates.web import eventually
from tests.services.daemon import Unavailable
from tests.services.postgres import PostgresCluster

pytestmark = pytest.mark.anyio
Own = Callable[..., PostgresCluster]


async def restarted(sender: Sender, cluster: PostgresCluster) -> None:
    """The database is back, and the gate knows."""
    await asyncio.to_thread(cluster.start)
    async with asyncio.timeout(30):
        while (await sender.post("batch?on_duplicate=skip", BASE)).status_code != 200:
            await asyncio.sleep(0.05)


async def slowly(lines: list[str], halfway: Callable[[], Any]) -> AsyncIterator[bytes]:
    """A body that stops in its middle until something has happened."""
    half = len(lines) // 2
    yield "\n".join(lines[:half]).encode() + b"\n"
    await halfway()
    yield "\n".join(lines[half:]).encode()


async def test_of_a_batch_whose_database_is_killed_it_is_told_what_is_there(own_postgres: Own) -> None:
    cluster = own_postgres()
    async with ingesting(cluster.create_database()) as sender:
        lines = [order(n, comment="x" * 70) for n in range(30_000)]
        stats = sender.serving.gate.ingest.stats

        async def kill() -> None:
            await eventually(lambda: stats.messages["Order", "success"] > 5000)
            await asyncio.to_thread(cluster.kill)

        response = await sender.http.post("/ingest/batch", content=slowly(lines, kill))
        answer = response.json()
        assert (response.status_code, answer["type"]) == (503, "unavailable")
        assert response.headers["retry-after"]
        assert 5000 < answer["inserted"] == answer["processed"] < 30_000
        assert (await sender.http.get("/ready")).status_code == 503
        assert (await sender.http.get("/health")).json()["database"] == "disconnected"
        assert (await sender.post("message", order(1))).status_code == 503
        await restarted(sender, cluster)
        assert [row[0] for row in await sender.rows("orders", "order_key")] == list(range(answer["inserted"]))
        again = (await sender.post("batch", "\n".join(lines))).json()
        assert (again["duplicates"], again["inserted"]) == (answer["inserted"], 30_000 - answer["inserted"])
        assert (await sender.http.get("/ready")).status_code == 200


@pytest.mark.parametrize("how", ["?mode=atomic", "key"])
async def test_of_what_is_one_transaction_nothing_is_there(own_postgres: Own, how: str) -> None:
    cluster = own_postgres()
    headers = {"Idempotency-Key": "k"} if how == "key" else {}
    path = f"/ingest/batch{how if how != 'key' else ''}"
    async with ingesting(cluster.create_database()) as sender:
        lines = [order(n) for n in range(20_000)]

        async def kill() -> None:
            await asyncio.to_thread(cluster.kill)

        response = await sender.http.post(path, content=slowly(lines, kill), headers=headers)
        assert (response.status_code, response.json()["inserted"]) == (503, 0)
        await restarted(sender, cluster)
        assert await sender.count("orders") == 0
        for _ in range(2):
            again = await sender.http.post(path, content="\n".join(lines), headers=headers)
            assert again.status_code == 200
        assert await sender.count("orders") == 20_000


async def test_each_message_that_was_acknowledged_is_there_once(own_postgres: Own) -> None:
    cluster = own_postgres()
    async with ingesting(cluster.create_database(), interface=", on_duplicate: error") as sender:
        acknowledged: list[int] = []
        numbers = iter(range(1_000_000))
        going = True

        async def send() -> None:
            while going:
                number = next(numbers)
                answer = await sender.post("message", order(number))
                if answer.status_code == 200:
                    acknowledged.append(number)
                else:
                    assert answer.status_code == 503, answer.text
                    await asyncio.sleep(0.01)

        sending = [asyncio.create_task(send()) for _ in range(16)]
        for _ in range(3):
            so_far = len(acknowledged)
            await eventually(lambda so_far=so_far: len(acknowledged) > so_far + 300)
            await asyncio.to_thread(cluster.kill)
            await restarted(sender, cluster)
        going = False
        await asyncio.gather(*sending)
        kept = [row[0] for row in await sender.rows("orders", "order_key")]
        assert set(acknowledged) <= set(kept)
        assert len(acknowledged) == len(set(acknowledged)) > 900
        # What was being committed when the server died may be there without anybody having been told.
        assert len(kept) - len(acknowledged) <= 3 * 16


async def test_a_connection_that_died_while_it_was_idle_costs_nobody_a_message(own_postgres: Own) -> None:
    cluster = own_postgres()
    async with ingesting(cluster.create_database()) as sender:
        assert (await sender.post("message", order(1))).status_code == 200
        await asyncio.to_thread(cluster.restart)
        assert (await sender.post("message", order(2))).status_code == 200
        assert (await sender.post("batch", order(3))).status_code == 200


async def test_a_gate_starts_without_its_database_and_takes_up_work_when_it_comes(own_postgres: Own) -> None:
    cluster = own_postgres()
    url = cluster.create_database()
    await asyncio.to_thread(cluster.stop)
    async with ingesting(url, base="") as sender:
        answer = await sender.post("message", order(1))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "password" not in answer.text
        await asyncio.to_thread(cluster.start)
        await restarted(sender, cluster)
        assert (await sender.post("message", order(1))).status_code == 200


async def test_two_gates_that_get_the_same_file_store_it_once(postgres: PostgresCluster) -> None:
    url = postgres.create_database()
    body = "\n".join(order(n, comment="x" * 70) for n in range(40_000))
    async with ingesting(url) as one, ingesting(url) as two:
        answers = await asyncio.gather(*(sender.post("batch", body) for sender in (one, two, one)))
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        facts = [answer.json() for answer in answers]
        assert sum(fact["inserted"] for fact in facts) == 40_000
        assert sum(fact["duplicates"] for fact in facts) == 80_000
        assert await one.count("orders") == 40_000


async def test_a_full_disk_is_told_and_the_gate_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async with ingesting(f"sqlite:///{tmp_path}/store.db") as sender:
        assert (await sender.post("message", order(1))).status_code == 200
        await limit_pages(sender, 120)
        body = "\n".join(order(n, comment="x" * 70) for n in range(2, 20_000))
        for path in ("batch", "batch?mode=atomic"):
            response = await sender.post(path, body)
            assert (response.status_code, response.json()["type"]) == (507, "storage_full")
        told = (await sender.post("batch", body)).json()["inserted"]
        assert await sender.count("orders") == 1 + told
        await limit_pages(sender, 1_000_000)
        assert (await sender.post("batch", body)).json()["inserted"] == 19_998 - told
        assert await sender.count("orders") == 19_999


async def limit_pages(sender: Sender, most: int) -> None:
    """Let the database file grow to so many pages and no further."""
    database = sender.serving.gate.ingest.database
    assert database is not None
    async with database.session() as session:
        connection: Any = session._connection  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count = {most}")


async def test_too_many_uploads_at_once_are_sent_away(postgres: PostgresCluster) -> None:
    async with ingesting(postgres.create_database(), interface=", uploads: 2") as sender:
        gate = asyncio.Event()
        bodies = [slowly([order(n), order(n + 1)], gate.wait) for n in (1, 3)]
        sending = [asyncio.create_task(sender.http.post("/ingest/batch", content=body)) for body in bodies]
        intake = sender.serving.gate.ingest.intakes[0]
        await eventually(lambda: intake.uploads == 2)
        refused = await sender.post("batch", order(9))
        assert (refused.status_code, refused.json()["type"]) == (429, "busy")
        assert refused.headers["retry-after"]
        gate.set()
        assert [answer.json()["inserted"] for answer in await asyncio.gather(*sending)] == [2, 2]
        assert (await sender.post("batch", order(9))).status_code == 200
        assert await sender.count("orders") == 5


@pytest.mark.parametrize(("place", "status"), [(full_tables, 507), (full_log, 503)])
def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_kept(
    tmp_path: Path, postgres: PostgresCluster, place: Callable[[Path], Fate], status: int
) -> None:
    if postgres.kind == "external":
        pytest.skip("the server of DATABASE_URL is not ours to fill")
    try:
        fate = place(tmp_path)
    except Unavailable as error:
        pytest.skip(str(error))
    assert set(fate.statuses) == {200, status}
    assert fate.acked
    assert fate.refused
    assert fate.wrong == 0
    assert fate.well_again
