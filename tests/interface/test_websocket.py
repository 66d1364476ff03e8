"""WebSockets: following and publishing by frames, what is refused, and what no client would send."""

import asyncio
import gc
import json
import resource
import weakref
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from headgate.app import socket_protocol
from headgate.core.message import Message
from headgate.errors import Unavailable
from headgate.interface import inlet
from headgate.runtime import hub
from headgate.spec.resolve import plan_text
from headgate.transport.memory import MemorySink
from tests.gates.inside import Serving
from tests.gates.sockets import (
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Client,
    farewell,
    frame,
    handshake,
    raw_socket,
    read_frame,
    talk,
)
from tests.gates.web import PATIENCE, Raw, eventually, raw, web

PLANT = """
streams:
  assets: {retain: {messages: 20}}
  notes: {codec: json}
  blobs: {codec: raw}
  orders: {codec: json, delivery: queue, overflow: reject, retain: {messages: 2}}
runtime:
  web:
    interfaces:
      - {kind: websocket, path: /all, stream: assets}
      - kind: websocket
        path: /some
        stream: assets
        filter:
          asset: {key: true, required: true}
          level: {field: level, type: integer}
      - {kind: websocket, path: /talk, stream: notes, publish: notes, binds: [stream]}
      - {kind: websocket, path: /keyed, stream: notes, publish: notes, binds: [kv_stream]}
      - {kind: websocket, path: /orders, publish: orders}
      - {kind: websocket, path: /blobs, stream: blobs, publish: blobs, binds: [kv_stream]}
      - {kind: websocket, path: /small, publish: notes, frame_bytes: 1000, rate: 20}
      - {kind: websocket, path: /partners, stream: assets, origins: ["https://plant.example"]}
"""


async def publish(served: Serving, stream: str, *values: Any, key: str | None = None, **given: Any) -> None:
    named = None if key is None else key.encode()
    bodies = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    await served.gate.streams[stream].publish([Message(value=body, key=named, **given) for body in bodies])


async def opened(client: Client, **facts: Any) -> str:
    """The place where a subscription begins."""
    told = await client.next()
    assert told == {"type": "subscribed", **facts, **({"position": told["position"]} if "position" in told else {})}
    return str(told.get("position", ""))


# Following


async def test_the_url_says_what_is_followed() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/some?asset=P&level=1&level=2") as client:
        await opened(client)
        await publish(served, "assets", {"level": 1}, {"level": 3}, {"level": 2}, key="P")
        await publish(served, "assets", {"level": 1, "n": 1}, key="Q")
        await publish(served, "assets", {"level": 2, "n": 2}, key="P")
        assert await client.values(3) == [{"level": 1}, {"level": 2}, {"level": 2, "n": 2}]


async def test_a_message_has_its_time_and_the_place_after_it() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/all") as client:
        epoch = (await opened(client)).partition(":")[0]
        await publish(served, "assets", {"n": 0}, key="P", timestamp=5, headers=(("h", b"v"),))
        shown = {"type": "message", "timestamp": 5, "value": {"n": 0}, "position": f"{epoch}:1"}
        assert await client.next() == shown


async def test_a_frame_says_what_is_followed_and_ids_tell_several_apart() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/some") as client:
        await client.say("subscribe", id="one", filter={"asset": "P"})
        await client.say("subscribe", id="other", filter={"asset": ["P", "Q"], "level": "1"})
        await opened(client, id="one")
        await opened(client, id="other")
        await publish(served, "assets", {"level": 1}, key="P")
        await publish(served, "assets", {"level": 2}, key="P")
        await publish(served, "assets", {"level": 1}, key="Q")
        got = [(told["id"], told["value"]["level"]) for told in await client.take(4)]
    assert [level for name, level in got if name == "one"] == [1, 2]
    assert [level for name, level in got if name == "other"] == [1, 1]


async def test_unsubscribing_is_answered_and_then_nothing_comes_and_the_id_is_free() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/all") as client:
        await opened(client)
        for _ in range(20):
            await client.say("subscribe", id="x")
            await client.say("unsubscribe", id="x")
        answers = []
        while answers.count("unsubscribed") < 20:
            answers.append((await client.next())["type"])
        assert set(answers) <= {"subscribed", "unsubscribed"}
        await publish(served, "assets", {"n": 0})
        assert await client.values(1) == [{"n": 0}]
        await client.say("unsubscribe")
        assert await client.next() == {"type": "unsubscribed"}
        await publish(served, "assets", {"n": 1})
        await client.say("subscribe", start="last:1")
        await opened(client)
        assert await client.values(1) == [{"n": 1}]
        assert served.gate.hubs["assets"].lanes.followers == 1


