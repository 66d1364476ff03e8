"""The gate: what starts and ends in which order, and what a reload leaves alone."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.app.gate import Gate, declared, rehearse
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import HeadgateError, NodeError, StreamClosed, StreamFull
from headgate.spec.plan import Plan
from headgate.spec.resolve import load_plan, plan_text
from headgate.transport.memory import MemoryTransport
from tests.gates.web import eventually, web

NOTES = "streams: {notes: {codec: json}}"
FOLLOW = "/streams/notes/messages?follow=true"
NODES = """
import asyncio
from headgate import node

@node(output="ticks")
async def tick():
    for number in range(3):
        yield number
    await asyncio.get_running_loop().create_future()

@node(input="ticks", output="tocks")
def double(number: int) -> int:
    return 2 * number
"""


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Path]:
    """A folder whose modules can be discovered, and are forgotten afterwards."""
    path, known = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


def plan_in(folder: Path, config: str, module: str = "", name: str = "plant") -> Plan:
    """The plan of a file in a folder, with a module beside it."""
    (folder / f"{name}.py").write_text(module)
    (folder / "headgate.yaml").write_text(config)
    return load_plan([folder / "headgate.yaml"], environ={})


async def read(gate: Gate, stream: str, count: int) -> list[Any]:
    """The first values of a stream."""
    values: list[Any] = []
    async with asyncio.timeout(10), gate.streams[stream].subscribe(Oldest()) as subscription:
        while len(values) < count:
            values += [json.loads(message.value) for message in (await subscription.take()).messages]
    return values


async def test_a_gate_starts_its_streams_and_nodes(modules: Path) -> None:
    plan = plan_in(modules, "{streams: {ticks: {}, tocks: {}}, runtime: {discovery_modules: [plant]}}", NODES)
    async with Gate(plan) as gate:
        assert await read(gate, "tocks", 3) == [0, 2, 4]
        assert repr(gate) == "<Gate headgate: 2 streams, 2 nodes>"
        assert gate.info()["nodes"] == ["double", "tick"]


async def test_nothing_runs_after_a_gate_has_ended(modules: Path) -> None:
    before = asyncio.all_tasks()
    plan = plan_in(modules, "{streams: {ticks: {}, tocks: {}}, runtime: {discovery_modules: [plant]}}", NODES)
    async with Gate(plan) as gate:
        stream = gate.streams["ticks"]
        await read(gate, "tocks", 3)
    assert asyncio.all_tasks() == before
    with pytest.raises(StreamClosed):
        await stream.publish([Message(value=b"1")])
    assert (gate.streams, len(gate.tasks)) == ({}, 0)


async def test_ending_twice_is_fine() -> None:
    async with Gate(plan_text(NOTES)) as gate:
        await gate.close()


async def test_a_node_finishes_what_it_holds_before_its_streams_close(modules: Path) -> None:
    module = """
import asyncio
from headgate import node

@node(input="jobs", output="done")
async def work(job: int) -> int:
    await asyncio.sleep(0.05)
    return job
