"""Polling and following over HTTP, of streams that everybody reads and of queues."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from headgate.core.message import Message
from headgate.core.wire import BINARY, JSON, NDJSON, unpack
from headgate.errors import Unavailable
from tests.gates.inside import Serving
from tests.gates.web import PATIENCE, eventually, raw, web

NOTES = "streams: {notes: {codec: json, kind: note, retain: {messages: 10}}, blobs: {codec: raw}}"
QUEUE = "streams: {jobs: {codec: json, delivery: queue}}"
PATH = "/streams/notes/messages"
JOBS = "/streams/jobs/messages"


async def publish(served: Serving, stream: str, *values: bytes) -> None:
    await served.gate.streams[stream].publish([Message(value=value, timestamp=n) for n, value in enumerate(values)])


def numbers(answer: httpx2.Response) -> list[Any]:
    return [message["value"] for message in answer.json()]


async def get(client: httpx2.AsyncClient, path: str, accept: str | None = None, **params: Any) -> httpx2.Response:
    return await client.get(path, params=params, headers={"Accept": accept} if accept else {})


# What a poll gives


async def test_a_stream_with_nothing_in_it_is_204_and_a_place() -> None:
    async with web(NOTES) as (client, _):
        answer = await get(client, PATH)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["headgate-position"].endswith(":0")


async def test_a_poll_gives_messages_as_json() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b'{"a":1}', b"[2]")
        answer = await get(client, PATH)
        place = answer.headers["headgate-position"]
        epoch = place.partition(":")[0]
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == [
            {"timestamp": 0, "stream": {"kind": "note", "name": "notes"}, "value": {"a": 1}, "position": f"{epoch}:1"},
            {"timestamp": 1, "stream": {"kind": "note", "name": "notes"}, "value": [2], "position": f"{epoch}:2"},
        ]
        assert place == f"{epoch}:2"


async def test_a_poll_goes_on_exactly_after_a_place() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0", b"1", b"2", b"3")
        seen, place = [], None
        for _ in range(3):
            answer = await get(client, PATH, limit=2, **({"after": place} if place else {}))
            place = answer.headers["headgate-position"]
            seen.append(numbers(answer) if answer.status_code == 200 else [])
        assert seen == [[0, 1], [2, 3], []]
        await publish(served, "notes", b"4")
        assert numbers(await get(client, PATH, after=place)) == [4]


async def test_every_message_has_the_place_after_it() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0", b"1", b"2")
        for message in (await get(client, PATH)).json()[:-1]:
            assert numbers(await get(client, PATH, after=message["position"], limit=1)) == [message["value"] + 1]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("oldest", [0, 1, 2]),
        ("last:2", [1, 2]),
        ("last:9", [0, 1, 2]),
        ("1970-01-01T00:00:00.000000001Z", [1, 2]),
        ("1970-01-01T01:00:00.000000002+01:00", [2]),
    ],
)
async def test_a_poll_starts_where_it_is_told(start: str, expected: list[int]) -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0", b"1", b"2")
        assert numbers(await get(client, PATH, **{"from": start})) == expected


async def test_a_poll_from_newest_waits_for_what_comes() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        waiting = asyncio.ensure_future(get(client, PATH, wait=30, **{"from": "newest"}))
        await eventually(lambda: served.gate.streams["notes"].readers == 1)
        await publish(served, "notes", b"1")
        assert numbers(await waiting) == [1]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("after=x", "'x' is not a position; take one from an answer of this stream"),
        (
            "from=yesterday",
            "'yesterday' is no place to start: use oldest, newest, last:N, an RFC 3339 time or a position",
        ),
        ("from=2026-01-01T00:00:00", "'2026-01-01T00:00:00' has no time zone; append Z for UTC"),
        ("after=a:1&from=oldest", "give `after` or `from`, not both"),
        ("after=a:1&after=a:2", "query parameter 'after' is given 2 times; give it once"),
        ("limit=0", "limit must be between 1 and 10000, not '0'"),
        ("limit=10001", "limit must be between 1 and 10000, not '10001'"),
        ("limit=1.5", "limit must be a whole number, not '1.5'"),
        ("limit=nan", "limit must be between 1 and 10000, not 'nan'"),
        ("wait=-1", "wait must be between 0 and 60, not '-1'"),
        ("wait=61", "wait must be between 0 and 60, not '61'"),
        ("wait=soon", "wait must be a number, not 'soon'"),
        ("follow=yes", "follow is true or false, not 'yes'"),
        ("follow=true&limit=3", "follow goes on until you leave; limit and wait are for polls without it"),
        ("offset=3", "query parameter 'offset' is unknown; there are after, from, limit, wait, follow"),
    ],
)
async def test_a_parameter_that_is_wrong_is_told_what_is_right(query: str, reason: str) -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get(f"{PATH}?{query}")
        assert (answer.status_code, answer.json()["error"]) == (400, reason)


async def test_a_wait_may_say_its_unit() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        assert numbers(await get(client, PATH, wait="5s")) == [0]


async def test_a_long_answer_is_compressed_for_who_asks_for_it() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b'"%s"' % (b"x" * 5000))
        plain = await client.get(PATH, headers={"Accept-Encoding": "identity"})
        packed = await client.get(PATH, headers={"Accept-Encoding": "gzip"})
        assert packed.json() == plain.json()
        assert "content-encoding" not in plain.headers
        assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert int(packed.headers["content-length"]) < 500


async def test_an_answer_has_no_more_than_eight_megabytes_and_the_next_goes_on() -> None:
    async with web("streams: {blobs: {codec: raw}, jobs: {codec: raw, delivery: queue}}") as (client, served):
        for name in ("blobs", "jobs"):
            await publish(served, name, *(b"%02d" % n + b"x" * 1_000_000 for n in range(20)))
            found: list[bytes] = []
            params: dict[str, str] = {}
            while len(found) < 20:
                answer = await client.get(f"/streams/{name}/messages", params=params, headers={"Accept": BINARY})
                assert len(answer.content) < 17_000_000
                found += [message.value[:2] for message in unpack(answer.content)]
                params = {"after": answer.headers["headgate-position"]} if name == "blobs" else {}
            assert found == [b"%02d" % n for n in range(20)]


# Gaps


async def test_a_reader_that_was_overtaken_is_told_by_how_much() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        place = (await get(client, PATH)).headers["headgate-position"]
        await publish(served, "notes", *(b"%d" % n for n in range(1, 15)))
        answer = await get(client, PATH, after=place)
        assert answer.headers["headgate-missed"] == "4"
        assert numbers(answer) == list(range(5, 15))
        assert "headgate-missed" not in (await get(client, PATH, after=answer.headers["headgate-position"])).headers


async def test_a_place_of_another_life_is_answered_from_the_oldest_with_an_unknown_gap() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        answer = await get(client, PATH, after="another:7")
        assert (answer.headers["headgate-missed"], numbers(answer)) == ("unknown", [0])


# Forms


async def test_messages_come_as_lines() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"1", b"2")
        answer = await get(client, PATH, NDJSON)
        assert answer.headers["content-type"] == NDJSON
        assert [json.loads(line)["value"] for line in answer.content.split(b"\n")[:-1]] == [1, 2]
        assert answer.content.endswith(b"\n")


async def test_messages_come_as_they_are_kept() -> None:
    async with web(NOTES) as (client, served):
        await served.gate.streams["blobs"].publish([Message(value=b"\x00\xff", key=b"\xfe", headers=(("h", b"\xfd"),))])
        answer = await get(client, "/streams/blobs/messages", BINARY)
        assert answer.headers["content-type"] == BINARY
        [message] = unpack(answer.content)
        assert (message.value, message.key, message.headers) == (b"\x00\xff", b"\xfe", (("h", b"\xfd"),))


async def test_what_json_cannot_hold_comes_as_base64() -> None:
    async with web(NOTES) as (client, served):
        await served.gate.streams["blobs"].publish([Message(value=b"\x00\xff", key=b"\xfe", headers=(("h", b"\xfd"),))])
        [message] = (await get(client, "/streams/blobs/messages")).json()
        assert (message["value"], message["encoding"]) == ("AP8=", "base64")
        assert (message["key"], message["headers"]) == ({"base64": "/g=="}, [["h", {"base64": "/Q=="}]])


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("application/*", JSON),
        ("application/problem+json", JSON),
        ("APPLICATION/JSON", JSON),
        (f"{NDJSON}, application/json", NDJSON),
        (f"application/json;q=0.5, {NDJSON}", NDJSON),
        (f"{BINARY}, {JSON};q=0.5", BINARY),
        (f"*/*, {NDJSON}", NDJSON),
        (f"{NDJSON};q=0, */*", JSON),
        (f"{NDJSON};q=nonsense, {JSON}", JSON),
    ],
)
async def test_the_form_is_what_the_client_likes_best(accept: str, media: str) -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"1")
        answer = await get(client, PATH, accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media)


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", ""])
async def test_a_client_that_accepts_no_form_is_told_which_there_are(accept: str) -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get(PATH, headers={"Accept": accept})
        expected = 406 if accept else 204  # an empty header says nothing
        assert answer.status_code == expected
        if accept:
            assert answer.json()["error"] == f"messages come as {JSON}, {NDJSON} or {BINARY}"


async def test_an_answer_holds_some_megabytes_and_the_next_goes_on() -> None:
    async with web("streams: {blobs: {codec: raw}}") as (client, served):
        await served.gate.streams["blobs"].publish([Message(value=b"x" * 100_000) for _ in range(600)])
        seen, place = 0, None
        path = "/streams/blobs/messages"
        while (answer := await get(client, path, BINARY, **({"after": place} if place else {}))).content:
            assert len(answer.content) < 40_000_000
            seen, place = seen + len(unpack(answer.content)), answer.headers["headgate-position"]
        assert seen == 600


# Waiting


async def test_a_long_poll_ends_with_the_first_message() -> None:
    async with web(NOTES) as (client, served):
        waiting = asyncio.ensure_future(get(client, PATH, wait=30))
        await eventually(lambda: served.gate.streams["notes"].readers == 1)
        await publish(served, "notes", b"1", b"2")
        assert numbers(await waiting) == [1, 2]
        assert served.gate.streams["notes"].readers == 0


async def test_a_long_poll_without_a_message_ends_in_its_time() -> None:
    async with web(NOTES) as (client, _):
        assert (await get(client, PATH, wait=0.02)).status_code == 204


async def test_a_long_poll_ends_when_the_gate_shuts_down() -> None:
    async with web(NOTES) as (client, served):
        waiting = asyncio.ensure_future(get(client, PATH, wait=30))
        await eventually(lambda: served.gate.streams["notes"].readers == 1)
        served.gate.drain()
        answer = await waiting
        assert (answer.status_code, answer.headers["connection"]) == (204, "close")


async def test_a_client_that_leaves_its_long_poll_leaves_no_reader() -> None:
    async with web(NOTES) as (_, served), without_collector():
        for _ in range(20):
            async with asking(served, f"{PATH}?wait=30") as connection:
                await eventually(lambda: served.gate.streams["notes"].readers == 1)
                connection.leave()
            await eventually(lambda: served.gate.streams["notes"].readers == 0)


# Following


async def test_a_follower_gets_a_line_for_each_message_as_it_comes() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        async with following(client, "oldest") as lines:
            for number in range(3):
                assert (await anext(lines))["value"] == number
                await publish(served, "notes", b"%d" % (number + 1))


async def test_a_follower_may_start_after_a_place() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0", b"1")
        place = (await get(client, PATH, limit=1)).headers["headgate-position"]
        async with client.stream("GET", PATH, params={"follow": "true", "after": place}) as answer:
            assert json.loads(await anext(answer.aiter_lines()))["value"] == 1


async def test_a_follower_that_leaves_is_freed_at_once() -> None:
    async with web(NOTES) as (_, served), without_collector():
        for _ in range(20):
            async with asking(served, f"{PATH}?follow=true") as connection:
                await connection.head()
                await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 1)
                connection.leave()
            await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 0)


async def test_a_follower_that_reads_nothing_is_freed_when_it_leaves() -> None:
    async with web("streams: {blobs: {codec: raw}}") as (_, served), without_collector():
        stream = served.gate.streams["blobs"]
        await stream.publish([Message(value=b"x" * 1_000_000) for _ in range(30)])
        async with asking(served, "/streams/blobs/messages?follow=true&from=oldest") as connection:
            await connection.head()  # and then no more, so that sending has to wait
            await eventually(lambda: served.gate.hubs["blobs"].lanes.followers == 1)
            connection.leave()
        await eventually(lambda: served.gate.hubs["blobs"].lanes.followers == 0)


async def test_a_follower_is_told_of_a_gap() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        place = (await get(client, PATH)).headers["headgate-position"]
        await publish(served, "notes", *(b"%d" % n for n in range(1, 15)))
        async with client.stream("GET", PATH, params={"follow": "true", "after": place}) as answer:
            lines = answer.aiter_lines()
            gap = json.loads(await anext(lines))["gap"]
            assert (gap["missed"], gap["reason"], gap["from"]) == (4, "expired", place)
            assert json.loads(await anext(lines))["value"] == 5


async def test_a_follower_is_told_once_that_the_stream_began_afresh() -> None:
    async with web(NOTES) as (client, served):
        await publish(served, "notes", b"0")
        async with client.stream("GET", PATH, params={"follow": "true", "after": "another:7"}) as answer:
            lines = answer.aiter_lines()
            gap = json.loads(await anext(lines))["gap"]
            assert (gap["missed"], gap["reason"]) == (None, "restarted")
            for number in range(3):
                assert json.loads(await anext(lines))["value"] == number
                await publish(served, "notes", b"%d" % (number + 1))


async def test_followers_end_when_the_gate_shuts_down() -> None:
    async with web(NOTES) as (client, served), client.stream("GET", PATH, params={"follow": "true"}) as answer:
        await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 1)
        served.gate.drain()
        assert [line async for line in answer.aiter_lines()] == []


async def test_a_stream_that_cannot_be_read_is_503_for_who_would_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(NOTES) as (client, served):

        @asynccontextmanager
        async def broken(*_: object) -> AsyncIterator[object]:
            raise Unavailable("the broker is away")
            yield

        monkeypatch.setattr(served.gate.streams["notes"], "subscribe", broken, raising=False)
        answer = await get(client, PATH, follow="true")
        assert (answer.status_code, answer.json()["type"]) == (503, "unavailable")
        assert "the broker is away" in answer.json()["error"]


async def test_a_follower_of_what_breaks_later_is_told_why_in_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(NOTES) as (client, served):
        await served.gate.hubs["notes"].come_up()

        @asynccontextmanager
        async def broken(*_: object) -> AsyncIterator[object]:
            raise Unavailable("the broker is away")
            yield

        monkeypatch.setattr(served.gate.streams["notes"], "subscribe", broken, raising=False)
        async with client.stream("GET", PATH, params={"follow": "true"}) as answer:
            [line] = [json.loads(line) async for line in answer.aiter_lines()]
        assert line == {"error": "the broker is away", "type": "unavailable"}


async def test_a_stream_is_not_followed_in_binary_form() -> None:
    async with web(NOTES) as (client, _):
        assert (await get(client, PATH, BINARY, follow="true")).status_code == 406


async def test_many_followers_each_see_everything() -> None:
    async with web("streams: {notes: {codec: json}}") as (client, served):
        await publish(served, "notes", b"0")

        async def follow() -> list[int]:
            async with following(client, "oldest") as lines:
                return [(await anext(lines))["value"] for _ in range(500)]

        followers = [asyncio.ensure_future(follow()) for _ in range(20)]
        await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 20)
        for first in range(1, 500, 7):
            await publish(served, "notes", *(b"%d" % n for n in range(first, min(first + 7, 500))))
            await asyncio.sleep(0)
        assert await asyncio.gather(*followers) == [list(range(500))] * 20


# Queues


async def test_what_is_read_of_a_queue_is_gone() -> None:
    async with web(QUEUE) as (client, served):
        await publish(served, "jobs", b"1", b"2", b"3")
        assert numbers(await get(client, JOBS, limit=2)) == [1, 2]
        assert numbers(await get(client, JOBS)) == [3]
        assert (await get(client, JOBS)).status_code == 204


async def test_pollers_of_a_queue_share_it_between_them() -> None:
    async with web(QUEUE) as (client, served):

        async def drain() -> list[int]:
            seen: list[int] = []
            while (answer := await get(client, JOBS, limit=7, wait=0.2)).status_code == 200:
                seen += numbers(answer)
            return seen

        pollers = [asyncio.ensure_future(drain()) for _ in range(10)]
        for first in range(0, 1000, 50):
            await publish(served, "jobs", *(b"%d" % n for n in range(first, first + 50)))
            await asyncio.sleep(0)
        shares = await asyncio.gather(*pollers)
        assert sorted(number for share in shares for number in share) == list(range(1000))


async def test_a_long_poll_of_a_queue_ends_with_the_first_message() -> None:
    async with web(QUEUE) as (client, served):
        waiting = asyncio.ensure_future(get(client, JOBS, wait=30))
        await eventually(lambda: served.gate.streams["jobs"].readers == 1)
        await publish(served, "jobs", b"1")
        assert numbers(await waiting) == [1]


async def test_a_client_that_leaves_in_mid_poll_takes_nothing_with_it() -> None:
    async with web(QUEUE) as (client, served):
        for number in range(20):
            async with asking(served, f"{JOBS}?wait=30") as connection:
                await eventually(lambda: served.gate._web.in_flight == 1)
                connection.leave()
            await publish(served, "jobs", b"%d" % number)  # while the gate finds out
            await eventually(lambda: served.gate._web.in_flight == 0)
            assert numbers(await get(client, JOBS)) == [number]


async def test_what_a_client_left_goes_to_the_poller_that_waits_already() -> None:
    async with web(QUEUE) as (_, served):
        pickup = served.gate._pickups["jobs"]
        await publish(served, "jobs", b"1")
        parcel = await pickup.take(10, 0)
        waiting = asyncio.ensure_future(pickup.take(10, 0.2))
        await asyncio.sleep(0)
        pickup.give_back(parcel)
        assert [message.value for message in (await waiting).messages] == [b"1"]


async def test_what_a_client_left_is_given_out_within_the_limit() -> None:
    async with web(QUEUE) as (client, served):
        await publish(served, "jobs", b"1", b"2", b"3")
        pickup = served.gate._pickups["jobs"]
        pickup.give_back(await pickup.take(3, 0))
        assert numbers(await get(client, JOBS, limit=1)) == [1]


async def test_a_client_that_asks_and_leaves_takes_nothing_with_it() -> None:
    async with web(QUEUE) as (client, served):
        await publish(served, "jobs", *(b"%d" % n for n in range(20)))
        for _ in range(20):
            async with asking(served, f"{JOBS}?limit=1") as connection:
                await connection.writer.drain()
                connection.leave()
        await eventually(lambda: served.gate._web.in_flight == 0)
        seen: list[int] = []
        while (answer := await get(client, JOBS)).status_code == 200:
            seen += numbers(answer)
        assert sorted(seen) == list(range(20))


async def test_a_head_request_takes_nothing_from_a_queue() -> None:
    async with web(QUEUE) as (client, served):
        await publish(served, "jobs", b"1")
        assert (await client.head(JOBS)).status_code == 200
        assert numbers(await get(client, JOBS)) == [1]


async def test_a_poll_of_a_queue_ends_when_the_gate_shuts_down_and_takes_nothing() -> None:
    async with web(QUEUE) as (client, served):
        waiting = [asyncio.ensure_future(get(client, JOBS, wait=30)) for _ in range(3)]
        await eventually(lambda: served.gate._web.in_flight == 3)
        served.gate.drain()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [204] * 3
        await publish(served, "jobs", b"1")
        assert (await served.gate.streams["jobs"].extent()).messages == 1


async def test_what_was_read_and_committed_makes_room_in_a_queue() -> None:
    config = "streams: {jobs: {codec: json, delivery: queue, overflow: reject, retain: {messages: 3}}}"
    async with web(config) as (client, served):
        for life in range(5):
            await publish(served, "jobs", b"1", b"2", b"3")
            assert numbers(await get(client, JOBS)) == [1, 2, 3], life
            await eventually(lambda: served.gate._web.in_flight == 0)


@pytest.mark.parametrize("name", ["after", "from", "follow"])
async def test_a_queue_has_no_places_to_start_at(name: str) -> None:
    async with web(QUEUE) as (client, _):
        answer = await get(client, JOBS, **{name: "oldest"})
        assert answer.status_code == 400
        assert answer.json()["error"] == f"query parameter {name!r} of a queue is unknown; there are limit, wait"


async def test_a_messages_interface_serves_a_stream_at_a_path_of_its_own() -> None:
    config = f"{QUEUE}\nruntime: {{web: {{interfaces: [{{kind: messages, path: /messages, stream: jobs}}]}}}}"
    async with web(config) as (client, served):
        await publish(served, "jobs", b"1")
        assert numbers(await get(client, "/messages")) == [1]
        assert (await get(client, "/messages")).status_code == 204
        assert (await client.post("/messages", content=b"1")).status_code == 405


@asynccontextmanager
async def following(client: httpx2.AsyncClient, start: str) -> AsyncIterator[AsyncIterator[Any]]:
    """The decoded lines of a follower."""
    async with client.stream("GET", PATH, params={"follow": "true", "from": start}) as answer:

        async def lines() -> AsyncIterator[Any]:
            async for line in answer.aiter_lines():
                yield json.loads(line)

        async with asyncio.timeout(PATIENCE):
            yield lines()


@asynccontextmanager
async def asking(served: Serving, path: str) -> AsyncIterator[Any]:
    """A connection that asked for this."""
    async with raw(served.url) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield connection


@asynccontextmanager
async def without_collector() -> AsyncIterator[None]:
    """What is freed here is freed by being let go."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