@pytest.mark.parametrize(
    ("said", "code", "word"),
    [
        ({"type": "subscribe", "id": "x", "filter": {"asset": "P", "colour": "red"}}, "invalid_parameter", "'colour'"),
        ({"type": "subscribe", "id": "x", "filter": {}}, "invalid_parameter", "'asset' is missing"),
        ({"type": "subscribe", "id": "x", "filter": {"asset": "P", "level": "x"}}, "invalid_parameter", "whole number"),
        ({"type": "subscribe", "id": "x", "filter": {"asset": "P"}, "after": "?"}, "position", "not a position"),
        ({"type": "subscribe", "id": "x", "filter": {"asset": "P"}, "from": "soon"}, "position", "no place to start"),
        (
            {"type": "subscribe", "id": "x", "filter": {"asset": "P"}, "from": "oldest", "after": "e:1"},
            "bad_request",
            "not both",
        ),
        ({"type": "unsubscribe", "id": "x"}, "bad_request", "no subscription 'x'"),
        ({"type": "ack", "id": "x", "position": "e:1"}, "bad_request", "no subscription 'x'"),
        ({"type": "subscribe", "id": "taken", "filter": {"asset": "P"}}, "bad_request", "already"),
        ({"type": "ack", "id": "taken", "position": "e:1"}, "bad_request", "no cursor"),
    ],
)
async def test_what_cannot_be_done_is_an_error_with_the_id_and_the_socket_stays(
    said: dict[str, Any], code: str, word: str
) -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/some") as client:
        await client.say("subscribe", id="taken", filter={"asset": "P"})
        await opened(client, id="taken")
        await client.connection.send(json.dumps(said))
        error = await client.next()
        assert (error["type"], error["id"], error["code"]) == ("error", said["id"], code)
        assert word in error["error"]
        await publish(served, "assets", {"n": 0}, key="P")
        assert (await client.next())["value"] == {"n": 0}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"type": "dance"}',
        '{"type": "subscribe", "colour": 1}',
        '{"type": "subscribe", "id": 7}',
        '{"type": "subscribe", "id": "%s"}' % ("x" * 101),
        '{"type": "subscribe", "id": "\\ud800"}',
        '{"type": "subscribe", "filter": {"level": 1}}',
        '{"type": "ack"}',
        '{"type": "publish"}',
        "[" * 50_000,
        b"",
        b"\xc1",
        b"\x81",
        msgspec.msgpack.encode({"type": "publish", "value": "text"}),
        b"\x91" * 50_000,
    ],
)
async def test_a_frame_that_is_none_is_an_error_and_the_socket_stays(said: str | bytes) -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as client:
        await opened(client)
        await client.connection.send(said)
        error = await client.next()
        assert (error["type"], error["code"]) == ("error", "bad_request")
        await client.say("publish", value=1)
        assert {told["type"] for told in await client.take(2)} == {"ack", "message"}


async def test_there_are_not_too_many_subscriptions_on_one_socket() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/all") as client:
        for number in range(101):
            await client.say("subscribe", id=str(number))
        told = await client.take(102)
        assert [one["id"] for one in told if one["type"] == "error"] == ["99", "100"]
        await client.connection.close()
        await eventually(lambda: served.gate.hubs["assets"].lanes.followers == 0)


# Resuming


@pytest.mark.parametrize(
    ("start", "wanted"), [("oldest", [0, 1, 2]), ("last:2", [1, 2]), ("1970-01-01T00:00:01Z", [1, 2]), ("newest", [])]
)
@pytest.mark.parametrize("by_url", [True, False])
async def test_a_client_says_where_to_start(start: str, wanted: list[int], by_url: bool) -> None:
    async with web(PLANT) as (_, served):
        for number in range(3):
            await publish(served, "assets", {"n": number}, key="P", timestamp=number * 1_000_000_000)
        path = f"/some?asset=P&from={start}" if by_url else "/some"
        async with talk(served.url, path) as client:
            if not by_url:
                await client.say("subscribe", filter={"asset": "P"}, start=start)
            await opened(client)
            got = await client.values(len(wanted))
            await publish(served, "assets", {"n": 3}, key="P")
            got += await client.values(1)
    assert [value["n"] for value in got] == [*wanted, 3]


async def test_a_client_that_comes_back_gets_the_very_next_message() -> None:
    async with web(PLANT) as (_, served):
        async with talk(served.url, "/all") as client:
            place = await opened(client)
        await publish(served, "assets", *({"n": n} for n in range(3)))
        async with talk(served.url, f"/all?after={place}") as client:
            await opened(client)
            frames = await client.take(2)
            assert [told["value"]["n"] for told in frames] == [0, 1]
        async with talk(served.url, "/some") as client:
            await publish(served, "assets", {"n": 3}, key="P")
            await client.say("subscribe", filter={"asset": "P"}, after=frames[-1]["position"])
            await opened(client)
            assert await client.values(1) == [{"n": 3}]


async def test_a_place_that_is_not_kept_any_more_is_a_gap_with_the_number_that_is_gone() -> None:
    async with web(PLANT) as (_, served):
        async with talk(served.url, "/all") as client:
            place = await opened(client)
        await publish(served, "assets", *({"n": n} for n in range(30)))
        await eventually(lambda: served.gate.hubs["assets"].window.head.offset == 30)
        epoch = place.partition(":")[0]
        gap = {"type": "gap", "missed": 10, "of": "stream", "reason": "expired", "from": place, "to": f"{epoch}:10"}
        async with talk(served.url, f"/all?after={place}") as client:
            await opened(client)
            assert await client.next() == gap
            assert await client.values(1) == [{"n": 10}]
        async with talk(served.url, f"/all?after={place}", packed=True) as client:
            await opened(client)
            assert await client.next() == gap
        async with talk(served.url, "/all") as client:
            await opened(client)
            await client.say("subscribe", id="x", after="0bad0bad:7")
            await opened(client, id="x")
            told = await client.next()
            assert (told["id"], told["type"], told["reason"], told["missed"]) == ("x", "gap", "restarted", None)


