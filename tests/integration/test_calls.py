"""Requests and replies from outside: what the requirements of the interface document call WEB-01 to WEB-08."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from headgate.core.message import Message
from headgate.spec.resolve import plan_text
from tests.gates.inside import Serving, serving
from tests.gates.web import client_of, eventually
from tests.services.kafka import KafkaBroker

pytestmark = pytest.mark.anyio
NODES = """
import asyncio, time
from typing import Any
import msgspec
from headgate import Message, Refusal, node

class Sum(msgspec.Struct):
    a: int
    b: int = 0

class Total(msgspec.Struct):
    total: int

@node(input="asked", output="half")
def add(sum: Sum) -> Total:
    if sum.a == 13:
        raise Refusal("thirteen is refused", status=409, type="unlucky")
    if sum.a == 0:
        raise RuntimeError("a secret of the house")
    return Total(sum.a + sum.b)

@node(input="half", output="answered")
async def twice(total: dict) -> dict:
    if total["total"] == 4242:
        await asyncio.sleep(3600)
    return {"total": 2 * total["total"]}

@node(input="raw", output="answered")
def batch(messages: list[Message[Any]]) -> list[Message[Any]]:
    return [message.answer({"got": message.value}) for message in messages]
"""
CONFIG = """
service: {log: {level: critical}, drain_seconds: 0.1}
connections: {kafka: {bootstrap_servers: "KAFKA"}}
streams: {asked: {}, half: {}, answered: {}, raw: {}}
runtime:
  discovery_modules: [MODULE]
  web:
    interfaces:
      - {kind: http, path: /sums, request: asked, response: answered, binds: [request, response]}
      - {kind: http, path: "/sums/{a}", methods: [GET, PUT], request: asked, response: answered}
      - {kind: http, path: /quick, request: asked, response: answered, policies: {timeout_ms: 300}}
      - {kind: http, path: /raw, request: raw, response: answered}
      - {kind: http, path: /nobody, request: answered, response: half, policies: {timeout_ms: 100}}
