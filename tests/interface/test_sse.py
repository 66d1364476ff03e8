"""Following a stream by Server-Sent Events: what a client gets, and what it is told when it cannot have it."""

import asyncio
import gc
import json
import socket
import weakref
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

from headgate.core.message import Message
from headgate.spec.resolve import plan_text
from tests.gates.events import Event, follow
from tests.gates.inside import Serving
from tests.gates.web import PATIENCE, Raw, eventually, raw, web

FACTORY = """
streams:
  assets: {retain: {messages: 20}}
  quiet: {retain: {messages: 20}}
  blobs: {codec: raw}
  notes: {codec: text}
runtime:
  web:
    interfaces:
      - kind: sse
        path: /asset_stream
        stream: assets
        event: asset_update
        filter:
          asset_uuid: {key: true, required: true}
          id: {field: id, ignore_case: true}
      - {kind: sse, path: /all, stream: assets, retry: 7s, origins: ["https://plant.example:8443"]}
      - {kind: sse, path: /full, stream: assets, data: envelope}
      - {kind: http_stream, path: /quick, stream: quiet, ping: 20ms}
      - {kind: sse, path: /blobs, stream: blobs}
      - {kind: sse, path: /notes, stream: notes}
      - kind: sse
        path: /typed
        stream: assets
        filter:
          hot: {field: state.hot, type: boolean}
          level: {field: level, type: integer}
          load: {field: load, type: number}
          kind: {field: kind, enum: [a, b]}
          code: {field: code, pattern: "[A-Z]{2}[0-9]+"}
          origin: {header: origin}
"""


async def publish(served: Serving, stream: str, *values: Any, key: str | None = None, **given: Any) -> None:
    bodies = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    named = None if key is None else key.encode()
    await served.gate.streams[stream].publish([Message(value=body, key=named, **given) for body in bodies])


def values(events: list[Event]) -> list[Any]:
    return [json.loads(event.data) for event in events]


# What is sent


async def test_a_follower_gets_what_it_asked_for_as_the_same_bytes() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/asset_stream?asset_uuid=P&id=Zact") as events:
        untouched = b'{"ID" : "Zact",  "VALUE": -0.328, "TAG":"Position"}'
        await publish(served, "assets", {"id": "avail"}, {"id": "Zact", "n": 1}, key="P")
        await publish(served, "assets", {"id": "Zact"}, key="Q")
        await publish(served, "assets", b"not json", b'"Zact"', b"[1]", untouched, key="P")
        first, second = await events.take(2)
        assert (first.name, json.loads(first.data)) == ("asset_update", {"id": "Zact", "n": 1})
        assert second.data.encode() == untouched
        assert served.gate.streams["assets"].stats.missed == 0


async def test_without_a_field_to_ask_for_values_that_are_not_json_pass_through() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/asset_stream?asset_uuid=P") as events:
        await publish(served, "assets", b"not json", b"", b"two\r\nlines\n", b"\xff\xfe", key="P")
        assert [event.data for event in await events.take(4)] == ["not json", "", "two\nlines\n", "\ufffd\ufffd"]


async def test_a_key_is_exact_and_a_fields_name_is_not() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/asset_stream?asset_uuid=P&id=Zact") as events:
        await publish(served, "assets", {"id": "Zact", "n": 1}, key="p")
        await publish(served, "assets", {"id": "zact", "n": 2}, {"iD": "Zact", "n": 3}, key="P")
        assert values(await events.take(1)) == [{"iD": "Zact", "n": 3}]


