"""Subscriptions with a cursor: what was not acknowledged comes again, and nothing is lost."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from headgate.core.message import Message
from headgate.errors import Unavailable
from headgate.interface import confirmed
from headgate.spec.resolve import plan_text
from headgate.transport.memory import MemorySource
from tests.gates.inside import Serving
from tests.gates.process import gate_process
from tests.gates.sockets import Client, raw_socket, read_frame, talk
from tests.gates.web import client_of, eventually, web

WORK = """
streams: {jobs: {transport: %s, retain: {messages: 5000}}, others: {}}
runtime:
  web:
    interfaces:
      - {kind: websocket, path: /jobs, stream: jobs, cursors: true, filter: {line: {field: line}}}
      - {kind: websocket, path: /elsewhere, stream: jobs, cursors: true}
      - {kind: websocket, path: /plain, stream: jobs}
"""
MEMORY = WORK % "memory"


async def publish(served: Serving, *numbers: int, **facts: Any) -> None:
    bodies = [json.dumps({"n": number, **facts}).encode() for number in numbers]
    await served.gate.streams["jobs"].publish([Message(value=body) for body in bodies])


@asynccontextmanager
async def work(url: str, cursor: str = "worker", path: str = "/jobs", **given: Any) -> AsyncIterator[Client]:
    """A client with a cursor, which is where it was, or at the oldest message."""
    async with talk(url, f"{path}?cursor={cursor}&from=oldest", **given) as client:
        told = await client.next()
        assert told["type"] == "subscribed"
        yield client


async def jobs(client: Client, count: int) -> list[tuple[int, str]]:
    """The numbers of so many messages, each with its place."""
    frames = await client.take(count)
    assert {told["type"] for told in frames} <= {"message"}, frames
    return [(told["value"]["n"], told["position"]) for told in frames]


def committed(served: Serving) -> list[int]:
    return list(served.gate.streams["jobs"].transport._streams["jobs"].cursors.values())  # type: ignore[attr-defined]


async def test_what_was_not_acknowledged_comes_again() -> None:
    async with web(MEMORY) as (_, served):
        await publish(served, *range(10))
        async with work(served.url) as client:
            got = await jobs(client, 10)
            assert [number for number, _ in got] == list(range(10))
            await client.say("ack", position=got[3][1])
            await eventually(lambda: committed(served) == [4])
        async with work(served.url) as client:
            got = await jobs(client, 6)
            assert [number for number, _ in got] == [4, 5, 6, 7, 8, 9]
            await client.say("ack", position=got[-1][1])
        async with work(served.url) as client:
            await publish(served, 10)
            assert [number for number, _ in await jobs(client, 1)] == [10]


async def test_an_acknowledgement_counts_also_when_the_client_goes_right_after_it() -> None:
    async with web(MEMORY) as (_, served):
        await publish(served, *range(100))
        done: list[int] = []
        for _ in range(10):
            async with work(served.url) as client:
                got = await jobs(client, 10)
                done += [number for number, _ in got]
                await client.say("ack", position=got[-1][1])
        assert done == list(range(100))


async def test_a_new_cursor_begins_now_and_is_there_for_who_is_cut_before_the_first_message() -> None:
    async with web(MEMORY) as (_, served):
        await publish(served, 0)
        async with talk(served.url, "/jobs?cursor=worker") as client:
            told = await client.next()
            assert told["position"].endswith(":1")
        await publish(served, 1)
        async with work(served.url) as client:
            assert [number for number, _ in await jobs(client, 1)] == [1]


async def test_cursors_are_several_and_others_at_each_interface() -> None:
    async with web(MEMORY) as (_, served):
        await publish(served, 0, 1)
        for cursor, path in (("a", "/jobs"), ("b", "/jobs"), ("a", "/elsewhere")):
            async with work(served.url, cursor, path) as client:
                [first, _] = await jobs(client, 2)
                assert first[0] == 0
                await client.say("ack", position=first[1])
        await eventually(lambda: committed(served) == [1, 1, 1])


async def test_several_cursors_on_one_socket_are_acknowledged_by_id() -> None:
    async with web(MEMORY) as (_, served), talk(served.url, "/jobs?line=none", packed=True) as client:
        await client.next()
        await publish(served, 0)
        for name in ("a", "b"):
            await client.say("subscribe", id=name, cursor=name, start="oldest")
            assert [(told["id"], told["type"]) for told in await client.take(2)] == [
                (name, "subscribed"),
                (name, "message"),
            ]
        await client.say("ack", id="b", position=f"{served.gate.hubs['jobs'].window.epoch}:1")
        await eventually(lambda: sorted(committed(served)) == [0, 1])
        await client.say("unsubscribe", id="a")
        assert await client.next() == {"type": "unsubscribed", "id": "a"}
        await client.say("subscribe", id="a", cursor="a")
        assert [told["type"] for told in await client.take(2)] == ["subscribed", "message"]


@pytest.mark.parametrize("position", ["nonsense", "0bad0bad:1", "{epoch}:2", "{epoch}:9", "{epoch}:0-1,1-1", ""])
async def test_an_acknowledgement_of_what_was_never_given_is_an_error(position: str) -> None:
    async with web(MEMORY) as (_, served), work(served.url) as client:
        await publish(served, 0, 1, 2, line="x")
        place = (await jobs(client, 3))[1][1]
        epoch = place.partition(":")[0]
        await client.say("subscribe", id="x", cursor="other", filter={"line": "y"}, start="oldest")
        assert (await client.next())["type"] == "subscribed"
        await client.say("ack", id="x", position=position.format(epoch=epoch))
        told = await client.next()
        assert (told["type"], told["id"]) == ("error", "x")
        assert told["code"] in ("bad_request", "position")


async def test_an_acknowledgement_may_come_twice_and_late() -> None:
    async with web(MEMORY) as (_, served), work(served.url) as client:
        await publish(served, *range(5))
        got = await jobs(client, 5)
        for index in (3, 3, 1):
            await client.say("ack", position=got[index][1])
        await client.say("ack", position=got[4][1].replace(":5", ":6"))
        assert (await client.next())["type"] == "error"
        await eventually(lambda: committed(served) == [4])


async def test_what_does_not_match_is_dealt_with_when_all_before_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmed, "MOVE_ALONG", 0.01)
    async with web(MEMORY) as (_, served), talk(served.url, "/jobs?cursor=worker&line=a&from=oldest") as client:
        await client.next()
        await publish(served, 0, 1, line="b")
        await eventually(lambda: committed(served) == [2])
        await publish(served, 2, line="a")
        await publish(served, 3, 4, line="b")
        await publish(served, 5, line="a")
        await publish(served, 6, line="b")
        first, second = await jobs(client, 2)
        assert (first[0], second[0]) == (2, 5)
        await asyncio.sleep(0.05)
        assert committed(served) == [2]
        await client.say("ack", position=first[1])
        await eventually(lambda: committed(served) == [5])
        await client.say("ack", position=second[1])
        await eventually(lambda: committed(served) == [7])


async def test_no_more_than_so_many_are_under_way() -> None:
    async with web(MEMORY) as (_, served), work(served.url) as client:
        for first in range(0, 2500, 100):
            await publish(served, *range(first, first + 100))
        got = await jobs(client, 1000)
        await client.say("unsubscribe", id="nobody")
        assert (await client.next())["type"] == "error"  # and no message before it
        await client.say("ack", position=got[0][1])
        assert [number for number, _ in await jobs(client, 1)] == [1000]
        await client.say("ack", position=got[-1][1])
        assert [number for number, _ in await jobs(client, 999)] == list(range(1001, 2000))


async def test_who_brings_the_cursor_of_another_takes_it_over() -> None:
    async with web(MEMORY) as (_, served), work(served.url) as first:
        await publish(served, *range(4))
        got = await jobs(first, 4)
        await first.say("ack", position=got[1][1])
        async with work(served.url) as second:
            assert (await first.rest())[1:] == (1008, "another connection took over the cursor")
            assert [number for number, _ in await jobs(second, 2)] == [2, 3]
            await publish(served, 4)
            assert [number for number, _ in await jobs(second, 1)] == [4]


async def test_of_many_that_bring_a_cursor_at_once_one_has_it() -> None:
    async with web(MEMORY) as (_, served):
        await publish(served, 0)

        async def come() -> str:
            async with talk(served.url, "/jobs?cursor=worker&from=oldest") as client:
                frames, code, _ = await client.rest()
                assert code == 1008
                return str(frames)

        coming = [asyncio.ensure_future(come()) for _ in range(10)]
        await eventually(lambda: sum(task.done() for task in coming) == 9)
        assert len(served.gate._cursors) == len(served.gate.visitors) == 1
        async with work(served.url) as client:
            assert [number for number, _ in await jobs(client, 1)] == [0]
            await asyncio.gather(*coming)


async def test_what_fell_out_before_the_client_came_is_a_gap() -> None:
    config = MEMORY.replace("messages: 5000", "messages: 10")
    async with web(config) as (_, served):
        async with work(served.url) as client:
            await publish(served, 0)
            await jobs(client, 1)
        await publish(served, *range(1, 31))
        async with work(served.url) as client:
            gap = await client.next()
            assert (gap["type"], gap["missed"], gap["of"], gap["reason"]) == ("gap", 21, "stream", "expired")
            assert [number for number, _ in await jobs(client, 10)] == list(range(21, 31))


async def test_a_reload_hands_the_cursor_on() -> None:
    async with web(MEMORY) as (_, served), work(served.url) as first:
        await publish(served, 0)
        await jobs(first, 1)
        await served.gate.reload(plan_text(MEMORY + "service: {name: other}"))
        async with work(served.url) as second:
            assert (await first.rest())[1] == 1008
            assert [number for number, _ in await jobs(second, 1)] == [0]
            await served.gate.reload(plan_text(MEMORY.replace("messages: 5000", "messages: 6000")))
            assert (await second.rest())[1] == 1001
        assert len(served.gate._cursors) == 0


async def test_a_reader_that_fails_for_a_while_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MemorySource.read
    failures = iter([True, True])

    async def failing(self: MemorySource, *given: Any) -> Any:
        if self._cursor is not None and self._stream.ring.newest and next(failures, False):
            raise Unavailable("away")
        return await whole(self, *given)

    async with web(MEMORY) as (_, served), work(served.url) as client:
        monkeypatch.setattr(MemorySource, "read", failing)
        await publish(served, 0)
        await jobs(client, 1)
        await publish(served, 1)
        assert [number for number, _ in await jobs(client, 1)] == [1]


async def test_a_client_that_takes_nothing_is_not_read_for() -> None:
    async with web(MEMORY) as (_, served), raw_socket(served.url, "/jobs?cursor=w") as slow:
        await read_frame(slow)
        slow.writer.transport.pause_reading()
        [visitor] = served.gate.visitors._there
        [following] = visitor._followed.values()  # type: ignore[attr-defined]
        for first in range(0, 300, 10):
            await publish(served, *range(first, first + 10), pad="x" * 60_000)
        await eventually(lambda: visitor._outlet.paused)  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        assert visitor._outlet.transport.get_write_buffer_size() < 1_000_000  # type: ignore[attr-defined]
        slow.writer.transport.resume_reading()
        seen = [json.loads((await read_frame(slow))[1])["value"]["n"] for _ in range(300)]
        assert seen == list(range(300))
        assert len(following._unconfirmed) == 300


async def test_a_stream_of_another_service_is_read_by_cursor_too() -> None:
    async with web(MEMORY) as (_, there):
        config = MEMORY.replace("transport: memory", f"transport: http, url: {there.url}/streams/jobs/messages")
        async with web(config) as (_, here):
            async with work(here.url) as client:
                await publish(there, *range(10))
                got = await jobs(client, 10)
                await client.say("ack", position=got[3][1])
                await client.say("unsubscribe")
                assert (await client.next())["type"] == "unsubscribed"
            async with work(here.url) as client:
                assert [number for number, _ in await jobs(client, 6)] == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/jobs?cursor=a%20b", 422, "must be a name"),
        ("/jobs?cursor=" + "x" * 65, 422, "must be a name"),
        ("/jobs?cursor=", 422, "must be a name"),
        ("/jobs?cursor=a&cursor=b", 400, "once"),
        ("/jobs?cursor=a&after=e:1", 400, "a place of its own"),
        ("/jobs?cursor=a&from=snapshot", 400, "a place of its own"),
        ("/plain?cursor=a", 422, "'cursor' is unknown"),
        ("/plain?colour=red", 422, "'colour' is unknown"),
    ],
)
async def test_a_cursor_that_cannot_be_is_refused(path: str, status: int, word: str) -> None:
    async with web(MEMORY) as (_, served):
        with pytest.raises(InvalidStatus) as refused:
            async with talk(served.url, path):
                pass
        assert refused.value.response.status_code == status
        assert word in json.loads(refused.value.response.body or b"{}")["error"]
        async with talk(served.url, "/plain?from=newest") as client:
            await client.next()
            await client.say("subscribe", id="x", cursor="a")
            told = await client.next()
            assert (told["type"], told["id"]) == ("error", "x")
            assert "no cursors here" in told["error"]


def kept(log: Path) -> int:
    """Where the one cursor of a log is."""
    with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as connection:
        [offset] = connection.execute("SELECT offset FROM cursors").fetchone()
    return int(offset)


async def test_a_gate_that_is_killed_between_delivery_and_acknowledgement_loses_nothing(tmp_path: Path) -> None:
    total = 250
    config = (WORK % "log") + f"connections: {{log: {{path: {tmp_path / 'log.db'}}}}}\n"
    seen: list[int] = []
    acknowledged = -1
    with gate_process(config, tmp_path) as gate:
        async with client_of(gate.url) as sender:
            lines = "\n".join(json.dumps({"n": n}) for n in range(total))
            headers = {"Content-Type": "application/x-ndjson"}
            answer = await sender.post("/streams/jobs/messages", content=lines, headers=headers)
            assert answer.json()["published"] == total
        while acknowledged < total - 1:
            async with work(gate.url) as client:
                got = await jobs(client, min(100, total - 1 - acknowledged))
                # What comes again was not acknowledged, and nothing is left out.
                assert [number for number, _ in got] == list(range(acknowledged + 1, acknowledged + 1 + len(got)))
                seen += [number for number, _ in got if number > max(seen, default=-1)]
                acknowledged, position = got[len(got) // 2 if len(got) == 100 else -1]
                await client.say("ack", position=position)
                await eventually(lambda done=acknowledged + 1: kept(tmp_path / "log.db") == done)
                await asyncio.to_thread(gate.kill)
            await asyncio.to_thread(gate.start)
    assert seen == list(range(total))
