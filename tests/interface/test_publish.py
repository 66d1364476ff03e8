"""Publishing over HTTP: every form a body may have, and what is said of each message."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.core.wire import BINARY, ENVELOPES, JSON, NDJSON, pack
from tests.gates.inside import Serving
from tests.gates.web import eventually, raw, web

CONFIG = """
streams:
  notes: {codec: json, kind: note}
  lines: {codec: text}
  blobs: {codec: raw}
  packs: {codec: msgpack}
  rows: {codec: {name: delimited, delimiter: "|", fields: [a, b]}}
"""


async def post(client: httpx2.AsyncClient, stream: str, body: bytes, media: str | None = None, query: str = "") -> Any:
    headers = {"Content-Type": media} if media else {}
    return await client.post(f"/streams/{stream}/messages{query}", content=body, headers=headers)


async def kept(served: Serving, stream: str) -> Sequence[Message[bytes]]:
    async with served.gate.streams[stream].subscribe(Oldest()) as subscription:
        return (await subscription.take(10_000, wait=0)).messages


async def values(served: Serving, stream: str) -> list[bytes]:
    return [message.value for message in await kept(served, stream)]


@pytest.mark.parametrize(
    ("stream", "media", "body", "expected"),
    [
        ("notes", JSON, b'{"a": 1}', [b'{"a": 1}']),
        ("notes", JSON, b' \n[1, {"b" : [2]}, "x"]\n', [b"1", b'{"b" : [2]}', b'"x"']),
        ("notes", JSON, b"[]", []),
        ("notes", JSON, b"[[1,2]]", [b"[1,2]"]),
        ("notes", "application/json; charset=utf-8", b"null", [b"null"]),
        ("notes", None, b"7", [b"7"]),
        ("notes", NDJSON, b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        ("notes", NDJSON, b"1\r\n\r\n2\r\n3", [b"1", b"2", b"3"]),
        ("notes", NDJSON, b"", []),
        ("notes", "text/plain", b"1\n2\n", [b"1", b"2"]),
        ("notes", BINARY, pack([Message(value=b"1"), Message(value=b"[2]")]), [b"1", b"[2]"]),
        ("notes", BINARY, b"\x90", []),
        ("notes", ENVELOPES, b'[{"value":1},{"value":{"a":2}}]', [b"1", b'{"a":2}']),
        ("notes", ENVELOPES, b'{"value":1}', [b"1"]),
        ("notes", ENVELOPES, b'{"value":"eyJhIjoxfQ==","encoding":"base64"}', [b'{"a":1}']),
        ("notes", "application/octet-stream", b'{"a":\n1}', [b'{"a":\n1}']),
        ("lines", "text/plain; charset=utf-8", "grüß\r\ndich".encode(), ["grüß".encode(), b"dich"]),
        ("lines", None, b"one\ntwo", [b"one", b"two"]),
        ("lines", JSON, b'["one","tw\\no"]', [b"one", b"tw\no"]),
        ("blobs", None, b"\x00\xff\r\n\x00", [b"\x00\xff\r\n\x00"]),
        ("blobs", "application/octet-stream", b"", [b""]),
        ("blobs", JSON, b'"AP8="', [b"\x00\xff"]),
        ("blobs", "text/plain", b"a\nb", [b"a", b"b"]),
        ("packs", JSON, b'{"a":1}', [b"\x81\xa1a\x01"]),
        ("packs", "application/msgpack", b"\x81\xa1a\x01", [b"\x81\xa1a\x01"]),
        ("rows", "text/plain", b"1|x\n2|y\n", [b"1|x", b"2|y"]),
        ("rows", NDJSON, b'{"a":1,"b":"x"}\n["2","y"]', [b"1|x", b"2|y"]),
    ],
)
async def test_a_body_becomes_messages(stream: str, media: str | None, body: bytes, expected: list[bytes]) -> None:
    async with web(CONFIG) as (client, served):
        answer = await post(client, stream, body, media)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["published"], answer.json()["failed"]) == (len(expected), 0)
        assert await values(served, stream) == expected


async def test_the_answer_tells_the_place_after_each_message() -> None:
    async with web(CONFIG) as (client, _):
        first = (await post(client, "notes", b"[1,2]")).json()
        second = (await post(client, "notes", b"3")).json()
        epoch = first["positions"][0].partition(":")[0]
        assert first["positions"] == [f"{epoch}:1", f"{epoch}:2"]
        assert first["position"] == first["positions"][-1]
        assert second["position"] == f"{epoch}:3"
        after = await client.get(f"/streams/notes/messages?after={first['positions'][0]}")
        assert [message["value"] for message in after.json()] == [2, 3]


async def test_good_messages_are_kept_and_bad_ones_named_by_their_index() -> None:
    async with web(CONFIG) as (client, served):
        answer = await post(client, "notes", b"1\n{bad\n3\nNaN\n", NDJSON)
        assert answer.status_code == 207
        told = answer.json()
        assert (told["published"], told["failed"], len(told["positions"])) == (2, 2, 2)
        assert [error["index"] for error in told["errors"]] == [1, 3]
        assert all(error["message"].startswith("not JSON: ") for error in told["errors"])
        assert await values(served, "notes") == [b"1", b"3"]


async def test_nothing_but_bad_messages_is_an_error() -> None:
    async with web(CONFIG) as (client, served):
        answer = await post(client, "rows", b"1|2|3\n4\n")
        told = answer.json()
        assert answer.status_code == 400
        assert told["error"] == "message 0: expected 2 fields, found 3"
        assert told["type"] == "codec"
        assert told["errors"] == [
            {"index": 0, "message": "expected 2 fields, found 3"},
            {"index": 1, "message": "expected 2 fields, found 1"},
        ]
        assert await values(served, "rows") == []


async def test_errors_are_counted_to_the_end_and_shown_to_a_hundred() -> None:
    async with web(CONFIG) as (client, _):
        told = (await post(client, "notes", b"x\n" * 300, NDJSON)).json()
        assert (told["failed"], len(told["errors"])) == (300, 100)


@pytest.mark.parametrize(
    ("media", "body", "reason"),
    [
        (JSON, b"[1, 2", "not JSON: "),
        (JSON, b"", "not JSON: "),
        (JSON, b'{"a": NaN}', "not JSON: "),
        (JSON, b'"\xff"', "not JSON: "),
        (JSON, b"[" * 100_000, "not JSON: "),
        (ENVELOPES, b'[{"values":1}]', "not a batch of messages: "),
        (ENVELOPES, b'[{"value":1,"key":7}]', "not a batch of messages: "),
        (BINARY, b"\xff", "not a binary message batch: "),
        (BINARY, b"", "not a binary message batch: "),
        (BINARY, pack([Message(value=b"{")]), "message 0: not JSON: "),
        ("application/octet-stream", b"{", "message 0: not JSON: "),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_the_reason(media: str, body: bytes, reason: str) -> None:
    async with web(CONFIG) as (client, served):
        answer = await post(client, "notes", body, media)
        assert answer.status_code == 400
        assert reason in answer.json()["error"]
        assert await values(served, "notes") == []


async def test_a_type_that_is_not_read_is_refused_with_those_that_are() -> None:
    async with web(CONFIG) as (client, _):
        answer = await post(client, "notes", b"a=1", "application/x-www-form-urlencoded")
        assert answer.status_code == 415
        assert answer.json()["type"] == "unsupported_media_type"
        told = answer.json()["error"]
        assert told.startswith(
            "a body of type 'application/x-www-form-urlencoded' is not read here; set Content-Type to "
        )
        assert "application/json, application/x-ndjson" in told


async def test_the_key_of_the_query_is_for_messages_without_one() -> None:
    async with web(CONFIG) as (client, served):
        body = b'[{"value":1},{"value":2,"key":"own"},{"value":3,"key":{"base64":"/w=="}}]'
        await post(client, "notes", body, ENVELOPES, "?key=gr%C3%BCn")
        assert [message.key for message in await kept(served, "notes")] == ["grün".encode(), b"own", b"\xff"]


async def test_an_envelope_brings_time_stream_key_and_headers() -> None:
    async with web(CONFIG) as (client, served):
        body = b'{"timestamp":7,"stream":{"kind":"k","name":"n"},"value":1,"key":"a",'
        body += b'"headers":[["h","v"],["h",{"base64":"/w=="}]]}'
        assert (await post(client, "notes", body, ENVELOPES)).status_code == 200
        [message] = await kept(served, "notes")
        assert (message.timestamp, message.stream.kind, message.stream.name, message.key) == (7, "k", "n", b"a")
        assert message.headers == (("h", b"v"), ("h", b"\xff"))


@pytest.mark.parametrize("timestamp", [2**63, -(2**63) - 1, 10**30])
async def test_a_time_that_no_store_can_hold_is_refused(timestamp: int) -> None:
    async with web(CONFIG) as (client, _):
        answer = await post(client, "notes", b'{"value":1,"timestamp":%d}' % timestamp, ENVELOPES)
        assert answer.status_code == 400
        assert "a timestamp is a number of nanoseconds" in answer.json()["error"]


async def test_a_message_without_a_name_gets_the_streams() -> None:
    async with web(CONFIG) as (client, served):
        await post(client, "notes", b"1")
        [message] = await kept(served, "notes")
        assert (message.stream.kind, message.stream.name) == ("note", "notes")


async def test_a_parameter_given_twice_is_refused_before_the_body_is_taken() -> None:
    async with web(CONFIG) as (client, served):
        answer = await post(client, "notes", b"1", JSON, "?key=a&key=b")
        assert (answer.status_code, await values(served, "notes")) == (400, [])


FULL = "streams: {notes: {codec: raw, delivery: queue, overflow: %s, retain: {messages: 2}}}"


async def test_a_batch_that_finds_no_room_is_refused_as_a_whole() -> None:
    async with web(FULL % "reject") as (client, served):
        answer = await post(client, "notes", b"1\n2\n3\n", "text/plain")
        assert (answer.status_code, await values(served, "notes")) == (429, [])
        assert served.gate.streams["notes"].stats.refused == 3


async def test_a_publisher_waits_for_room() -> None:
    async with web(FULL % "block") as (client, _):
        await post(client, "notes", b"1\n2\n", "text/plain")
        waiting = asyncio.ensure_future(post(client, "notes", b"3\n", "text/plain"))
        taken = await client.get("/streams/notes/messages")
        assert [message["value"] for message in taken.json()] == ["MQ==", "Mg=="]
        assert (await waiting).status_code == 200


async def test_a_publisher_that_leaves_waits_no_longer() -> None:
    async with web(FULL % "block") as (client, served):
        await post(client, "notes", b"1\n2\n", "text/plain")
        async with raw(served.url) as connection:
            connection.send(b"POST /streams/notes/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n3")
            await eventually(lambda: served.gate._web.in_flight == 1)
            connection.leave()
            await eventually(lambda: served.gate._web.in_flight == 0)
        assert len((await client.get("/streams/notes/messages")).json()) == 2
        assert (await client.get("/streams/notes/messages")).status_code == 204


async def test_a_publisher_that_waits_is_sent_home_when_the_gate_shuts_down() -> None:
    async with web(FULL % "block") as (client, served):
        await post(client, "notes", b"1\n2\n", "text/plain")
        waiting = asyncio.ensure_future(post(client, "notes", b"3\n", "text/plain"))
        await eventually(lambda: served.gate._web.in_flight == 1)
        served.gate.drain()
        answer = await waiting
        assert (answer.status_code, answer.json()["type"]) == (503, "unavailable")


async def test_many_publishers_at_once_lose_and_double_nothing() -> None:
    async with web(CONFIG) as (client, served):
        bodies = [b"\n".join(b"%d" % (batch * 50 + n) for n in range(50)) for batch in range(40)]
        answers = await asyncio.gather(*(post(client, "notes", body, NDJSON) for body in bodies))
        places = [place for answer in answers for place in answer.json()["positions"]]
        assert len(set(places)) == 2000
        assert sorted(map(int, await values(served, "notes"))) == list(range(2000))


STREAMS = ("notes", "lines", "blobs", "packs", "rows")
MEDIA = (JSON, NDJSON, ENVELOPES, BINARY, "text/plain", "application/octet-stream", "application/msgpack")


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)


jsons = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), nested, max_leaves=5)
optional = {"key": jsons, "timestamp": jsons, "headers": jsons, "encoding": jsons, "stream": jsons}
bodies = st.one_of(
    st.binary(max_size=200),
    jsons.map(lambda value: json.dumps(value).encode()),
    st.lists(st.fixed_dictionaries({"value": jsons}, optional=optional)).map(lambda value: json.dumps(value).encode()),
    st.text().map(msgspec.msgpack.encode),
)


async def test_no_body_whatever_breaks_the_gate_or_its_streams() -> None:
    async with web(CONFIG) as (client, _):

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.sampled_from(STREAMS), st.sampled_from(MEDIA), bodies)
        def collect(stream: str, media: str, body: bytes) -> None:
            cases.append((stream, media, body))

        cases: list[tuple[str, str, bytes]] = []
        await asyncio.to_thread(collect)
        for stream, media, body in cases:
            answer = await post(client, stream, body, media)
            assert answer.status_code in (200, 207, 400), (stream, media, body, answer.text)
        for stream in STREAMS:
            for accept in (JSON, NDJSON, BINARY):
                answer = await client.get(f"/streams/{stream}/messages", headers={"Accept": accept})
                assert answer.status_code in (200, 204), (stream, accept, answer.text)


async def test_more_messages_than_one_turn_of_the_loop_should_take_are_refused() -> None:
    async with web(CONFIG) as (client, served):
        answer = await post(client, "notes", b"1\n" * 50_001, NDJSON)
        assert answer.status_code == 413
        assert answer.json()["error"].startswith("50001 messages are over the limit of 50000 in one request")
        assert await values(served, "notes") == []