async def test_any_of_several_values_will_do() -> None:
    path = "/asset_stream?asset_uuid=P&asset_uuid=Q&id=a&id=b"
    async with web(FACTORY) as (client, served), follow(client, path) as events:
        for key in "PQR":
            await publish(served, "assets", *({"id": name, "key": key} for name in "abc"), key=key)
        await publish(served, "assets", {"id": "a", "last": True}, key="P")
        got = values(await events.take(5))
    assert got[:-1] == [{"id": name, "key": key} for key in "PQ" for name in "ab"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("hot=true", [0]),
        ("hot=false", [1]),
        ("level=1", [0, 2]),
        ("load=1.5", [1]),
        ("load=2", [2]),
        ("kind=a&level=1", [0]),
        ("code=AB1", [1]),
        ("origin=here", [0, 1, 2, 3]),
        ("level=1&level=2", [0, 1, 2]),
    ],
)
async def test_a_filter_asks_for_values_of_its_type(query: str, wanted: list[int]) -> None:
    sent = [
        {"n": 0, "state": {"hot": True}, "level": 1, "load": True, "kind": "a"},
        {"n": 1, "state": {"hot": False}, "level": 2, "load": 1.5, "code": "AB1"},
        {"n": 2, "state": [True], "level": 1, "load": 2.0, "kind": 1},
        {"n": 3, "state": None, "level": "1", "load": "2"},
    ]
    async with web(FACTORY) as (client, served), follow(client, f"/typed?{query}") as events:
        await publish(served, "assets", *sent, headers=(("other", b"x"), ("origin", b"here")))
        last = {"n": 9, "state": {"hot": "hot=true" in query}, "level": 1, "load": 1.5 if "1.5" in query else 2}
        last |= {"kind": "a", "code": "AB1"}
        await publish(served, "assets", last, headers=(("origin", b"here"),))
        assert [value["n"] for value in values(await events.take(len(wanted) + 1))] == [*wanted, 9]


async def test_an_envelope_has_key_headers_and_time() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/full") as events:
        await publish(served, "assets", {"a": 1}, key="P", timestamp=5, headers=(("h", b"v"),))
        [event] = await events.take(1)
    shown = json.loads(event.data)
    assert (shown["value"], shown["key"], shown["timestamp"], shown["headers"]) == ({"a": 1}, "P", 5, [["h", "v"]])


async def test_what_is_no_text_comes_in_its_json_form() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/blobs") as events:
        await publish(served, "blobs", b"\x00\xff\n")
        assert [event.data for event in await events.take(1)] == ['"AP8K"']


async def test_lines_come_to_who_asks_for_them() -> None:
    async with web(FACTORY) as (client, served):
        await publish(served, "assets", {"a": 1}, {"a": 2}, key="P")
        headers = {"Accept": "application/x-ndjson"}
        async with client.stream("GET", "/asset_stream?asset_uuid=P&from=oldest", headers=headers) as response:
            assert response.headers["content-type"] == "application/x-ndjson"
            lines = response.aiter_lines()
            got = [json.loads(line) for line in [await anext(lines) for _ in range(2)]]
    assert [line["value"] for line in got] == [{"a": 1}, {"a": 2}]


async def test_an_event_without_a_name_has_no_event_field() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/all") as events:
        assert events.parser.retry == 7000
        await publish(served, "assets", {"a": 1})
        assert (await events.next()).name == "message"


async def test_silence_is_filled_with_comments_that_move_nothing() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/quick") as events:
        place = events.parser.last_id
        await events.until("comments")
        assert events.parser.last_id == place
        await publish(served, "quiet", {"a": 1})
        assert (await events.next()).last_id != place


async def test_gzip_when_asked_for_and_readable_event_by_event() -> None:
    async with web(FACTORY) as (_, served), raw(served.url) as connection:
        connection.send(b"GET /all HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip;q=0.5\r\n\r\n")
        head = await connection.head()
        assert head.all("content-encoding") == ["gzip"]
        inflate = zlib.decompressobj(wbits=31)
        text = b""

        async def read_until(sign: bytes) -> None:
            nonlocal text
            async with asyncio.timeout(PATIENCE):
                while sign not in text:
                    size = int(await connection.reader.readline(), 16)
                    text += inflate.decompress(await connection.reader.readexactly(size))
                    await connection.reader.readexactly(2)

        await read_until(b"id: ")
        for number in range(3):
            await publish(served, "assets", {"n": number})
            await read_until(b'{"n": %d}' % number)
        served.gate.drain()
        await read_until(b"retry: 8" if b"retry: 8" in text else b"retry: ")
        async with asyncio.timeout(PATIENCE):
            while not inflate.eof:
                size = int(await connection.reader.readline(), 16)
                text += inflate.decompress(await connection.reader.readexactly(size))
                await connection.reader.readexactly(2)
        assert await connection.reader.readexactly(5) == b"0\r\n\r\n"


