"""The http transport keeps the contract against a real gate, and lives on when its peer does not."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from headgate.core.message import Message, StreamId
from headgate.core.position import Oldest
from headgate.core.wire import BINARY
from headgate.errors import Unavailable
from headgate.spec.plan import Plan, StreamPlan
from headgate.testing import TransportContract
from headgate.testing.transport import PATIENCE, collect, raises, values
from headgate.transport.base import StreamSettings
from headgate.transport.http import HttpTransport
from tests.gates.inside import serving
from tests.services.daemon import free_port
from tests.transport.peers import answer, peer, saying


class TestContract(TransportContract):
    transport_class = HttpTransport
    batch_of_many = 3000

    def make(self) -> HttpTransport:
        return HttpTransport(retry_seconds=0.05)

    @asynccontextmanager
    async def opened(self, **settings: Any) -> AsyncIterator[tuple[HttpTransport, StreamSettings]]:
        plan = StreamPlan("over-there", codec="raw", delivery=settings.get("delivery", "broadcast"))
        async with serving(Plan(streams={plan.name: plan})) as peer:
            url = f"{peer.url}/streams/{plan.name}/messages"
            async with super().opened(url=url, **settings) as (transport, stream):
                # The peer names messages that come without a name, and they come with one.
                yield transport, replace(stream, name=plan.name)


STREAM = "streams: {results: {codec: json}}"


def reading(url: str) -> StreamSettings:
    return StreamSettings("results", url=url)


async def test_a_dead_peer_is_waited_for_and_named_as_trouble() -> None:
    async with made() as transport:
        url = f"http://127.0.0.1:{free_port()}/messages"
        source = await transport.open_source(reading(url), Oldest())
        assert not (await source.read(wait=0.05)).messages
        assert url in (transport.trouble() or "")


async def test_a_reader_goes_on_when_its_peer_is_back() -> None:
    port = free_port()
    async with made() as transport:
        source = await transport.open_source(reading(f"http://127.0.0.1:{port}/streams/results/messages"), Oldest())
        waiting = asyncio.ensure_future(source.read())
        async with serving(STREAM, port=port) as peer:
            await peer.gate.streams["results"].publish([Message(value=b"1")])
            async with asyncio.timeout(PATIENCE):
                assert values((await waiting).messages) == [b"1"]
        assert transport.trouble() is None


async def test_a_peer_that_starts_afresh_is_read_from_its_beginning() -> None:
    port = free_port()
    async with made() as transport:
        source = await transport.open_source(reading(f"http://127.0.0.1:{port}/streams/results/messages"), Oldest())
        for life in range(2):
            async with serving(STREAM, port=port) as peer:
                await peer.gate.streams["results"].publish([Message(value=b"%d" % n) for n in range(life, life + 2)])
                assert values(await collect(source, 2)) == [b"%d" % n for n in range(life, life + 2)]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"content-type": "application/json"}, b"{"),
        (200, {"content-type": "application/json"}, b'{"a": 1}'),
        (200, {"content-type": BINARY}, b"\xff\xff"),
        (200, {"content-type": "application/json", "headgate-position": "nonsense"}, b"[]"),
        (500, {}, b"out of order"),
        (302, {"location": "http://127.0.0.1:1/"}, b""),
        (404, {"content-type": "application/json"}, b'{"error": "no such stream"}'),
    ],
)
async def test_garbage_is_trouble_and_never_raises(status: int, headers: dict[str, str], body: bytes) -> None:
    async with made() as transport, answering(status, headers, body) as url:
        source = await transport.open_source(reading(url), Oldest())
        assert not (await source.read(wait=0.05)).messages
        assert url in (transport.trouble() or "")


async def test_an_endless_answer_is_cut() -> None:
    async with made(answer_bytes=10_000) as transport, answering(200, {}, b"x" * 20_000) as url:
        source = await transport.open_source(reading(url), Oldest())
        assert not (await source.read(wait=0.05)).messages
        assert "more than 10000 bytes" in (transport.trouble() or "")


async def test_a_service_that_only_drains_is_read_too() -> None:
    body = b'[{"timestamp":7,"stream":{"kind":"results","name":"r1"},"value":{"counts":[1,2]}}]'
    async with made() as transport, answering(200, {"content-type": "application/json"}, body) as url:
        source = await transport.open_source(reading(url), Oldest())
        [message] = (await source.read()).messages
        assert message.value == b'{"counts":[1,2]}'
        assert message.stream == StreamId("results", "r1")
        assert message.timestamp == 7


async def test_one_bad_message_does_not_take_its_neighbours_with_it() -> None:
    body = b'[{"value":1},{"value":"%%","encoding":"base64"},{"value":3}]'
    async with made() as transport, answering(200, {"content-type": "application/json"}, body) as url:
        source = await transport.open_source(reading(url), Oldest())
        batch = await source.read()
        assert values(batch.messages) == [b"1", b"3"]
        assert batch.missed == 1


async def test_publishing_to_a_dead_peer_is_unavailable() -> None:
    async with made() as transport:
        sink = await transport.open_sink(reading(f"http://127.0.0.1:{free_port()}/messages"))
        await raises(Unavailable, sink.send([Message(value=b"1")]))


async def test_a_large_batch_is_sent_in_pieces_that_the_peer_takes() -> None:
    async with made() as transport, serving("streams: {results: {codec: raw}}") as peer:
        stream = reading(f"{peer.url}/streams/results/messages")
        sink = await transport.open_sink(stream)
        receipt = await sink.send([Message(value=b"x" * 100_000) for _ in range(50)])
        assert list(receipt.offsets) == list(range(50))


async def test_a_redirect_is_not_followed() -> None:
    followed = []

    def target(connection: socket.socket, number: int) -> None:
        followed.append(number)
        connection.sendall(answer(b"[]"))

    async with made() as transport:
        with peer(target) as elsewhere, peer(saying(answer(status="302 Found", location=elsewhere))) as url:
            source = await transport.open_source(reading(url), Oldest())
            assert not (await source.read(wait=0.05)).messages
            assert "answered 302" in (transport.trouble() or "")
    assert followed == []


async def test_a_peer_that_does_not_hold_polls_is_asked_less_and_less() -> None:
    asked = 0

    def empty(connection: socket.socket, number: int) -> None:
        nonlocal asked
        asked += 1
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with made() as transport:
        with peer(empty) as url:
            source = await transport.open_source(reading(url), Oldest())
            assert not (await source.read(wait=1.0)).messages
    assert 3 < asked < 20  # 10, 20, 40 .. milliseconds between


async def test_a_body_that_drips_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.transport.http.peer._BODY_SECONDS", 0.2)
    stop = threading.Event()

    def drip(connection: socket.socket, number: int) -> None:
        connection.sendall(answer(content_length="1000000"))
        while not stop.wait(0.02):
            connection.sendall(b" ")

    async with made(timeout=0.2) as transport:
        with peer(drip) as url:
            source = await transport.open_source(reading(url), Oldest())
            async with asyncio.timeout(PATIENCE):
                while transport.trouble() is None:
                    await source.read(wait=0.1)
            stop.set()


async def test_frames_of_a_megabyte_come_in_answers_that_are_taken() -> None:
    frame = b"x" * 1_000_000
    async with serving("streams: {results: {codec: raw}}") as gate, made(answer_bytes=10_000_000) as transport:
        await gate.gate.streams["results"].publish([Message(value=frame)] * 40)
        source = await transport.open_source(reading(f"{gate.url}/streams/results/messages"), Oldest())
        assert len(await collect(source, 40)) == 40
        assert transport.trouble() is None


async def test_a_peer_whose_answers_are_too_long_is_asked_for_less() -> None:
    frame = b"x" * 100_000
    async with serving("streams: {results: {codec: raw}}") as gate, made(answer_bytes=250_000) as transport:
        await gate.gate.streams["results"].publish([Message(value=frame)] * 20)
        source = await transport.open_source(reading(f"{gate.url}/streams/results/messages"), Oldest())
        assert len(await collect(source, 20)) == 20


async def test_more_streams_than_a_hundred_are_read_at_once() -> None:
    async with made() as transport, serving(STREAM) as gate:
        url = f"{gate.url}/streams/results/messages"
        sources = [await transport.open_source(reading(url), Oldest()) for _ in range(150)]
        waiting = [asyncio.ensure_future(source.read()) for source in sources]
        async with asyncio.timeout(PATIENCE):
            while gate.gate.streams["results"].readers < 150:
                await asyncio.sleep(0.01)
            await gate.gate.streams["results"].publish([Message(value=b"1")])
            batches = await asyncio.gather(*waiting)
        assert [values(batch.messages) for batch in batches] == [[b"1"]] * 150


async def test_answers_are_compressed_when_the_connection_says_so() -> None:
    async with serving(STREAM) as gate:
        await gate.gate.streams["results"].publish([Message(value=b'"%s"' % (b"x" * 5000))])
        for compress in (False, True):
            async with made(compress=compress) as transport:
                source = await transport.open_source(reading(f"{gate.url}/streams/results/messages"), Oldest())
                assert values((await source.read()).messages) == [b'"%s"' % (b"x" * 5000)]


@asynccontextmanager
async def made(**settings: Any) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(retry_seconds=0.05, **settings)
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def answering(status: int, headers: dict[str, str], body: bytes) -> AsyncIterator[str]:
    """A peer that always says the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/messages"
