"""Permission: what a key is for, at every way into a stream, and through no side door."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from headgate.core.api_keys import ApiKey, digest_of, line_of
from headgate.core.message import Message
from headgate.core.scopes import read_scope
from headgate.core.wire import BINARY, pack
from tests.gates.events import follow
from tests.gates.inside import Serving, serving
from tests.gates.sockets import talk

CONFIG = """
service: {{auth: {{keys_file: {file}}}}}
streams: {{assets: {{codec: json}}, jobs: {{codec: json, delivery: queue}}, orders: {{}}}}
runtime:
  web:
    interfaces:
      - {{kind: sse, path: /asset_stream, stream: assets, data: envelope, filter: {{asset: {{key: true}}}}}}
      - {{kind: websocket, path: /talk, stream: assets, publish: assets, binds: [kv_stream], cursors: true}}
      - {{kind: messages, path: /poll, stream: assets}}
      - {{kind: command, path: /api/v1/commands, stream: orders, track: false}}
"""
CALLERS = {
    "all": "*",
    "reader": "read:assets",
    "writer": "write:assets",
    "tenant": "*:assets#PROVER*",
    "path": "read:/asset_stream",
    "tenant-of-all": "*:*#PROVER*",
    "commander": "write:/api/v1/commands",
    "other": "read:nothing-here",
    "doctor": "read:/metrics",
}
BATCH = [Message(value=b'{"n":1}', key=b"PROVER1"), Message(value=b'{"n":2}', key=b"MAZAK1")]
TENANTS = BATCH[:1]
STREAM = "/streams/assets/messages"


@pytest.fixture
async def served(tmp_path: Any) -> AsyncIterator[Serving]:
    file = tmp_path / "keys.txt"
    lines = (ApiKey(n, digest_of(n.encode()), scopes=(read_scope(s),)) for n, s in CALLERS.items())
    file.write_text("".join(map(line_of, lines)))
    async with serving(CONFIG.format(file=file)) as running:
        yield running


@pytest.fixture
async def client(served: Serving) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as one:
        yield one


def key(name: str) -> dict[str, str]:
    return {"X-API-Key": name}


async def publish(client: httpx2.AsyncClient, name: str, batch: list[Message[bytes]], path: str = STREAM) -> int:
    answer = await client.post(path, content=pack(batch), headers={**key(name), "Content-Type": BINARY})
    return answer.status_code


COMMAND = {"device_id": "PROVER1", "command_type": "t", "payload": {}, "protocol": "mqtt"}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "publish": ("POST", f"{STREAM}?key=PROVER1", {"n": 1}),
    "poll": ("GET", STREAM, None),
    "interface": ("GET", "/poll", None),
    "queue": ("GET", "/streams/jobs/messages", None),
    "command": ("POST", "/api/v1/commands", COMMAND),
    "command status": ("GET", "/api/v1/commands/x/status", None),
    "metrics": ("GET", "/metrics", None),
    "info": ("GET", "/info", None),
    "docs": ("GET", "/docs", None),
    "elsewhere": ("GET", "/nothing", None),
    "streams": ("GET", "/streams", None),
    "health": ("GET", "/health", None),
}
EVERYBODY = {"streams", "health"}
MAY = {
    "all": set(REQUESTS),
    "reader": {"poll", "interface"},
    "writer": {"publish"},
    "tenant": {"publish", "poll", "interface"},
    "path": set(),
    "tenant-of-all": {"publish", "poll", "interface"},
    "commander": {"command"},
    "other": set(),
    "doctor": {"metrics"},
}


@pytest.mark.parametrize("name", CALLERS)
async def test_each_may_do_what_their_scopes_say_and_nothing_else(client: httpx2.AsyncClient, name: str) -> None:
    for what, (method, path, body) in REQUESTS.items():
        answer = await client.request(method, path, json=body, headers=key(name))
        permitted = answer.status_code != 403
        assert permitted == (what in MAY[name] | EVERYBODY), f"{name}: {what} got {answer.status_code}"


async def test_a_refusal_names_the_scope_that_it_takes(client: httpx2.AsyncClient) -> None:
    answer = await client.get(STREAM, headers=key("writer"))
    assert answer.json() == {
        "error": f"writer may not read {STREAM}; it takes the scope read:assets",
        "type": "forbidden",
    }
    answer = await client.post("/api/v1/commands", json=COMMAND, headers=key("reader"))
    assert answer.json()["type"] == "PermissionError"


async def test_the_list_of_streams_shows_each_what_concerns_them(client: httpx2.AsyncClient) -> None:
    async def names(name: str) -> list[str]:
        return [row["name"] for row in (await client.get("/streams", headers=key(name))).json()["streams"]]

    assert await names("all") == ["assets", "jobs", "orders"]
    assert await names("reader") == await names("writer") == await names("tenant") == ["assets"]
    assert await names("other") == []


async def test_a_tenant_publishes_with_its_own_keys_alone(client: httpx2.AsyncClient) -> None:
    assert await publish(client, "tenant", TENANTS) == 200
    assert await publish(client, "tenant", BATCH) == 403
    assert await publish(client, "tenant", [Message(value=b"{}")]) == 403  # without a key it is nobody's
    answer = await client.post(f"{STREAM}?key=MAZAK1", json={}, headers=key("tenant"))
    assert answer.status_code == 403
    read = await client.get(STREAM, headers=key("all"))
    assert [message["key"] for message in read.json()] == ["PROVER1"]


@pytest.mark.parametrize("path", [STREAM, "/poll", f"{STREAM}?from=oldest", "/streams/%61ssets/messages"])
async def test_a_tenant_reads_its_own_keys_alone_and_goes_on_behind_the_others(
    client: httpx2.AsyncClient, path: str
) -> None:
    assert await publish(client, "all", [*BATCH, *BATCH]) == 200
    keys, place = [], ""
    for _ in range(4):
        answer = await client.get(path, params={"after": place} if place else None, headers=key("tenant"))
        place = answer.headers["headgate-position"]
        keys += [message["key"] for message in (answer.json() if answer.status_code == 200 else [])]
        path = path.partition("?from")[0]
    assert keys == ["PROVER1"] * 2


async def test_a_tenant_follows_its_own_keys_alone(client: httpx2.AsyncClient) -> None:
    for more in ({}, {"from": "oldest"}, {"from": "oldest", "asset": "MAZAK1"}):
        async with follow(client, "/asset_stream", headers=key("tenant"), **more) as events:
            await publish(client, "all", BATCH[::-1])
            if "asset" not in more:
                assert json.loads((await events.next()).data)["key"] == "PROVER1"
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await events.next()
    answer = await client.get("/asset_stream?asset=MAZAK1&asset=PROVER1", headers=key("other"))
    assert answer.status_code == 403
    async with follow(client, "/asset_stream", headers=key("path")) as events:
        await publish(client, "all", BATCH)
        assert [json.loads(event.data)["key"] for event in await events.take(2)] == ["PROVER1", "MAZAK1"]


async def test_a_tenant_follows_a_stream_line_by_line_its_own_keys_alone(client: httpx2.AsyncClient) -> None:
    await publish(client, "all", [*BATCH, *BATCH])
    url = f"{STREAM}?follow=true&from=oldest"
    async with client.stream("GET", url, headers=key("tenant")) as answer:
        seen: list[str] = []
        async for line in answer.aiter_lines():
            seen.append(json.loads(line)["key"])
            if len(seen) == 2:
                break
    assert seen == ["PROVER1", "PROVER1"]


async def test_a_socket_offers_each_what_they_may_do(client: httpx2.AsyncClient, served: Serving) -> None:
    async with talk(served.url, "/talk?from=newest", additional_headers=key("tenant")) as socket:
        assert (await socket.next())["type"] == "subscribed"
        await socket.say("publish", key="MAZAK1", value={}, ref=1)
        refused = await socket.next()
        assert (refused["type"], refused["ref"]) == ("error", 1)
        await publish(client, "all", BATCH[::-1])
        seen = await socket.next()
        assert (seen["type"], seen["key"]) == ("message", "PROVER1")
        await socket.say("publish", key="PROVER2", value={}, ref=2)
        assert {frame["type"] for frame in await socket.take(2)} == {"ack", "message"}


async def test_a_cursor_is_no_side_door(client: httpx2.AsyncClient, served: Serving) -> None:
    await publish(client, "all", [*BATCH, *BATCH])
    async with talk(served.url, "/talk?from=oldest&cursor=c", additional_headers=key("tenant")) as socket:
        frames = await socket.take(3)
        assert [frame.get("key") for frame in frames] == [None, "PROVER1", "PROVER1"]


@pytest.mark.parametrize("name", ["commander", "other", "doctor"])
async def test_a_socket_is_not_opened_for_those_it_offers_nothing(served: Serving, name: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talk(served.url, "/talk", additional_headers=key(name)):
            pass
    assert refused.value.response.status_code == 403


async def test_a_reader_cannot_publish_by_a_socket_nor_a_writer_follow(served: Serving) -> None:
    async with talk(served.url, "/talk", additional_headers=key("reader")) as socket:
        await socket.say("publish", key="a", value={}, ref=1)
        assert "error" in {frame["type"] for frame in await socket.take(2)}
    async with talk(served.url, "/talk", additional_headers=key("writer")) as socket:
        await socket.say("subscribe", id="a")
        assert (await socket.next())["type"] == "error"