async def test_no_gzip_for_who_does_not_ask() -> None:
    headers = {"Accept-Encoding": "identity, gzip;q=0"}
    async with web(FACTORY) as (client, _), follow(client, "/all", headers=headers) as events:
        assert "content-encoding" not in events.response.headers


@pytest.mark.parametrize(
    ("path", "origin", "told"),
    [
        ("/all", "https://plant.example:8443", "https://plant.example:8443"),
        ("/all", "https://plant.example", None),
        ("/all", None, None),
        ("/full", "https://plant.example:8443", None),
    ],
)
async def test_pages_of_other_sites_may_read_it_where_they_are_named(path: str, origin: str | None, told: str) -> None:
    headers = {"Origin": origin} if origin else None
    async with web(FACTORY) as (client, _), follow(client, path, headers=headers) as events:
        assert events.response.headers.get("access-control-allow-origin") == told
        assert "Origin" in events.response.headers["vary"]


async def test_head_and_options_answer() -> None:
    async with web(FACTORY) as (client, served):
        head = await client.head("/all")
        assert (head.status_code, head.headers["content-type"], head.content) == (200, "text/event-stream", b"")
        assert (await client.options("/all")).headers["allow"] == "GET, HEAD, OPTIONS"
        assert (await client.head("/asset_stream")).status_code == 422
        assert len(served.gate.visitors) == 0


# What is refused


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/asset_stream", 422, "'asset_uuid' is missing"),
        ("/asset_stream?id=Zact", 422, "'asset_uuid' is missing"),
        ("/asset_stream?asset_uuid=", 422, "'asset_uuid'"),
        ("/asset_stream?asset_uuid=P&colour=red", 422, "'colour' is unknown"),
        ("/asset_stream?asset_uuid=P&after=nonsense", 400, "not a position"),
        ("/asset_stream?asset_uuid=P&from=yesterday", 400, "no place to start"),
        ("/asset_stream?asset_uuid=P&from=oldest&after=e:1", 400, "not both"),
        ("/asset_stream?asset_uuid=" + "x" * 1001, 422, "at most 1000 characters"),
        ("/asset_stream?" + "&".join(f"asset_uuid={n}&id={n}" for n in range(40)), 422, "1600 combinations"),
        ("/typed?hot=yes", 422, "'hot' must be true or false"),
        ("/typed?level=1.5", 422, "'level' must be a whole number"),
        ("/typed?level=1e400", 422, "'level' must be a whole number"),
        ("/typed?load=nan", 422, "'load' must be a number"),
        ("/typed?kind=c", 422, "'kind' must be one of a, b"),
        ("/typed?code=x1", 422, "'code' must be text that matches"),
        ("/typed?hot=true;DROP", 422, "'hot' must be"),
    ],
)
async def test_what_cannot_be_followed_is_refused_with_the_name(path: str, status: int, word: str) -> None:
    async with web(FACTORY) as (client, served):
        answer = await client.get(path)
        assert answer.status_code == status
        assert word in answer.json()["error"]
        assert len(served.gate.visitors) == served.gate.hubs["assets"].lanes.followers == 0


@pytest.mark.parametrize(
    "token", ["x", ":", "e:", "e:-1", "e:1:2", "e:99999999999999999999", "e:0-1,0-2", "\xff\xfe", "a" * 5000]
)
async def test_a_malformed_resume_token_is_an_answer_and_no_guess(token: str) -> None:
    async with web(FACTORY) as (client, _):
        answer = await client.get("/all", headers=[(b"Last-Event-ID", token.encode("latin-1"))])
        assert (answer.status_code, answer.json()["type"]) == (400, "position")


async def test_what_nobody_accepts_is_not_acceptable() -> None:
    async with web(FACTORY) as (client, _):
        assert (await client.get("/all", headers={"Accept": "image/png"})).status_code == 406


