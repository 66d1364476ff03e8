"""Settings over HTTP: set, refused, taken away, restored and waited for."""

import asyncio
from typing import Any

import httpx2
import pytest

from headgate.core.message import Message
from headgate.core.settings import Key, change
from tests.gates.web import PATIENCE, eventually, web

CONFIG = """\
service: {name: monitor}
streams: {config: {kind: config, retain: {messages: 40}}, acks: {}}
runtime: {web: {interfaces: [{kind: config, path: /config, acks: acks}]}}
"""
BINS = "*/monitor/bins"


async def put(client: httpx2.AsyncClient, key: str, value: Any, **more: Any) -> httpx2.Response:
    return await client.post("/config", json={"key": key, "value": value, **more})


async def values(client: httpx2.AsyncClient) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get("/config")).json()["values"]
    return shown


async def test_a_setting_is_acknowledged_and_shown() -> None:
    async with web(CONFIG) as (client, _):
        answer = await put(client, BINS, 5, message_id="m1")
        assert answer.status_code == 200
        expected = {"message_id": "m1", "device": "monitor", "response": "ACK", "message": "version 1", "version": 1}
        assert answer.json() == expected
        assert await values(client) == {BINS: 5}


async def test_a_key_may_hold_any_json_when_no_node_declares_it() -> None:
    async with web(CONFIG) as (client, _):
        for value in (None, 0, "x", [1, {"a": None}], 1.5, True):
            assert (await put(client, "*/other/thing", value)).status_code == 200
            assert await values(client) == {"*/other/thing": value}


async def test_several_are_set_in_their_order_and_each_has_its_own_outcome() -> None:
    async with web(CONFIG) as (client, _):
        settings = [{"key": BINS, "value": 1}, {"key": "nonsense", "value": 1}, {"key": BINS, "value": 2}]
        answer = await client.post("/config", json=settings)
        assert answer.status_code == 207
        assert [ack["response"] for ack in answer.json()] == ["ACK", "ERR", "ACK"]
        assert await values(client) == {BINS: 2}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not a setting"),
        (b"[]x", 400, "not a setting"),
        (b'{"value": 1}', 400, "missing required field `key`"),
        (b'{"key": "*/monitor/bins", "valeu": 1}', 400, "unknown field `valeu`"),
        (b'{"key": "*/monitor/bins"}', 422, "give it a value"),
        (b'{"key": "bins", "value": 1}', 422, "write source/service/name"),
        (b'{"key": "*/monitor/*", "value": 1}', 422, "cannot be *"),
        (b'{"key": "*/monitor/bins", "value": 1e999}', 400, "not JSON"),
        (b'{"key": "*/monitor/bins", "restore": 7}', 422, "no version 7"),
    ],
)
async def test_what_is_wrong_is_told_and_changes_nothing(body: bytes, status: int, said: str) -> None:
    async with web(CONFIG) as (client, _):
        answer = await client.post("/config", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status
        assert said in answer.json()["error"]
        assert await values(client) == {}


async def test_a_form_of_another_site_is_not_taken() -> None:
    async with web(CONFIG) as (client, _):
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            headers = {"Content-Type": kind}
            answer = await client.post("/config", content=b'{"key":"*/monitor/bins","value":1}', headers=headers)
            assert answer.status_code == 415


async def test_of_two_writers_the_slower_gets_a_conflict() -> None:
    async with web(CONFIG) as (client, _):
        assert (await put(client, BINS, 1, if_version=0)).json()["version"] == 1
        late = await put(client, BINS, 2, if_version=0)
        assert (late.status_code, late.json()["response"]) == (409, "ERR")
        assert "has version 1, not 0" in late.json()["message"]
        assert (await put(client, BINS, 2, if_version=1)).status_code == 200
        assert await values(client) == {BINS: 2}


async def test_of_many_writers_at_once_exactly_one_wins() -> None:
    async with web(CONFIG) as (client, _):
        answers = await asyncio.gather(*(put(client, BINS, n, if_version=0) for n in range(20)))
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses) == [200] + [409] * 19
        assert await values(client) == {BINS: statuses.index(200)}


