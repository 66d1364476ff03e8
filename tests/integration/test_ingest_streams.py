"""Ingesting from streams, and publishing what is kept and what is refused to streams."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import Unavailable
from headgate.runtime.ingest.relay import Relay
from tests.gates.ingest import BASE, Sender, ingesting, order
from tests.gates.web import eventually
from tests.services.postgres import PostgresCluster

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.create_database()


def streams(**named: str) -> str:
    """Streams in the embedded log, by name and codec."""
    return "streams:\n" + "\n".join(f"  {name}: {{transport: log, codec: {codec}}}" for name, codec in named.items())


async def messages(sender: Sender, name: str) -> list[Message[Any]]:
    """All that a stream holds."""
    stream = sender.serving.gate.streams[name]
    async with stream.subscribe(Oldest()) as subscription:
        batch = await subscription.take(10_000, wait=0)
    return [stream.decode(message) for message in batch.messages]


def reason(letter: Message[Any]) -> str:
    """Why a message is among the dead letters."""
    return dict(letter.headers)["reason"].decode()


async def test_what_comes_in_a_stream_is_kept_once(url: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"more": streams(raw="text", bad="text"), "log": tmp_path / "log.db"}
    interface = ", from: raw, dead_letters: bad, on_duplicate: error"
    for first in (0, 500):
        async with ingesting(url, base="", interface=interface, **given) as sender:
            lines = [*BASE.splitlines(), "Z|bad"] if first == 0 else []
            lines += [order(n) for n in range(first, first + 500)]
            publish = sender.serving.gate.streams["raw"].publish
            for at in range(0, len(lines), 100):
                await publish([Message(value=line.encode()) for line in lines[at : at + 100]])
            stats = sender.serving.gate.ingest.stats
            await eventually(lambda stats=stats: stats.messages["Order", "success"] == 500)
            assert stats.messages["Order", "error"] == 0
            assert await sender.count("orders") == first + 500
            [letter] = await messages(sender, "bad")
            assert letter.value == "Z|bad"
            assert reason(letter).startswith("a message begins with")


async def test_two_gates_that_read_one_stream_keep_it_once(url: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"more": streams(raw="json"), "log": tmp_path / "log.db", "interface": ", from: raw"}
    async with ingesting(url, base="", **given) as one, ingesting(url, base="", **given) as two:
        for n in range(100):
            record = {"entity": "Region", "record": {"region_key": n, "name": "x"}}
            await one.serving.gate.streams["raw"].publish([Message(value=json.dumps(record, indent=1).encode())])
        stats = [sender.serving.gate.ingest.stats for sender in (one, two)]
        await eventually(lambda: sum(s.messages["Region", "success"] for s in stats) >= 100)
        assert await one.count("regions") == 100
        assert sum(s.messages["Region", "duplicate"] for s in stats) == 0


async def test_records_that_are_kept_are_published_and_no_others(url: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"more": streams(out="json", bad="text"), "log": tmp_path / "log.db"}
    interface = ", publish: out, dead_letters: bad"
    async with ingesting(url, base=BASE, interface=interface, **given) as sender:
        body = "\n".join([order(1), order(2, customer=9), order(1), order(3, price="x")])
        await sender.post("batch", body)
        await sender.post("message", order(4))
        await sender.post("message", order(4))
        await sender.post("message", order(5, customer=9))
        await sender.post("batch?mode=atomic", f"{order(6)}\n{order(7, customer=9)}")
        await sender.post("batch?dry_run=true", order(8))
        await sender.post("batch", order(9), Idempotency_Key="k")
        await sender.post("batch", order(9), Idempotency_Key="k")
        out = sender.serving.gate.streams["out"]
        await eventually(lambda: out.stats.published == 9)
        found = [message for message in await messages(sender, "out") if message.value["entity"] == "Order"]
        assert [message.key for message in found] == [b"1", b"4", b"9"]
        assert found[0].value["record"]["total_price"] == "123.45"
        assert found[0].value["record"]["order_date"] == "1996-01-02"
        bad = await messages(sender, "bad")
        assert [letter.value for letter in bad] == [order(2, customer=9), order(3, price="x"), order(5, customer=9)]
        assert reason(bad[0]) == "Foreign key violation: customer_key=9 not found"


async def test_after_crashes_between_publishing_and_noting_it_each_row_has_one_event(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, crashes = Relay._settle, 0

    async def crash(self: Relay, numbers: set[int], place: str) -> None:
        nonlocal crashes
        if numbers and crashes < 100:
            crashes += 1
            self._lease = None
            raise Unavailable("the gate died here")
        await settle(self, numbers, place)

    monkeypatch.setattr(Relay, "_settle", crash)
    monkeypatch.setattr("headgate.runtime.ingest.relay.backoff", lambda *_, **__: 0.0)
    monkeypatch.setattr("headgate.runtime.ingest.relay._LOOK_SECONDS", 0.01)
    given: dict[str, Any] = {"more": streams(out="json"), "log": tmp_path / "log.db", "interface": ", publish: out"}
    async with ingesting(url, base="", **given) as sender:
        number = 0
        while crashes < 100:
            number += 1
            assert (await sender.post("message", f"R|{number}|x|")).status_code == 200
            await asyncio.sleep(0)
        database = sender.serving.gate.ingest.database
        assert database is not None

        async def waiting() -> int:
            async with database.session() as session:
                return len(await database.run(session.posted, "out", 10_000))

        async with asyncio.timeout(20):
            while await waiting():
                await asyncio.sleep(0.01)
        keys = [message.key.decode() for message in await messages(sender, "out") if message.key]
        assert sorted(keys, key=int) == [str(n) for n in range(1, number + 1)]