async def test_openapi_knows_the_parameters() -> None:
    async with web(FACTORY) as (client, _):
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/asset_stream"]["get"]
    parameters = {item["name"]: item for item in operation["parameters"]}
    assert parameters["asset_uuid"]["required"] is True
    assert parameters["Last-Event-ID"]["in"] == "header"
    assert parameters["from"]["required"] is False
    assert {"200", "400", "406", "422", "503"} <= operation["responses"].keys()
    typed = {item["name"]: item["schema"] for item in document["paths"]["/typed"]["get"]["parameters"]}
    assert typed["kind"]["enum"] == ["a", "b"]
    assert typed["level"]["type"] == "integer"


# Resuming


async def test_a_client_that_comes_back_gets_the_very_next_event() -> None:
    async with web(FACTORY) as (client, served):
        async with follow(client, "/asset_stream?asset_uuid=P") as events:
            await publish(served, "assets", *({"n": n} for n in range(3)), key="P")
            second = (await events.take(2))[-1]
        await publish(served, "assets", {"n": 3}, key="P")
        async with follow(client, "/asset_stream?asset_uuid=P", after=second.last_id) as events:
            await publish(served, "assets", {"n": 4}, key="P")
            assert values(await events.take(3)) == [{"n": 2}, {"n": 3}, {"n": 4}]


async def test_a_client_that_was_cut_before_its_first_event_misses_nothing() -> None:
    async with web(FACTORY) as (client, served):
        async with follow(client, "/all") as events:
            place = events.parser.last_id
        await publish(served, "assets", {"n": 0})
        async with follow(client, "/all", after=place) as events:
            assert values(await events.take(1)) == [{"n": 0}]


async def test_the_header_goes_before_the_url_that_a_browser_repeats() -> None:
    async with web(FACTORY) as (client, served):
        await publish(served, "assets", *({"n": n} for n in range(5)))
        async with follow(client, "/all?from=oldest") as events:
            third = (await events.take(3))[-1]
        async with follow(client, "/all?from=oldest", after=third.last_id) as events:
            assert values(await events.take(2)) == [{"n": 3}, {"n": 4}]
        async with follow(client, f"/all?after={third.last_id}") as events:
            assert values(await events.take(1)) == [{"n": 3}]


async def test_a_place_that_is_not_kept_any_more_is_told_with_the_number_that_is_gone() -> None:
    async with web(FACTORY) as (client, served):
        async with follow(client, "/all") as events:
            await publish(served, "assets", {"n": 0})
            first = await events.next()
        await publish(served, "assets", *({"n": n} for n in range(1, 31)))
        await eventually(lambda: served.gate.hubs["assets"].window.head.offset == 31)
        async with follow(client, "/all", after=first.last_id) as events:
            gap, oldest = await events.take(2)
    told = json.loads(gap.data)
    epoch = first.last_id.partition(":")[0]
    assert (gap.name, gap.last_id) == ("gap", "")
    assert told == {"missed": 10, "of": "stream", "reason": "expired", "from": first.last_id, "to": f"{epoch}:11"}
    assert values([oldest]) == [{"n": 11}]


async def test_another_life_of_the_stream_is_told_and_read_from_its_oldest() -> None:
    async with web(FACTORY) as (client, served):
        await publish(served, "assets", {"n": 0})
        async with follow(client, "/all", after="0bad0bad:7") as events:
            gap, first = await events.take(2)
    assert (gap.name, json.loads(gap.data)["reason"], json.loads(gap.data)["missed"]) == ("gap", "restarted", None)
    assert values([first]) == [{"n": 0}]


async def test_a_place_beyond_the_end_hides_nothing() -> None:
    async with web(FACTORY) as (client, served):
        async with follow(client, "/all") as events:
            epoch = events.parser.last_id.partition(":")[0]
        async with follow(client, "/all", after=f"{epoch}:1000") as events:
            await publish(served, "assets", {"n": 0})
            assert values(await events.take(1)) == [{"n": 0}]