async def test_no_gap_and_no_repetition_for_clients_that_come_back_while_messages_flow() -> None:
    total, followers = 3000, 8
    config = PLANT.replace("assets: {retain: {messages: 20}}", "assets: {retain: {messages: 500}}")

    async def chase(url: str, number: int) -> list[int]:
        seen: list[int] = []
        place = ""
        while not seen or seen[-1] != total - 1:
            packed = len(seen) % 2 == 1
            async with talk(url, f"/all?after={place}" if place else "/all?from=oldest", packed=packed) as client:
                await opened(client)
                for _ in range(50 + 37 * number):
                    told = await client.next()
                    assert told["type"] == "message", told
                    value = json.loads(told["value"]) if packed else told["value"]
                    seen.append(value["n"])
                    place = told["position"]
                    if seen[-1] == total - 1:
                        break
        return seen

    async with web(config) as (_, served):
        chasing = [asyncio.ensure_future(chase(served.url, number)) for number in range(followers)]
        for first in range(0, total, 10):
            await publish(served, "assets", *({"n": n} for n in range(first, first + 10)))
            await asyncio.sleep(0.002)
        for task in chasing:
            assert await task == list(range(total))


# Publishing


async def test_each_publish_is_acknowledged_in_order_with_its_ref_and_its_place() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as client:
        epoch = (await opened(client)).partition(":")[0]
        for number in range(500):
            await client.say("publish", value={"n": number}, ref=number if number % 2 else f"r{number}")
        frames = await client.take(1000)
        acks = [told for told in frames if told["type"] == "ack"]
        assert [told["ref"] for told in acks] == [n if n % 2 else f"r{n}" for n in range(500)]
        assert [told["position"] for told in acks] == [f"{epoch}:{n + 1}" for n in range(500)]
        assert [told["value"]["n"] for told in frames if told["type"] == "message"] == list(range(500))


async def test_keys_and_headers_come_and_go_where_the_interface_binds_them() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/keyed") as client:
        epoch = (await opened(client)).partition(":")[0]
        raw_key = {"base64": "/w=="}
        await client.say("publish", value={"n": 1}, key="P", headers=[["h", "v"]], timestamp=7)
        await client.say("publish", value={"n": 2}, key=raw_key)
        frames = await client.take(4)
        assert [told for told in frames if told["type"] == "ack"] == [
            {"type": "ack", "position": f"{epoch}:1"},
            {"type": "ack", "position": f"{epoch}:2"},
        ]
        first, second = [told for told in frames if told["type"] == "message"]
        stream = {"kind": "stream", "name": "notes"}
        assert first == {
            "type": "message",
            "timestamp": 7,
            "stream": stream,
            "value": {"n": 1},
            "key": "P",
            "headers": [["h", "v"]],
            "position": f"{epoch}:1",
        }
        assert second["key"] == raw_key


async def test_a_key_where_none_belongs_and_none_where_one_does_are_errors_by_ref() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as plain, talk(served.url, "/keyed") as keyed:
        await opened(plain)
        await opened(keyed)
        await plain.say("publish", value=1, key="P", ref=1)
        await keyed.say("publish", value=1, ref=2)
        errors = [await plain.next(), await keyed.next()]
    assert [(told["type"], told["ref"], told["code"]) for told in errors] == [
        ("error", 1, "bad_request"),
        ("error", 2, "bad_request"),
    ]


async def test_what_the_codec_refuses_is_an_error_by_ref_among_acks_in_order() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/blobs") as client:
        await opened(client)
        await client.say("publish", value="AAE=", key="k", ref=1)
        await client.say("publish", value="not base64!", key="k", ref=2)
        await client.say("publish", value="AA==", key="k", ref=3)
        told = [one for one in await client.take(5) if one["type"] != "message"]
        assert [(one["type"], one["ref"], one.get("code")) for one in told] == [
            ("ack", 1, None),
            ("error", 2, "codec"),
            ("ack", 3, None),
        ]


async def test_what_the_stream_does_not_take_is_an_error_by_ref() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/orders") as client:
        for ref in range(3):
            await client.say("publish", value={}, ref=ref)
            told = await client.next()
            assert (told["type"], told["ref"]) == ("error" if ref == 2 else "ack", ref)
        assert told["code"] == "stream_full"
        await client.say("subscribe", id="x")
        assert "nothing to follow" in (await client.next())["error"]


async def test_where_nothing_can_be_published_that_is_an_error_by_ref() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/all") as client:
        await opened(client)
        await client.say("publish", value=1, ref="r")
        told = await client.next()
        assert (told["type"], told["ref"], told["code"]) == ("error", "r", "bad_request")


