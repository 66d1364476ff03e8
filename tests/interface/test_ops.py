"""What a gate tells of itself, to people, to probes and to scrapers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headgate.core.message import Message
from headgate.errors import Unavailable
from headgate.interface import ops
from headgate.runtime.stream import Stream
from headgate.spec.resolve import plan_text
from tests.gates.inside import Serving
from tests.gates.web import eventually, web

NOTES = "streams: {notes: {codec: json, retain: {messages: 3}}, jobs: {delivery: queue, retain: {messages: 2}}}"
ONE = "runtime: {web: {interfaces: [{kind: messages, path: /messages, stream: jobs}]}}"
POLLED = "{kind: messages, path: /a, stream: jobs}, {kind: messages, path: /b, stream: notes}"
TWO = f"runtime: {{web: {{interfaces: [{POLLED}]}}}}"


async def publish(served: Serving, stream: str, *values: bytes) -> None:
    await served.gate.streams[stream].publish([Message(value=value) for value in values])


async def metrics(client: httpx2.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


async def test_a_gate_is_healthy() -> None:
    async with web(NOTES) as (client, _):
        assert (await client.get("/health")).json() == {"status": "healthy", "version": "0.1.0"}


async def test_health_tells_the_size_of_the_one_queue_that_is_polled() -> None:
    async with web(f"{NOTES}\n{ONE}") as (client, served):
        await publish(served, "jobs", b"1", b"2")
        assert (await client.get("/health")).json() == {"status": "healthy", "version": "0.1.0", "queue_size": 2}
        await client.get("/messages?limit=1")
        await eventually(lambda: served.gate._web.in_flight == 0)
        assert (await client.get("/health")).json()["queue_size"] == 1


async def test_health_tells_the_size_of_each_of_several_queues_by_its_path() -> None:
    async with web(f"{NOTES}\n{TWO}") as (client, served):
        await publish(served, "jobs", b"1")
        assert (await client.get("/health")).json() == {
            "status": "healthy",
            "version": "0.1.0",
            "endpoints": {"/a": {"queue_size": 1}, "/b": {"queue_size": 0}},
        }


async def test_health_stays_well_while_a_stream_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(f"{NOTES}\n{ONE}") as (client, served):
        monkeypatch.setattr(served.gate.streams["jobs"], "extent", failing)
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["queue_size"]) == (200, None)


async def failing() -> Any:
    raise Unavailable("the broker is away")


async def test_a_gate_is_ready() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_a_gate_that_is_not_ready_says_what_is_in_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(NOTES) as (client, served):
        [(_, memory)] = served.gate._connections.transports
        monkeypatch.setattr(memory, "trouble", lambda: "no broker answers")
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()) == (
            503,
            {"status": "not ready", "issues": "memory: no broker answers"},
        )
        assert (await metrics(client))["headgate_ready", labels()] == 0


async def test_info_tells_what_runs_here() -> None:
    async with web("{service: {name: line, build: abc}, streams: {b: {}, a: {}}}") as (client, _):
        info = (await client.get("/info")).json()
        assert info.pop("uptime_seconds") >= 0
        assert info.pop("python").startswith("3.")
        what = {"streams": ["a", "b"], "nodes": [], "groups": {}}
        assert info == {"name": "line", "version": "0.1.0", "build": "abc", **what}


async def test_the_streams_are_listed_with_how_far_they_reach() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"1", b"2", b"3", b"4")
        await client.get("/streams/notes/messages?limit=1")
        [notes, jobs] = (await client.get("/streams")).json()["streams"]
        epoch = notes["newest"].partition(":")[0]
        assert notes == {
            "name": "notes",
            "transport": "memory",
            "codec": "json",
            "delivery": "broadcast",
            "published": 4,
            "refused": 0,
            "delivered": 1,
            "missed": 0,
            "readers": 0,
            "followers": 0,
            "messages": 3,
            "dropped": 0,
            "oldest": f"{epoch}:1",
            "newest": f"{epoch}:4",
        }
        assert (jobs["name"], jobs["delivery"], jobs["messages"]) == ("jobs", "queue", 0)


async def test_a_stream_that_cannot_say_how_far_it_reaches_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(NOTES) as (client, served):
        monkeypatch.setattr(served.gate.streams["notes"], "extent", failing)
        notes = (await client.get("/streams")).json()["streams"][0]
        assert (notes["messages"], notes["trouble"]) == (None, "the broker is away")


async def test_a_stream_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "_PATIENCE", 0.02)
    async with web(NOTES) as (client, served):
        monkeypatch.setattr(served.gate.streams["notes"], "extent", lambda: asyncio.sleep(60))
        notes = (await client.get("/streams")).json()["streams"][0]
        assert notes["trouble"] == "no answer within 0.02 s"


@pytest.mark.parametrize("path", ["/health", "/metrics", "/streams"])
async def test_a_reload_in_the_middle_of_a_question_breaks_no_answer(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with web(f"{NOTES}\n{TWO}") as (client, served):
        asked, go_on = asyncio.Event(), asyncio.Event()
        stream = served.gate.streams["jobs"]
        monkeypatch.setattr(stream, "extent", slowly(stream, asked, go_on))
        asking = asyncio.ensure_future(client.get(path))
        await asked.wait()
        await served.gate.reload(plan_text(f"{NOTES.replace('notes', 'others')}\n{ONE}"))
        go_on.set()
        assert (await asking).status_code == 200


def slowly(stream: Stream, asked: asyncio.Event, go_on: asyncio.Event) -> Callable[[], Awaitable[Any]]:
    extent = stream.extent

    async def wait() -> Any:
        asked.set()
        await go_on.wait()
        return await extent()

    return wait


async def test_metrics_are_what_a_scraper_reads() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"1", b"22", b"333", b"4444")
        await publish(served, "jobs", b"1", b"2", b"3")
        await client.get("/streams/notes/messages?after=another:1&limit=2")
        await client.get("/streams/notes/messages?wait=x")
        found = await metrics(client)
        notes, jobs = labels(stream="notes"), labels(stream="jobs")
        poll = {"route": "/streams/notes/messages", "method": "GET"}
        assert found["headgate_ready", labels()] == 1
        assert found["headgate_stream_published_total", notes] == 4
        assert found["headgate_stream_published_bytes_total", notes] == 10
        assert found["headgate_stream_delivered_total", notes] == 2
        assert found["headgate_stream_dropped_total", jobs] == 1
        assert found["headgate_stream_readers", notes] == 0
        assert found["headgate_http_requests_total", labels(**poll, status="200")] == 1
        assert found["headgate_http_requests_total", labels(**poll, status="400")] == 1
        assert found["headgate_http_errors_total", labels(code="bad_request")] == 1
        assert found["headgate_http_requests_in_flight", labels()] == 1
        assert found["process_resident_memory_bytes", labels()] > 0


async def test_100_000_ids_paths_and_methods_add_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    # Row 21 of RELIABILITY.md. Straight into the app: the network and FastAPI are not what is tested.
    async with web(NOTES) as (client, served):
        await metrics(client)
        monkeypatch.setattr(served.gate.app, "_behind", not_found)
        before = None
        for number in range(100_000):
            method = ("GET", "PUT", f"PURGE{number}")[number % 3]
            path = f"/{number}" if number % 2 else "/streams/notes/messages"
            await call(served, method, path, str(number))
            if number == 1000:
                before = len(await metrics(client))
        assert len(await metrics(client)) == before


async def not_found(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def call(served: Serving, method: str, path: str, id_: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    headers = [(b"x-request-id", id_.encode())]
    query = b"key=" + id_.encode()
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    await served.gate.app(scope | {"root_path": "", "http_version": "1.1", "server": ("x", 1)}, receive, send)