"""


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    name = f"nodes_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(NODES)
    sys.path.insert(0, str(tmp_path))
    yield name
    sys.path.remove(str(tmp_path))
    sys.modules.pop(name, None)


@asynccontextmanager
async def calling(module: str, config: str = CONFIG) -> AsyncIterator[tuple[httpx2.AsyncClient, Serving]]:
    async with serving(plan_text(config.replace("MODULE", module))) as served, client_of(served.url) as client:
        yield client, served


async def test_web_01_routes_come_from_the_configuration(module: str) -> None:
    async with calling(module) as (client, _):
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert set(paths["/sums/{a}"]) == {"get", "put"}
        body = paths["/sums"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert (body["required"], set(body["properties"])) == (["a"], {"a", "b"})
        [place, query] = paths["/sums/{a}"]["get"]["parameters"]
        assert (place["in"], place["schema"], query["name"]) == ("path", {"type": "integer"}, "b")
        assert (await client.delete("/sums")).status_code == 405


async def test_web_02_a_request_carries_who_waits_for_its_reply(module: str) -> None:
    async with calling(module) as (client, served):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await client.post("/sums", json={"a": 1}, headers={"traceparent": trace})
        url = "/streams/asked/messages?from=oldest"
        [request] = (await client.get(url)).json()
        assert {name for name, _ in request["headers"]} == {"correlation-id", "reply-to", "deadline", "traceparent"}
        [reply] = (await client.get("/streams/answered/messages?from=oldest")).json()
        assert reply["headers"] == request["headers"]
        assert served.gate.calls.replies["answered"].in_flight == 0


async def test_web_03_a_reply_finds_its_way_back_through_all_nodes(module: str) -> None:
    async with calling(module) as (client, served):
        answers = await asyncio.gather(*(client.post("/sums", json={"a": n + 20, "b": 1}) for n in range(200)))
        assert [answer.json() for answer in answers] == [{"total": 2 * (n + 21)} for n in range(200)]
        assert (await client.get("/sums/4?b=2")).json() == {"total": 12}
        assert (await client.put("/sums/4", json={"b": 3})).json() == {"total": 14}
        assert (await client.post("/raw", json=[1, {"x": None}])).json() == {"got": [1, {"x": None}]}
        metrics = (await client.get("/metrics")).text
        assert 'headgate_replies_in_flight{stream="answered"} 0.0' in metrics
        assert 'headgate_replies_completed_total{stream="answered"} 203.0' in metrics
        assert served.gate.nodes["add"].stats.handled == 202


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "name", "words"),
    [
        ("POST", "/sums", {"a": 13}, 409, "unlucky", "thirteen is refused"),
        ("POST", "/sums", {"a": 0}, 500, "node_failed", "its log has the reason"),
        ("POST", "/sums", {"b": 1}, 422, "invalid_parameter", "missing required field `a`"),
        ("POST", "/sums", {"a": "1"}, 422, "invalid_parameter", "a: Expected `int`"),
        ("GET", "/sums/x", None, 422, "invalid_parameter", "a: Expected `int`"),
        ("GET", "/sums/1?b=1&b=2", None, 400, "bad_request", "'b' is given 2 times"),
        ("PUT", "/sums/1", {"a": 2}, 400, "bad_request", "'a' stands in the body and in the path"),
        ("PUT", "/sums/1", [1], 400, "bad_request", "has to be a JSON object"),
        ("POST", "/sums", None, 400, "bad_request", "has no body"),
        ("GET", "/sums/1?a=2", None, 400, "bad_request", "'a' stands in the path and in the query"),
    ],
)
async def test_web_04_errors_have_a_status_of_their_own(
    module: str, method: str, path: str, body: object, status: int, name: str, words: str
) -> None:
    async with calling(module) as (client, served):
        answer = await client.request(method, path, **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json()["type"]) == (status, name)
        assert words in answer.json()["error"]
        assert "secret" not in answer.text
        assert served.gate.calls.replies["answered"].in_flight == 0


async def test_web_08_who_waits_too_long_or_goes_leaves_nothing(module: str) -> None:
    async with calling(module) as (client, served):
        replies = served.gate.calls.replies["answered"]
        began = time.monotonic()
        answer = await client.post("/quick", json={"a": 4242})
        assert (answer.status_code, answer.json()["type"]) == (504, "timeout")
        assert time.monotonic() - began < 5
        assert (await client.post("/nobody", json={"a": 1})).status_code == 504
        with pytest.raises(httpx2.TimeoutException):
            await client.post("/sums", json={"a": 4242}, timeout=0.2)
        await eventually(lambda: replies.in_flight == 0)
        assert (replies.stats.expired, replies.stats.cancelled) == (1, 1)
        waiting = asyncio.create_task(client.post("/sums", json={"a": 4242}))
        await eventually(lambda: replies.in_flight == 1)
        served.gate.drain()
        assert (await waiting).status_code == 503
        assert replies.in_flight == 0


async def test_a_reply_that_is_none_is_a_failure_of_the_service(module: str) -> None:
    async with calling(module) as (client, served):
        replies = served.gate.calls.replies["answered"]
        broken = [
            ("reply-error", b'{"status":204,"type":"x","error":"y"}'),
            ("reply-error", b'{"status":99999,"type":"x","error":"y"}'),
            ("reply-error", b"nonsense"),
        ]
        for header in broken:
            asking = asyncio.create_task(client.post("/sums", json={"a": 4242}))
            await eventually(lambda: replies.in_flight == 1)
            [waiter] = replies._waiting.values()
            told = Message(value=b"null", headers=(*replies.headers(waiter), header))
            await replies.stream.publish([told])
            assert (await asking).status_code == 500


async def test_what_nobody_waits_for_any_longer_is_not_begun(module: str) -> None:
    async with calling(module) as (client, served):
        await client.post("/quick", json={"a": 4242})  # it holds the second node up
        assert (await client.post("/quick", json={"a": 1})).status_code == 504
        add = served.gate.nodes["add"].stats
        assert add.handled == 2


async def test_several_gates_on_kafka_get_their_own_replies(module: str, kafka: KafkaBroker) -> None:
    parts = {"asked": 3, "half": 3, "answered": 1, "raw": 1}
    topics = {name: kafka.create_topic(partitions=count) for name, count in parts.items()}
    streams = ", ".join(f"{name}: {{transport: kafka, topic: {topic}}}" for name, topic in topics.items())
    text = CONFIG.replace("KAFKA", kafka.bootstrap)
    text = text.replace("{asked: {}, half: {}, answered: {}, raw: {}}", f"{{{streams}}}")
    without_nodes = text.replace("discovery_modules: [MODULE]", "discovery_modules: []")
    async with calling(module, text) as (one, _), calling(module, without_nodes) as (other, served):
        one.timeout = other.timeout = 60
        asked = [
            client.post("/sums", json={"a": n + 20, "b": k}) for n in range(50) for k, client in enumerate((one, other))
        ]
        answers = await asyncio.gather(*asked)
        assert [answer.json() for answer in answers] == [{"total": 2 * (n + 20 + k)} for n in range(50) for k in (0, 1)]
        facts = served.gate.calls.replies["answered"].facts()
        assert (facts["completed"], facts["late_reply_drop"], facts["in_flight"]) == (50, 0, 0)