"""
    plan = plan_in(modules, "{streams: {jobs: {}, done: {}}, runtime: {discovery_modules: [plant]}}", module)
    async with Gate(plan) as gate:
        await gate.streams["jobs"].publish([Message(value=b"7")])
        await eventually(lambda: gate.streams["jobs"].stats.delivered)
        done = gate.streams["done"]
    assert done.stats.published == 1


async def test_a_start_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Failing(MemoryTransport):
        async def open_sink(self, stream: Any) -> Any:
            if stream.name == "second":
                raise HeadgateError("no such place")
            return await super().open_sink(stream)

        async def close(self) -> None:
            closed.append("transport")
            await super().close()

    before = asyncio.all_tasks()
    monkeypatch.setattr("headgate.app.connect.transport_class", lambda _: Failing)
    with pytest.raises(HeadgateError, match="no such place"):
        async with Gate(plan_text("streams: {first: {}, second: {}}")):
            pass
    assert closed == ["transport"]
    assert asyncio.all_tasks() == before


# What cannot work


@pytest.mark.parametrize(
    ("config", "module", "reason"),
    [
        ("streams: {a: {}}", "@node(input='b')\ndef f(x): pass", "node 'f' names stream 'b', but the file declares: a"),
        ("streams: {a: {}}", "@node()\ndef f(x): pass", "'f' has no input stream; name one in @node or under nodes:"),
        ("streams: {a: {}}\nnodes: {g: {input: a}}", "", "wires node 'g', but the discovery modules declare: none"),
        ("streams: {a: {}}", "def f(:", "plant.py:2: invalid syntax"),
        ("streams: {a: {}}", "import not_there", "plant.py:2: ModuleNotFoundError: No module named 'not_there'"),
        ("streams: {a: {}}", "1 / 0", "plant.py:2: ZeroDivisionError: division by zero"),
        ("streams: {a: {}}", "@node()\ndef f(x, y): pass", "node 'f' takes 2 parameters; a node takes one, or none"),
    ],
)
async def test_what_cannot_work_is_refused_in_words(config: str, module: str, reason: str, modules: Path) -> None:
    text = f"{config}\nruntime: {{discovery_modules: [plant]}}"
    plan = plan_in(modules, text, f"from headgate import node\n{module}")
    with pytest.raises(NodeError) as refused:
        await rehearse(plan)
    assert str(refused.value).endswith(reason)
    with pytest.raises(NodeError):
        async with Gate(plan):
            pass


async def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(NodeError, match=r"module 'no.such' of runtime.discovery_modules is not found"):
        declared(plan_text(f"{NOTES}\nruntime: {{discovery_modules: [no.such]}}"))


async def test_a_stream_is_not_asked_for_what_its_transport_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(MemoryTransport):
        abilities = frozenset()

    monkeypatch.setattr("headgate.app.connect.transport_class", lambda _: Plain)
    plan = plan_text("streams: {jobs: {delivery: queue, overflow: reject}}")
    with pytest.raises(HeadgateError, match="stream 'jobs': memory cannot do delivery: queue, overflow: reject"):
        await rehearse(plan)


async def test_a_rehearsal_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryTransport, "open_sink", None)
    assert await rehearse(plan_text(NOTES)) == {}


# Reload


async def test_a_reload_leaves_what_is_the_same_alone() -> None:
    async with web(f"{NOTES}\nservice: {{name: a}}") as (client, served):
        await client.post("/streams/notes/messages", content=b"[1,2]")
        place = (await client.get("/streams/notes/messages")).headers["headgate-position"]
        await served.gate.reload(plan_text(f"service: {{name: b}}\n{NOTES[:-1]}, more: {{}}}}"))
        after = await client.get("/streams/notes/messages")
        assert [message["value"] for message in after.json()] == [1, 2]
        assert after.headers["headgate-position"] == place
        assert (await client.get("/info")).json()["streams"] == ["more", "notes"]


async def test_a_reload_cuts_no_follower() -> None:
    async with web(NOTES) as (client, served), client.stream("GET", FOLLOW) as answer:
        lines = answer.aiter_lines()
        for number in range(100):
            await served.gate.reload(plan_text(f"{NOTES[:-1]}, other{number}: {{}}}}"))
            await client.post("/streams/notes/messages", content=b"%d" % number)
            assert json.loads(await anext(lines))["value"] == number
        assert served.gate.streams["notes"].readers == 1


async def test_a_reload_wakes_no_poller_that_waits() -> None:
    async with web("streams: {jobs: {delivery: queue}}") as (client, served):
        waiting = asyncio.ensure_future(client.get("/streams/jobs/messages?wait=9"))
        await eventually(lambda: served.gate.streams["jobs"].readers == 1)
        await served.gate.reload(plan_text("streams: {jobs: {delivery: queue}, more: {}}"))
        await client.post("/streams/jobs/messages", content=b"1")
        assert (await waiting).json()[0]["value"] == 1


async def test_a_stream_that_went_is_served_no_more() -> None:
    async with web(NOTES) as (client, served):
        stream = served.gate.streams["notes"]
        await served.gate.reload(plan_text("streams: {other: {}}"))
        assert (await client.get("/streams/notes/messages")).status_code == 404
        assert (await client.get("/streams/other/messages")).status_code == 204
        with pytest.raises(StreamClosed):
            await stream.publish([Message(value=b"1")])


async def test_followers_of_a_stream_that_went_are_sent_away() -> None:
    both = f"{NOTES[:-1]}, other: {{}}}}"
    async with web(both) as (client, served), client.stream("GET", FOLLOW) as answer:
        await eventually(lambda: served.gate.streams["notes"].readers == 1)
        await served.gate.reload(plan_text("streams: {other: {}}"))
        async with asyncio.timeout(0.5):
            assert [line async for line in answer.aiter_lines()] == []
        assert (await client.get(FOLLOW)).status_code == 404


async def test_a_transport_that_no_stream_needs_any_more_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Troubled(MemoryTransport):
        def __init__(self, **_: object) -> None:
            super().__init__()

        def trouble(self) -> str | None:
            return "a peer of long ago does not answer"

    classes = {"memory": MemoryTransport, "http": Troubled}
    monkeypatch.setattr("headgate.app.connect.transport_class", classes.__getitem__)
    both = "streams: {notes: {}, far: {transport: http, url: 'http://127.0.0.1:1/messages'}}"
    async with web(both) as (client, served):
        assert (await client.get("/ready")).status_code == 503
        await served.gate.reload(plan_text("streams: {notes: {}}"))
        assert (await client.get("/ready")).status_code == 200


async def test_a_stream_that_changed_is_what_the_file_says_now() -> None:
    async with web("streams: {jobs: {retain: {messages: 5}}}") as (client, served):
        changed = "streams: {jobs: {retain: {messages: 1}, delivery: queue, overflow: reject}}"
        await served.gate.reload(plan_text(changed))
        assert (await client.get("/streams/jobs/messages")).status_code == 204
        await served.gate.streams["jobs"].publish([Message(value=b"1")])
        with pytest.raises(StreamFull):
            await served.gate.streams["jobs"].publish([Message(value=b"2")])


async def test_a_reload_changes_how_large_a_request_may_be() -> None:
    async with web(NOTES) as (client, served):
        small = f"{NOTES}\nservice: {{limits: {{request_size_bytes: 10}}}}"
        await served.gate.reload(plan_text(small))
        assert (await client.post("/streams/notes/messages", content=b"1" * 11)).status_code == 413


async def test_a_reload_changes_the_interfaces() -> None:
    config = NOTES + "\nruntime: {web: {interfaces: [{kind: messages, path: %s, stream: notes}]}}"
    async with web(config % "/a") as (client, served):
        await served.gate.reload(plan_text(config % "/b"))
        assert [(await client.get(path)).status_code for path in ("/a", "/b")] == [404, 204]


async def test_a_reload_rewires_nodes_and_leaves_the_others_running(modules: Path) -> None:
    streams = "streams: {ticks: {}, tocks: {}, more: {}}"
    wired = f"{{{streams}, runtime: {{discovery_modules: [plant]}}, nodes: {{double: {{output: %s}}}}}}"
    async with Gate(plan_in(modules, wired % "tocks", NODES)) as gate:
        await read(gate, "tocks", 3)
        tick, double = gate.nodes["tick"], gate.nodes["double"]
        await gate.reload(plan_in(modules, wired % "more", NODES))
        assert gate.nodes["tick"] is tick
        assert gate.nodes["double"] is not double
        await gate.streams["ticks"].publish([Message(value=b"21")])
        assert (await read(gate, "more", 1))[-1] == 42
        assert gate.streams["tocks"].stats.published == 3


async def test_a_reload_that_cannot_work_changes_nothing(modules: Path) -> None:
    good = "{streams: {ticks: {}, tocks: {}}, runtime: {discovery_modules: [plant]}}"
    plan = plan_in(modules, good, NODES)
    async with Gate(plan) as gate:
        await read(gate, "tocks", 3)
        before = (dict(gate.streams), dict(gate.nodes), gate.app.router)
        with pytest.raises(NodeError, match="names stream 'tocks'"):
            await gate.reload(plan_in(modules, "{streams: {ticks: {}}, runtime: {discovery_modules: [plant]}}", NODES))
        assert (gate.streams, gate.nodes, gate.app.router) == before
        assert gate.plan is plan
        await gate.streams["ticks"].publish([Message(value=b"21")])
        assert (await read(gate, "tocks", 4))[-1] == 42


async def test_reloads_in_a_row_take_their_turns() -> None:
    async with Gate(plan_text(NOTES)) as gate:
        plans = [plan_text(f"streams: {{s{number % 3}: {{}}, t{number % 2}: {{}}}}") for number in range(30)]
        await asyncio.gather(*(gate.reload(plan) for plan in plans))
        assert sorted(gate.streams) == ["s2", "t1"]


async def test_a_gate_that_shuts_down_reloads_no_more() -> None:
    async with Gate(plan_text(NOTES)) as gate:
        gate.drain()
        await gate.reload(plan_text("streams: {other: {}}"))
        assert list(gate.streams) == ["notes"]