@pytest.mark.parametrize("timestamp", [2**63, 2**64, -(2**70)])
async def test_a_time_that_no_stream_could_keep_is_an_error(timestamp: int) -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as client:
        await opened(client)
        await client.connection.send(json.dumps({"type": "publish", "value": 1, "timestamp": timestamp}))
        told = await client.next()
        assert (told["type"], told["code"]) == ("error", "codec")
        assert served.gate.streams["notes"].stats.published == 0


async def test_in_messagepack_values_and_keys_are_bytes() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/blobs", packed=True) as client:
        assert client.connection.subprotocol == "headgate.msgpack"
        epoch = (await opened(client)).partition(":")[0]
        await client.say("publish", value=b"\x00\xff", key=b"\xfe", headers=[["h", b"\xfd"]], ref=1, timestamp=7)
        frames = await client.take(2)
        assert {"type": "ack", "position": f"{epoch}:1", "ref": 1} in frames
        assert {
            "type": "message",
            "timestamp": 7,
            "value": b"\x00\xff",
            "key": b"\xfe",
            "headers": [["h", b"\xfd"]],
            "position": f"{epoch}:1",
        } in frames
        await client.say("subscribe", id="x", start="oldest")
        await opened(client, id="x")
        assert (await client.next())["id"] == "x"


async def test_a_client_may_mix_text_and_binary_and_is_answered_in_what_it_agreed_to() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as client:
        await opened(client)
        await client.say("publish", value=1, ref=1)
        packed = msgspec.msgpack.encode({"type": "publish", "value": b"2", "ref": 2})
        await client.connection.send(packed)
        frames = await client.take(4)
        assert [told["ref"] for told in frames if told["type"] == "ack"] == [1, 2]
        assert [told["value"] for told in frames if told["type"] == "message"] == [1, 2]
    async with web(PLANT) as (_, served), talk(served.url, "/talk", packed=True) as client:
        await opened(client)
        await client.connection.send('{"type": "publish", "value": 1, "ref": 1}')
        assert isinstance(await client.connection.recv(), bytes)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        (["headgate.json"], "headgate.json"),
        (["other", "headgate.msgpack", "headgate.json"], "headgate.msgpack"),
    ],
)
async def test_the_first_subprotocol_that_is_known_is_chosen(offered: Any, chosen: str | None) -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/all", subprotocols=offered) as client:
        assert client.connection.subprotocol == chosen


async def test_what_a_client_publishes_right_before_it_leaves_is_published() -> None:
    async with web(PLANT) as (_, served):
        async with talk(served.url, "/orders") as client:
            await client.say("publish", value=1)
            await client.say("publish", value=2)
        await eventually(lambda: served.gate.streams["orders"].stats.published == 2)
        async with raw_socket(served.url, "/talk") as connection:
            said = frame(TEXT, b'{"type": "publish", "value": "%b"}' % (b"x" * 1000))
            connection.send(said * 500 + frame(CLOSE, b"\x03\xe8"))
            await eventually(lambda: served.gate.streams["notes"].stats.published == 500)
        await eventually(lambda: len(served.gate.visitors) == 0)


async def test_a_client_is_not_read_further_than_what_waits_to_be_published(monkeypatch: pytest.MonkeyPatch) -> None:
    release = asyncio.Event()
    whole = MemorySink.send

    async def held(self: MemorySink, batch: Any) -> Any:
        await release.wait()
        return await whole(self, batch)

    monkeypatch.setattr(MemorySink, "send", held)
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as client:
        await opened(client)
        [visitor] = served.gate.visitors._there
        sending = asyncio.ensure_future(_publish_large(client, 500))
        await eventually(lambda: visitor._inlet._size > inlet.MOST_BYTES - 60_000)  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        assert visitor._inlet._size <= inlet.MOST_BYTES  # type: ignore[attr-defined]
        release.set()
        acks = [told for told in await client.take(1000) if told["type"] == "ack"]
        assert [told["ref"] for told in acks] == list(range(500))
        await sending


async def _publish_large(client: Client, count: int) -> None:
    for number in range(count):
        await client.say("publish", value="x" * 60_000, ref=number)


# Slow clients


SLOW = """
streams: {assets: {retain: {messages: 100}}, notes: {}}
runtime:
  web:
    interfaces:
      - {kind: websocket, path: /drop, stream: assets, publish: notes, stall: 100d}
      - {kind: websocket, path: /cut, stream: assets, stall: 100ms}
      - {kind: websocket, path: /strict, stream: assets, stall: 100d, on_slow: disconnect}
      - {kind: websocket, path: /latest, stream: assets, stall: 100d, on_slow: conflate}
"""
LARGE = "x" * 60_000


@asynccontextmanager
async def stalled(served: Serving, path: str) -> AsyncIterator[Raw]:
    """A client that follows and reads no more."""
    async with raw_socket(served.url, path) as connection:
        assert b"subscribed" in (await read_frame(connection))[1]
        connection.writer.transport.pause_reading()
        yield connection


async def fill(served: Serving, first: int, count: int) -> None:
    for number in range(first, first + count):
        await publish(served, "assets", {"n": number, "pad": LARGE}, key=str(number % 3))
        await asyncio.sleep(0)


