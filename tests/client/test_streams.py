"""The client: publishes what may be published again, and follows through cuts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from headgate.client import StreamClient, streams
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import BadRequest, NotFound, Refused, StreamFull, Unavailable
from tests.gates.inside import serving
from tests.gates.web import PATIENCE, eventually
from tests.services.daemon import free_port

NOTES = "streams: {notes: {codec: json}, blobs: {codec: raw}, jobs: {delivery: queue}}"
Asked = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries again soon."""
    monkeypatch.setattr(streams, "_RETRY_SECONDS", 0.01)


def batch(*values: bytes) -> list[Message[bytes]]:
    return [Message(value=value) for value in values]


async def values(messages: AsyncIterator[tuple[bytes, dict[str, Any]]], count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE):
        return [(await anext(messages))[1].get("value") for _ in range(count)]


@asynccontextmanager
async def answering(*answers: tuple[int, bytes] | None) -> AsyncIterator[tuple[str, Asked]]:
    """A server that gives these answers in turn, the last for ever; None is a connection that breaks."""
    asked: Asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        asked.append((head.partition(" http")[0], await reader.readexactly(int(length or 0))))
        answer = answers[min(len(asked), len(answers)) - 1]
        if answer is not None:
            status, body = answer
            writer.write(
                b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body)
            )
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", asked


KEPT = (200, b'{"positions":["e:1"]}')
FULL = (429, b'{"error":"no room","type":"stream_full","code":"stream_full"}')
DRAINING = (503, b'{"error":"shutting down","type":"draining"}')
AWAY = (503, b'{"error":"no broker","type":"unavailable"}')
BUSY = (503, b"Service Unavailable")


async def test_a_batch_is_published_and_its_places_told() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        published = await client.publish("notes", batch(b"1", b"{", b"3"))
        epoch = published.positions[0].partition(":")[0]
        assert published.positions == [f"{epoch}:1", f"{epoch}:2"]
        assert published.errors == {1: "not JSON: Input data was truncated"}


async def test_a_large_batch_is_published_in_pieces_and_in_order() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        sent = [b"%07d" % n + b"x" * 60_000 for n in range(100)]
        assert len((await client.publish("blobs", batch(*sent))).positions) == 100
        async with served.gate.streams["blobs"].subscribe(Oldest()) as subscription:
            assert [message.value for message in (await subscription.take()).messages] == sent


async def test_pieces_that_are_too_large_for_a_gate_are_made_smaller() -> None:
    small = f"{NOTES}\nservice: {{limits: {{request_size_bytes: 2000}}}}"
    async with serving(small) as served, StreamClient(served.url) as client:
        sent = [b"%d" % n + b"x" * (3000 if n == 7 else 300) for n in range(20)]
        published = await client.publish("blobs", batch(*sent))
        assert len(published.positions) == 19
        assert list(published.errors) == [7]
        async with served.gate.streams["blobs"].subscribe(Oldest()) as subscription:
            assert [message.value for message in (await subscription.take()).messages] == sent[:7] + sent[8:]


@pytest.mark.parametrize("first", [FULL, DRAINING, BUSY])
async def test_what_was_not_kept_is_published_again(first: tuple[int, bytes]) -> None:
    async with answering(first, first, KEPT) as (url, asked), StreamClient(url) as client:
        assert (await client.publish("notes", batch(b"1"))).positions == ["e:1"]
        assert len(asked) == 3


@pytest.mark.parametrize("first", [AWAY, None, (500, b"")])
async def test_what_may_have_been_kept_is_not_published_again(first: tuple[int, bytes] | None) -> None:
    async with answering(first, KEPT) as (url, asked), StreamClient(url) as client:
        with pytest.raises(Unavailable):
            await client.publish("notes", batch(b"1"))
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (FULL, StreamFull),
        (BUSY, Unavailable),
        ((400, b'{"error":"bad","type":"x"}'), BadRequest),
        ((200, b"<html>"), BadRequest),
    ],
)
async def test_a_refusal_is_an_error_of_its_kind(answer: tuple[int, bytes], error: type[Exception]) -> None:
    async with answering(answer) as (url, _), StreamClient(url) as client:
        with pytest.raises(error):
            await client.publish("notes", batch(b"1"))


async def test_a_stream_that_is_not_there_is_told_with_the_nearest() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        with pytest.raises(NotFound, match="has no stream 'note'; did you mean 'notes'"):
            await client.publish("note", batch(b"1"))
        with pytest.raises(NotFound, match="has no stream 'xyz'; there are: blobs, jobs, notes"):
            await anext(client.follow("xyz"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://", "ftp://x"])
async def test_a_gate_that_is_away_is_unavailable(url: str) -> None:
    async with StreamClient(url) as client:
        with pytest.raises(Unavailable, match="no gate answers at"):
            await client.publish("notes", batch(b"1"))


async def test_messages_are_followed_as_they_come() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        await client.publish("notes", batch(b"1", b"2"))
        async with aclosing(client.follow("notes", "oldest")) as messages:
            assert await values(messages, 2) == [1, 2]
            await client.publish("notes", batch(b"3"))
            assert await values(messages, 1) == [3]
        await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 0)


async def test_following_ends_after_as_many_as_are_wanted() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        await client.publish("notes", batch(b"1", b"2", b"3"))
        assert [message["value"] async for _, message in client.follow("notes", "oldest", 2)] == [1, 2]
        await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 0)