async def test_a_key_tells_its_history_and_goes_back() -> None:
    async with web(CONFIG) as (client, _):
        for value in (1, 2, 3):
            await put(client, BINS, value)
        told = (await client.get("/config", params={"key": BINS})).json()
        assert (told["value"], told["version"]) == (3, 3)
        assert [older["value"] for older in told["history"]] == [3, 2, 1]
        assert (await client.post("/config", json={"key": BINS, "restore": 1})).status_code == 200
        assert await values(client) == {BINS: 1}
        assert (await client.get("/config", params={"key": "*/monitor/none"})).status_code == 404


async def test_what_is_taken_away_is_gone_and_may_come_back() -> None:
    async with web(CONFIG) as (client, _):
        await put(client, BINS, 1)
        assert (await client.delete("/config", params={"key": BINS, "if_version": 9})).status_code == 409
        assert (await client.delete("/config", params={"key": BINS})).json()["response"] == "ACK"
        assert await values(client) == {}
        assert (await put(client, BINS, 2, if_version=0)).status_code == 200


async def test_who_waits_hears_of_the_next_change() -> None:
    async with web(CONFIG) as (client, served):
        place = (await client.get("/config")).json()["position"]
        waiting = asyncio.ensure_future(client.get("/config", params={"after": place, "wait": PATIENCE}))
        channel = served.gate.config.channel
        assert channel is not None
        await eventually(lambda: channel.news._waiting is not None)
        await put(client, BINS, 5)
        assert (await waiting).json()["values"] == {BINS: 5}
        served.gate.drain()


async def test_who_waits_is_let_go_when_the_gate_drains() -> None:
    async with web(CONFIG) as (client, served):
        place = (await client.get("/config")).json()["position"]
        waiting = asyncio.ensure_future(client.get("/config", params={"after": place, "wait": 60}))
        await eventually(lambda: served.gate._web.in_flight)
        served.gate.drain()
        assert (await waiting).json()["values"] == {}


async def test_settings_that_come_by_the_stream_count_and_are_acknowledged_there() -> None:
    async with web(CONFIG) as (client, served):
        stream = served.gate.streams["config"]
        await stream.publish([Message(key=b"*/monitor/bins", value=b"7", headers=(("message_id", b"k1"),))])
        await stream.publish([Message(key=b"no key", value=b"7", headers=(("message_id", b"k2"),))])
        await stream.publish([Message(key=b"*/other/bins", value=b"7")])
        await stream.publish([change(Key.parse(BINS), b"8", "k3", expects=99)])
        await eventually(lambda: served.gate.streams["acks"].stats.published == 3)
        answer = await client.get("/streams/acks/messages")
        told = [(m["value"]["message_id"], m["value"]["response"]) for m in answer.json()]
        assert told == [("k1", "ACK"), ("k2", "ERR"), ("k3", "ERR")]
        assert await values(client) == {BINS: 7, "*/other/bins": 7}


async def test_a_late_reader_of_the_stream_finds_every_key_however_often_others_change() -> None:
    async with web(CONFIG) as (client, served):  # the stream keeps 40 messages
        await put(client, "left/monitor/bins", 3)
        for n in range(200):
            assert (await put(client, BINS.replace("bins", "rate"), n)).status_code == 200
        kept = (await client.get("/streams/config/messages")).json()
        assert any(message["key"] == "left/monitor/bins" for message in kept)
        await served.gate.reload(served.gate.plan)  # which reads the stream again from its oldest message
        assert await values(client) == {"left/monitor/bins": 3, "*/monitor/rate": 199}


async def test_there_is_a_limit_to_keys() -> None:
    async with web(CONFIG) as (client, _):
        answers = [await put(client, f"*/monitor/k{n}", n) for n in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [422] * 2
        assert "no room" in answers[-1].json()["error"]


async def test_what_became_of_settings_is_counted() -> None:
    async with web(CONFIG) as (client, _):
        await put(client, BINS, 1)
        await put(client, "no key", 1)
        await put(client, BINS, 2, if_version=7)
        text = (await client.get("/metrics")).text
        assert 'headgate_settings_total{status="applied"} 1.0' in text
        assert 'headgate_settings_total{status="refused"} 2.0' in text