async def read_until(connection: Raw, last: int) -> tuple[list[int], list[dict[str, Any]]]:
    """The numbers that a client gets up to the last one, and the gaps that it is told of."""
    connection.writer.transport.resume_reading()
    seen: list[int] = []
    gaps: list[dict[str, Any]] = []
    while last not in seen:
        told = json.loads((await read_frame(connection))[1])
        if told["type"] == "gap":
            gaps.append(told)
        else:
            seen.append(told["value"]["n"])
    return seen, gaps


def memory() -> int:
    """What this process has taken at most, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_slow_client_is_overtaken_and_told_exactly_what_it_missed() -> None:
    async with web(SLOW) as (_, served), stalled(served, "/drop") as slow, talk(served.url, "/drop") as quick:
        await opened(quick)
        before = memory()
        for first in range(0, 2000, 50):
            await fill(served, first, 50)
            assert [value["n"] for value in await quick.values(50)] == list(range(first, first + 50))
        assert memory() - before < 64 * 1024 * 1024  # of 120 MB that it did not take
        seen, [gap] = await read_until(slow, 1999)
    behind = next(n for n, following in pairwise(seen) if following != n + 1)
    assert (gap["reason"], gap["of"], gap["missed"]) == ("overtaken", "subscription", 2000 - len(seen))
    assert seen == sorted(set(seen))
    assert gap["from"].endswith(f":{behind + 1}")
    assert gap["to"].endswith(f":{behind + 1 + gap['missed']}")


async def test_a_client_that_takes_nothing_for_too_long_is_cut_and_freed() -> None:
    async with web(SLOW) as (client, served), stalled(served, "/cut") as slow:
        await fill(served, 0, 200)
        await eventually(lambda: served.gate.visitors.stats.cut == 1)
        await eventually(lambda: len(served.gate.visitors) == 0)
        assert served.gate.hubs["assets"].lanes.followers == 0
        slow.writer.transport.resume_reading()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await slow.reader.readexactly(10**9)
        assert "headgate_visitors_cut_total 1.0" in (await client.get("/metrics")).text


async def test_where_nothing_may_be_lost_a_client_that_falls_behind_is_cut() -> None:
    async with web(SLOW) as (_, served), stalled(served, "/strict") as slow:
        await fill(served, 0, 400)
        slow.writer.transport.resume_reading()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await slow.reader.readexactly(10**9)
        assert served.gate.visitors.stats.cut == 1


async def test_where_only_the_latest_counts_a_slow_client_gets_the_last_of_each_key() -> None:
    async with web(SLOW) as (_, served), stalled(served, "/latest") as slow:
        await fill(served, 0, 400)
        seen, _ = await read_until(slow, 399)
    assert seen[-3:] == [397, 398, 399]
    assert len(seen) < 200


async def test_answers_come_also_to_a_client_that_always_lags() -> None:
    async with web(SLOW) as (_, served), stalled(served, "/drop") as slow:
        await fill(served, 0, 100)
        flood = asyncio.ensure_future(fill(served, 100, 10_000))
        slow.send(frame(TEXT, b'{"type": "publish", "value": 1, "ref": 1}'))
        slow.send(frame(TEXT, b'{"type": "subscribe", "id": "x", "after": "?"}'))
        slow.writer.transport.resume_reading()
        told = []
        while len(told) < 2:
            one = json.loads((await read_frame(slow))[1])
            await asyncio.sleep(0.001)
            told += [one["type"]] if one["type"] in ("ack", "error") else []
        assert sorted(told) == ["ack", "error"]
        assert not flood.done()
        flood.cancel()


# The end, and what stays


async def test_a_gate_that_goes_answers_what_was_published_and_says_that_it_goes() -> None:
    async with web(PLANT) as (_, served), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk(served.url, "/talk", packed=n % 2 == 1)) for n in range(6)]
        for client in clients:
            await opened(client)
        await clients[0].say("publish", value=1, ref=1)
        await eventually(lambda: served.gate.streams["notes"].stats.published == 1)
        served.gate.drain()
        for client in clients:
            frames, code, reason = await client.rest()
            assert (code, reason) == (1001, "the gate is shutting down; come again")
            assert client is not clients[0] or {"ack", "message"} == {told["type"] for told in frames}
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(talk(served.url, "/talk"))
        assert refused.value.response.status_code == 503


async def test_a_gate_that_goes_does_not_wait_for_who_takes_nothing() -> None:
    async with web(SLOW) as (_, served), stalled(served, "/drop"):
        await fill(served, 0, 200)
        served.gate.drain()
        await eventually(lambda: len(served.gate.visitors) == 0)
        assert served.gate.hubs["assets"].lanes.followers == 0


async def test_a_stream_that_a_reload_closes_sends_its_clients_away() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as both, talk(served.url, "/orders") as inlet:
        await opened(both)
        other = PLANT.replace("notes: {codec: json}", "notes: {codec: text}").replace("messages: 2}", "messages: 3}")
        await served.gate.reload(plan_text(other))
        assert (await both.rest())[1:] == (1001, "the stream is closed; come again")
        await inlet.say("publish", value=1, ref=1)
        frames, code, _ = await inlet.rest()
        assert [(told["type"], told["ref"], told["code"]) for told in frames] == [("error", 1, "stream_closed")]
        assert code == 1001


async def test_a_reload_keeps_open_sockets() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/all") as client:
        await opened(client)
        for number in range(5):
            await served.gate.reload(plan_text(PLANT.replace("rate: 20", f"rate: {number + 1}")))
            await publish(served, "assets", {"n": number})
            assert await client.values(1) == [{"n": number}]
        await served.gate.reload(plan_text(PLANT.replace("path: /all", "path: /elsewhere")))
        await publish(served, "assets", {"n": 5})
        assert await client.values(1) == [{"n": 5}]


async def test_who_leaves_is_freed_at_once() -> None:
    async with web(PLANT) as (_, served):
        for politely in (True, False):
            async with raw_socket(served.url, "/all") as connection:
                await read_frame(connection)
                [gone] = [weakref.ref(visitor) for visitor in served.gate.visitors._there]
                if politely:
                    connection.send(frame(CLOSE, b"\x03\xe8"))
                else:
                    connection.leave()
                await eventually(lambda: len(served.gate.visitors) == 0)
                assert served.gate.hubs["assets"].lanes.followers == 0
        gc.collect()
        assert gone() is None


async def test_under_another_server_the_same_is_sent() -> None:
    async with web(PLANT, protocol="httptools") as (_, served):
        async with talk(served.url, "/talk") as client, talk(served.url, "/small") as other:
            await opened(client)
            for number in range(50):
                await client.say("publish", value=number, ref=number)
            frames = await client.take(100)
            assert [told["ref"] for told in frames if told["type"] == "ack"] == list(range(50))
            assert [told["value"] for told in frames if told["type"] == "message"] == list(range(50))
            await other.connection.send("x" * 1001)
            assert (await other.rest())[1] == 1009
        await eventually(lambda: len(served.gate.visitors) == 0)
        with pytest.raises(InvalidStatus) as refused:
            async with talk(served.url, "/all?colour=red"):
                pass
        assert refused.value.response.status_code == 422


# Who is let in


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("/all", None, 101),
        ("/all", "http://gate.localhost", 101),
        ("/all", "https://GATE.localhost", 101),
        ("/all", "http://gate.localhost:8080", 403),
        ("/all", "http://evil.example", 403),
        ("/all", "http://gate.localhost.evil.example", 403),
        ("/all", "https://plant.example", 403),
        ("/all", "null", 403),
        ("/all", "", 403),
        ("/partners", "https://plant.example", 101),
        ("/partners", "http://plant.example", 403),
        ("/partners", "http://gate.localhost", 101),
    ],
)
async def test_pages_of_other_sites_are_let_in_by_name_only(path: str, origin: str | None, status: int) -> None:
    async with web(PLANT) as (_, served), raw(served.url) as connection:
        connection.send(handshake(path, **({} if origin is None else {"Origin": origin})))
        answer = await (connection.head() if status == 101 else connection.answer())
        assert answer.status == status
        if status == 403:
            assert json.loads(answer.body)["type"] == "refused"
            assert await connection.rest() == b""
            assert len(served.gate.visitors) == 0


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nothing", 404, "not_found"),
        ("/streams/notes/messages", 404, "not_found"),
        ("/%C3%A9/%FF", 404, "not_found"),
        ("/some?asset=P&level=high", 422, "invalid_parameter"),
        ("/some?level=1", 422, "invalid_parameter"),
        ("/all?colour=red", 422, "invalid_parameter"),
        ("/orders?from=oldest", 422, "invalid_parameter"),
        ("/all?after=nonsense", 400, "position"),
        ("/all?from=oldest&after=e:1", 400, "bad_request"),
        ("/all?from=oldest&from=newest", 400, "bad_request"),
        ("/all?a=%ff", 400, "bad_request"),
    ],
)
async def test_what_cannot_be_opened_is_an_answer_like_any_other(path: str, status: int, code: str) -> None:
    async with web(PLANT) as (client, served), raw(served.url) as connection:
        connection.send(handshake(path, X_Request_Id="mine"))
        answer = await connection.answer()
        assert (answer.status, json.loads(answer.body)["type"]) == (status, code)
        assert answer.all("x-request-id") == ["mine"]
        assert f'headgate_http_errors_total{{code="{code}"}} 1.0' in (await client.get("/metrics")).text
        assert len(served.gate.visitors) == served.gate.hubs["assets"].lanes.followers == 0


async def test_a_stream_that_cannot_be_read_just_now_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(PLANT) as (_, served):
        await served.gate.hubs["assets"].close()
        served.gate.hubs["assets"] = away = hub.Hub(served.gate.streams["assets"], served.gate.tasks)

        async def fail(*_: object) -> None:
            raise Unavailable("the broker is away")

        monkeypatch.setattr(hub, "PATIENCE", 0.05)
        monkeypatch.setattr(served.gate.streams["assets"].transport, "open_source", fail)
        served.gate.app.doors = served.gate._doors(served.gate.plan)
        with pytest.raises(InvalidStatus) as refused:
            async with talk(served.url, "/all"):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        assert away.lanes.followers == 0


async def test_a_failure_of_ours_is_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with web(PLANT) as (_, served), raw(served.url) as connection:

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        served.gate.app.doors = {"/all": broken}
        connection.send(handshake("/all"))
        answer = await connection.answer()
        assert (answer.status, json.loads(answer.body)["type"]) == (500, "internal")
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["socket failed"]


async def test_sockets_count_as_connections() -> None:
    config = PLANT + "service: {limits: {connections: 3}}"
    async with web(config) as (_, served), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk(served.url, "/all")) for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(talk(served.url, "/all"))
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        await clients[0].connection.close()
        await eventually(lambda: len(served.gate.visitors) == 2)
        await stack.enter_async_context(talk(served.url, "/all"))


# What no client would send


@asynccontextmanager
async def bystander(served: Serving) -> AsyncIterator[None]:
    """Another client, who publishes and is answered all the time: at no time does it wait for long."""
    async with talk(served.url, "/talk") as client:
        await opened(client)
        longest = 0.0
        over = asyncio.Event()

        async def go_on() -> None:
            nonlocal longest
            loop = asyncio.get_running_loop()
            ref = 0
            while not over.is_set():
                began = loop.time()
                await client.say("publish", value=ref, ref=ref)
                assert {told["type"] for told in await client.take(2)} == {"ack", "message"}
                longest = max(longest, loop.time() - began)
                ref += 1
                await asyncio.sleep(0.005)

        going = asyncio.ensure_future(go_on())
        try:
            yield
        finally:
            over.set()
            await going
        assert longest < 1.5, f"another client waited {longest:.2f} s"


BAD_CLOSE = [frame(CLOSE, code.to_bytes(2)) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)]
DEFLATED = zlib.compressobj(wbits=-15).compress(b"x" * 10_000_000)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x" * 17_000_000), 1009),
        (frame(TEXT, b"x" * 65_537), 1009),
        (frame(TEXT, b"x" * 60_000, fin=False) + frame(CONT, b"x" * 6_000), 1009),
        (frame(TEXT, DEFLATED, rsv1=True), 1002),
        (frame(TEXT, b"[", fin=False) + frame(CONT, b" ", fin=False) * 100_000, 1009),
        (frame(TEXT, b"[", fin=False) + frame(CONT, fin=False) * 100_000, 1009),
        (frame(PING, b"x" * 125) * 100_000, 1008),
        (frame(PING) * 1000, 1008),
        (frame(PONG) * 1000, 1008),
        (frame(TEXT, b"{}") * 2000, 1008),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b'"\xf0\x9f', fin=False) + frame(CONT, b'\x98"'), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        *[(frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(CONT, b"{}"), 1002),
        (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (b"\x81\xff\x80" + b"\0" * 11, 1009),
        *[(close, 1002) for close in BAD_CLOSE],
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(TEXT, b"{", fin=False) + frame(CLOSE, b"\x03\xe8"), 1002),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
    ],
)
async def test_what_breaks_the_protocol_is_told_why_and_harms_nobody(
    sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with web(PLANT) as (_, served), bystander(served):
        before = memory()
        async with raw_socket(served.url, "/some", Sec_WebSocket_Extensions="permessage-deflate") as connection:
            connection.send(sent)
            told, reason = await farewell(connection)
            assert told == code, reason
            assert reason
        await eventually(lambda: len(served.gate.visitors) == 1)
        assert memory() - before < 64 * 1024 * 1024
    assert not [record for record in caplog.records if record.exc_info]


async def test_compression_is_not_agreed_to() -> None:
    async with web(PLANT) as (_, served), raw(served.url) as connection:
        connection.send(handshake("/some", Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
        answer = await connection.head()
        assert answer.status == 101
        assert not answer.all("sec-websocket-extensions")


async def test_a_frame_that_is_announced_too_large_is_refused_before_it_comes() -> None:
    async with web(PLANT) as (_, served), raw_socket(served.url, "/small") as connection:
        connection.send(frame(TEXT, b"x" * 1001)[:8])
        assert (await farewell(connection))[0] == 1009
    async with web(PLANT) as (_, served), talk(served.url, "/small") as client:
        for size in (1000, 999):
            await client.connection.send('"' + "x" * (size - 2) + '"')
            assert (await client.next())["code"] == "bad_request"
        await client.connection.send('"' + "\u00e9" * 500 + '"')
        assert (await client.rest())[1] == 1009


async def test_who_says_too_much_is_sent_away() -> None:
    async with web(PLANT) as (_, served), talk(served.url, "/small") as client:
        for number in range(30):
            await client.say("publish", value=number, ref=number)
        frames, code, reason = await client.rest()
        assert (code, reason) == (1008, "20 frames per second are the limit")
        assert [told["ref"] for told in frames] == list(range(len(frames)))
        assert len(frames) >= 20


async def test_who_may_say_one_thing_in_ten_seconds_may_say_it_at_once() -> None:
    config = PLANT.replace("rate: 20", "rate: 0.1")
    async with web(config) as (_, served), talk(served.url, "/small") as client:
        await client.say("publish", value=1, ref=1)
        assert (await client.next())["ref"] == 1
        await client.say("publish", value=1, ref=2)
        assert (await client.rest())[1] == 1008


async def test_pings_are_answered_but_not_for_who_takes_nothing() -> None:
    async with web(SLOW) as (_, served), raw_socket(served.url, "/drop") as connection:
        await read_frame(connection)
        connection.send(frame(PING, b"abc"))
        assert await read_frame(connection) == (PONG, b"abc")
        connection.writer.transport.pause_reading()
        await fill(served, 0, 200)
        [visitor] = served.gate.visitors._there
        transport = visitor._outlet.transport  # type: ignore[attr-defined]
        held = transport.get_write_buffer_size()
        for _ in range(4):
            connection.send(frame(PING, b"x" * 125) * 20)
            await asyncio.sleep(0.01)
        assert transport.get_write_buffer_size() <= held


async def test_who_speaks_before_it_is_let_in_is_heard_when_it_is() -> None:
    async with web(PLANT) as (_, served):
        door = served.gate.app.doors["/talk"]
        let_in = asyncio.Event()

        async def slow_door(*given: Any) -> None:
            await let_in.wait()
            await door(*given)

        served.gate.app.doors = {"/talk": slow_door}
        async with raw(served.url) as connection:
            connection.send(handshake("/talk"))
            await eventually(lambda: served.gate._web.in_flight == 1)
            connection.send(frame(PING, b"early") + frame(TEXT, b'{"type": "publish", "value": 1}'))
            await asyncio.sleep(0.05)
            let_in.set()
            assert (await connection.head()).status == 101
            kinds = [await read_frame(connection) for _ in range(4)]
            assert sorted(opcode for opcode, _ in kinds) == [TEXT, TEXT, TEXT, PONG]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (handshake("/all", Sec_WebSocket_Version="12"), 400),
        (handshake("/all", Sec_WebSocket_Key="short"), 400),
        (handshake("/all").replace(b"Sec-WebSocket-Key", b"X"), 400),
        (handshake("/all").replace(b"GET", b"POST"), 405),
        (handshake("/\xff"), 400),
        (handshake("/all", **{f"X_{n}": "x" for n in range(200)}), 431),
        (handshake("/" + "x" * 20_000), 414),
        (handshake("/all", X_Long="x" * 20_000), 431),
        (handshake("/all", X_Letter="\xff"), 101),
        (handshake("/all").replace(b"Host: gate.localhost\r\n", b""), 101),
    ],
)
async def test_a_handshake_that_is_none_is_answered(sent: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    async with web(PLANT) as (_, served), raw(served.url) as connection:
        connection.send(sent)
        assert (await connection.head()).status == status
        if status != 101:
            await connection.rest()
    assert not [record for record in caplog.records if record.exc_info]


def ping_often(served: Serving) -> None:
    [visitor] = served.gate.visitors._there
    protocol = visitor._outlet  # type: ignore[attr-defined]
    protocol.stop_keepalive()
    protocol.ping_interval = protocol.ping_timeout = 0.03
    protocol.start_keepalive()


async def test_who_does_not_answer_pings_is_sent_away() -> None:
    async with web(PLANT) as (_, served), raw_socket(served.url, "/all") as connection:
        await read_frame(connection)
        ping_often(served)
        opcode, data = await read_frame(connection)
        assert opcode == PING
        connection.send(frame(PONG, data))
        assert (await read_frame(connection))[0] == PING
        assert (await farewell(connection))[0] == 1011
        await eventually(lambda: len(served.gate.visitors) == 0)


async def test_who_cannot_be_heard_because_its_stream_is_slow_is_not_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MemorySink.send

    async def slow(self: MemorySink, batch: Any) -> Any:
        await asyncio.sleep(0.4)
        return await whole(self, batch)

    monkeypatch.setattr(MemorySink, "send", slow)
    async with web(PLANT) as (_, served), talk(served.url, "/talk") as client:
        await opened(client)
        ping_often(served)
        await _publish_large(client, 40)
        acks = [told for told in await client.take(80) if told["type"] == "ack"]
        assert len(acks) == 40


async def test_who_floods_after_it_was_sent_away_is_not_parsed_for_long() -> None:
    async with web(PLANT) as (_, served), bystander(served), raw_socket(served.url, "/small") as connection:
        connection.send(frame(TEXT, b"{}") * 30)
        for _ in range(20):
            connection.send(frame(TEXT, b"{}") * 100_000)
            await asyncio.sleep(0)
        assert (await farewell(connection))[0] == 1008


async def test_who_goes_on_sending_after_it_was_sent_away_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_protocol, "LINGER_BYTES", 100_000)
    async with web(PLANT) as (_, served), raw_socket(served.url, "/all") as connection:
        await read_frame(connection)
        connection.send(frame(3))
        async with asyncio.timeout(PATIENCE):
            while not connection.writer.transport.is_closing():
                connection.send(b"x" * 100_000)
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("sent", [frame(3), frame(TEXT, b"{}") * 2000])
async def test_who_is_sent_away_and_stays_is_cut_after_a_while(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_protocol, "LINGER", 0.05)
    async with web(PLANT) as (_, served), raw_socket(served.url, "/all") as connection:
        await read_frame(connection)
        [visitor] = served.gate.visitors._there
        protocol = visitor._outlet  # type: ignore[attr-defined]
        protocol.close_timeout = 0.05
        connection.writer.transport.pause_reading()
        connection.send(sent)
        await eventually(lambda: protocol not in protocol.connections)