@pytest.mark.parametrize(
    ("start", "wanted"), [("oldest", [0, 1, 2]), ("last:2", [1, 2]), ("1970-01-01T00:00:01Z", [1, 2]), ("newest", [])]
)
async def test_a_client_says_where_to_start(start: str, wanted: list[int]) -> None:
    async with web(FACTORY) as (client, served):
        for number in range(3):
            await publish(served, "assets", {"n": number}, timestamp=number * 1_000_000_000)
        async with follow(client, "/all", **{"from": start}) as events:
            if start == "newest":
                await events.until("last_id")
            got = values(await events.take(len(wanted)))
            await publish(served, "assets", {"n": 3})
            got += values(await events.take(1))
    assert [value["n"] for value in got] == [*wanted, 3]


async def test_a_snapshot_is_the_latest_of_each_key_and_then_what_comes_with_no_gap() -> None:
    async with web(FACTORY) as (client, served):
        for number in range(12):
            await publish(served, "assets", {"n": number}, key=f"k{number % 3}")
        await publish(served, "assets", b"", key="k1")  # what a compacted topic has where a key was deleted
        async with follow(client, "/all?from=snapshot") as events:
            first, second = await events.take(2)
            assert [(event.data, event.last_id) for event in (first, second)] == [('{"n": 9}', ""), ('{"n": 11}', "")]
            await publish(served, "assets", {"n": 12}, key="k1")
            third = await events.next()
            assert (values([third]), third.last_id.rpartition(":")[2]) == ([{"n": 12}], "14")
        async with follow(client, "/asset_stream?asset_uuid=k2&from=snapshot") as events:
            assert values(await events.take(1)) == [{"n": 11}]


async def test_a_snapshot_misses_nothing_of_what_flows_meanwhile() -> None:
    async with web(FACTORY) as (client, served):
        publishing = True

        async def flow() -> None:
            number = 0
            while publishing:
                await publish(served, "assets", {"n": number}, key=f"k{number % 2}")
                number += 1
                await asyncio.sleep(0)

        flowing = asyncio.ensure_future(flow())
        for _ in range(20):
            async with follow(client, "/all?from=snapshot") as events:
                got = [value["n"] for value in values(await events.take(6))]
            # Each key's latest, and then every number: those two are neighbours, so it is one row.
            assert got == list(range(got[0], got[0] + 6)) or got[:2] == [0, 1]
        publishing = False
        await flowing


# Slow clients, many clients, and the end


SLOW = """
streams: {assets: {retain: {messages: 100}}}
runtime:
  web:
    interfaces:
      - {kind: sse, path: /drop, stream: assets, stall: 100d}
      - {kind: sse, path: /cut, stream: assets, stall: 100ms}
      - {kind: sse, path: /strict, stream: assets, stall: 100d, on_slow: disconnect}
      - {kind: sse, path: /latest, stream: assets, stall: 100d, on_slow: conflate}
"""
LARGE = "x" * 60_000


@asynccontextmanager
async def stalled(served: Serving, path: str) -> AsyncIterator[Raw]:
    """A client that asked and reads no more."""
    async with raw(served.url) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await connection.reader.readuntil(b"id: ")
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
    name = b""
    async with asyncio.timeout(PATIENCE):
        while last not in seen:
            line = await connection.reader.readline()
            if line.startswith(b"event: "):
                name = line[7:].strip()
            elif line.startswith(b"data: "):
                value = json.loads(line[6:])
                if name == b"gap":
                    gaps.append(value)
                else:
                    seen.append(value["n"])
                name = b""
    return seen, gaps


async def test_a_slow_client_is_overtaken_and_told_exactly_what_it_missed() -> None:
    async with web(SLOW) as (client, served), stalled(served, "/drop") as slow:
        async with follow(client, "/drop") as quick:
            for first in range(0, 400, 50):
                await fill(served, first, 50)
                assert [value["n"] for value in values(await quick.take(50))] == list(range(first, first + 50))
        seen, gaps = await read_until(slow, 399)
    assert [gap["reason"] for gap in gaps] == ["overtaken"]
    assert gaps[0]["of"] == "subscription"
    assert gaps[0]["missed"] == 400 - len(seen) > 100
    assert seen == sorted(set(seen))
    behind = next(n for n, following in pairwise(seen) if following != n + 1)
    assert gaps[0]["from"].endswith(f":{behind + 1}")
    assert gaps[0]["to"].endswith(f":{behind + 1 + gaps[0]['missed']}")


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