async def test_the_line_is_what_the_gate_said() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        await client.publish("notes", batch('"a\u2028\x85b"'.encode()))
        [(line, message)] = [item async for item in client.follow("notes", "oldest", 1)]
        assert '"value":"a\u2028\x85b"'.encode() in line
        assert message["value"] == "a\u2028\x85b"


async def test_a_follower_goes_on_where_it_was_after_a_cut() -> None:
    # A proxy between them that cuts: the gate and its stream live on.
    async with serving(NOTES) as served, through(served.url) as (url, cut), StreamClient(url) as client:
        stream = served.gate.streams["notes"]
        async with aclosing(client.follow("notes", "oldest")) as messages:
            for number in range(10):
                await stream.publish(batch(b"%d" % number))
                assert await values(messages, 1) == [number]
                cut()


async def test_a_follower_of_the_newest_misses_nothing_after_a_cut_before_the_first() -> None:
    async with serving(NOTES) as served, through(served.url) as (url, cut), StreamClient(url) as client:
        stream = served.gate.streams["notes"]
        await stream.publish(batch(b"0"))
        async with aclosing(client.follow("notes")) as messages:
            first = asyncio.ensure_future(values(messages, 2))
            await eventually(lambda: served.gate.hubs["notes"].lanes.followers == 1)
            cut()
            await stream.publish(batch(b"1"))
            await stream.publish(batch(b"2"))
            assert await first == [1, 2]


async def test_a_follower_is_told_when_the_stream_began_afresh(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    async with StreamClient(f"http://127.0.0.1:{port}") as client:
        async with serving(NOTES, port=port) as served:
            await served.gate.streams["notes"].publish(batch(b"1"))
            messages = client.follow("notes", "oldest")
            assert await values(messages, 1) == [1]
        going_on = asyncio.ensure_future(anext(messages))
        await eventually(lambda: "trying again" in caplog.text)
        async with serving(NOTES, port=port) as served:
            await served.gate.streams["notes"].publish(batch(b"2"))
            async with asyncio.timeout(PATIENCE):
                gap = (await going_on)[1]["gap"]
                assert (gap["missed"], gap["reason"]) == (None, "restarted")
            assert await values(messages, 1) == [2]
            await messages.aclose()


async def test_a_gate_that_stays_away_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with StreamClient(f"http://127.0.0.1:{(port := free_port())}") as client:
        async with serving(NOTES, port=port) as served:
            await served.gate.streams["notes"].publish(batch(b"1"))
            messages = client.follow("notes", "oldest")
            assert await values(messages, 1) == [1]
        waiting = asyncio.ensure_future(anext(messages))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 <= len(told) <= 2  # the cut itself may have words of its own


LISTED = (200, b'{"streams":[{"name":"notes","delivery":"broadcast","newest":"e:0"}]}')


async def test_a_stream_that_breaks_on_the_gate_is_asked_for_again() -> None:
    broken = (200, b'{"error":"no broker","type":"unavailable"}\n')
    well = (200, b'{"value":1,"position":"e:1"}\n')
    async with answering(LISTED, broken, broken, well) as (url, asked), StreamClient(url) as client:
        assert await values(client.follow("notes", limit=1), 1) == [1]
        assert asked[1][0] == "get /streams/notes/messages?after=e%3a0&follow=true"
        assert len(asked) == 4


async def test_a_refusal_ends_the_following() -> None:
    refused = (403, b'{"error":"not for you","type":"refused"}')
    async with answering(LISTED, refused) as (url, _), StreamClient(url) as client:
        with pytest.raises(Refused, match="not for you"):
            await anext(client.follow("notes"))


async def test_a_queue_gives_no_more_than_is_wanted() -> None:
    async with serving(NOTES) as served, StreamClient(served.url) as client:
        await served.gate.streams["jobs"].publish(batch(*(b"%d" % n for n in range(10))))
        assert [message["value"] async for _, message in client.follow("jobs", limit=3)] == [0, 1, 2]
        await eventually(lambda: served.gate._web.in_flight == 0)
        assert (await served.gate.streams["jobs"].extent()).messages == 7


async def test_headers_go_with_every_request() -> None:
    async with serving(NOTES) as served, StreamClient(f"{served.url}/", headers={"X-Request-Id": "mine"}) as client:
        answer = await client._request("GET", "/health")
        assert answer.headers["x-request-id"] == "mine"


@asynccontextmanager
async def through(url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A way to a gate that can be cut."""
    open_ones: set[asyncio.StreamWriter] = set()
    host, _, port = url.removeprefix("http://").partition(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        open_ones.update((writer, back))
        works: list[Awaitable[None]] = [carry(reader, back), carry(there, writer)]
        await asyncio.gather(*works)
        open_ones.difference_update((writer, back))

    def cut() -> None:
        for writer in open_ones:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        own, number = server.sockets[0].getsockname()
        yield f"http://{own}:{number}", cut
        cut()