async def test_a_client_that_reads_a_byte_now_and_then_is_cut_like_one_that_reads_nothing() -> None:
    async with web(SLOW) as (_, served):
        place = urlsplit(served.url)
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((place.hostname, place.port))
        slow.sendall(b"GET /cut HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: len(served.gate.visitors) == 1)
        await fill(served, 0, 200)
        async with asyncio.timeout(PATIENCE):
            while served.gate.visitors.stats.cut == 0:
                slow.recv(1)
                await asyncio.sleep(0.01)
        slow.close()
        assert len(served.gate.visitors) == 0


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


async def test_who_leaves_is_freed_at_once_without_the_garbage_collector() -> None:
    async with web(FACTORY) as (_, served):
        gc.disable()
        try:
            async with raw(served.url) as connection:
                connection.send(b"GET /all HTTP/1.1\r\nHost: x\r\n\r\n")
                await connection.reader.readuntil(b"id: ")
                [gone] = [weakref.ref(visitor.outlet) for visitor in served.gate.visitors._there]
                connection.leave()
                await eventually(lambda: len(served.gate.visitors) == 0)
                await eventually(lambda: gone() is None)
        finally:
            gc.enable()


async def test_ten_thousand_who_come_and_go_leave_nothing() -> None:
    async with web(FACTORY) as (_, served):

        async def visit(number: int) -> None:
            async with raw(served.url) as connection:
                connection.send(f"GET /asset_stream?asset_uuid=k{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                if number % 3:
                    await connection.reader.readuntil(b"id: ")
                connection.leave()

        for first in range(0, 10_000, 50):
            await asyncio.gather(*(visit(number) for number in range(first, first + 50)))
        await eventually(lambda: len(served.gate.visitors) == 0)
        lanes = served.gate.hubs["assets"].lanes
        assert (lanes.followers, lanes._lanes, lanes._found) == (0, {}, {})
        assert served.gate.streams["assets"].readers == 1


async def test_a_gate_that_goes_sends_its_followers_away_in_good_form_and_not_all_to_the_same_second() -> None:
    async with web(FACTORY) as (client, served), AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(follow(client, "/all")) for _ in range(20)]
        await publish(served, "assets", {"n": 0})
        assert [values(await events.take(1)) for events in followers] == [[{"n": 0}]] * 20
        served.gate.drain()
        assert [await events.rest() for events in followers] == [[]] * 20
        waits = {events.parser.retry for events in followers}
    assert len(waits) > 10
    assert all(7000 <= wait <= 12_000 for wait in waits if wait is not None)


async def test_a_reload_keeps_those_who_follow() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/all") as events:
        for number in range(100):
            await served.gate.reload(plan_text(FACTORY.replace("retry: 7s", f"retry: {number + 1}s")))
            await publish(served, "assets", {"n": number})
            assert values(await events.take(1)) == [{"n": number}]
        async with follow(client, "/all") as later:
            assert later.parser.retry == 100_000


async def test_a_stream_that_a_reload_closes_sends_its_followers_away() -> None:
    async with web(FACTORY) as (client, served), follow(client, "/all") as events:
        await served.gate.reload(
            plan_text(FACTORY.replace("assets: {retain: {messages: 20}}", "assets: {codec: text}"))
        )
        assert await events.rest() == []


async def test_under_another_server_the_same_is_sent() -> None:
    async with web(FACTORY, protocol="httptools") as (client, served):
        async with follow(client, "/all?from=oldest") as events:
            for number in range(50):
                await publish(served, "assets", {"n": number})
                if number % 10 == 0:
                    await asyncio.sleep(0)
            got = []
            while not got or got[-1] != 49:
                event = await events.next()
                assert event.name == "message"
                got.append(json.loads(event.data)["n"])
            assert got == list(range(50))
        await eventually(lambda: len(served.gate.visitors) == 0)
