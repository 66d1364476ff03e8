"""A source for plain loops: gives what there is, and outlives whatever its peer does."""

import logging
import socket
import threading
import time
from contextlib import suppress

import pytest

from headgate import HTTPMessageSource, Message, MessageServer, QueueBasedMessageSink, StreamId
from headgate.core.codec import MsgpackCodec
from tests.gates.inside import serving
from tests.services.daemon import free_port, wait_until
from tests.transport.peers import answer, peer, saying

JSON = b'[{"timestamp":7,"stream":{"kind":"counts","name":"left"},"value":{"n":1}}]'


def test_it_gives_what_a_sink_holds_with_times_and_ids() -> None:
    sink = QueueBasedMessageSink[dict[str, int]]()
    with MessageServer(sink) as server, HTTPMessageSource[dict[str, int]](f"{server.url}/messages") as source:
        assert source.get_messages() == []
        sent = [Message(value={"n": n}, timestamp=n, stream=StreamId("counts", "left"), key=b"k") for n in range(3)]
        sink.publish_messages(sent)
        got = source.get_messages()
        assert [(m.value, m.timestamp, m.stream, m.key) for m in got] == [
            ({"n": n}, n, StreamId("counts", "left"), b"k") for n in range(3)
        ]
        assert source.get_messages() == []
        assert (source.failures, source.trouble) == (0, None)


def test_a_poll_that_waits_returns_as_soon_as_something_is_published() -> None:
    sink = QueueBasedMessageSink[int]()
    with MessageServer(sink) as server, HTTPMessageSource[int](f"{server.url}/messages", wait=20) as source:
        began = time.monotonic()
        late = threading.Timer(0.2, sink.publish_messages, [[Message(value=1)]])
        late.start()
        assert [message.value for message in source.get_messages()] == [1]
        assert 0.15 < time.monotonic() - began < 5
        late.join()


async def test_it_goes_on_from_where_it_was_on_a_broadcast_stream_also_after_a_cut() -> None:
    import asyncio

    async with serving("streams: {results: {}}") as gate:
        url = f"{gate.url}/streams/results/messages"
        publish = gate.gate.streams["results"].publish
        await publish([Message(value=b"%d" % n) for n in range(5)])
        with HTTPMessageSource[int](url, limit=3) as source:
            first = [m.value for m in await asyncio.to_thread(source.get_messages)]
            place = str(source.position)
        with HTTPMessageSource[int](url, start=place) as source:
            assert first + [m.value for m in await asyncio.to_thread(source.get_messages)] == list(range(5))
        with HTTPMessageSource[int](url, start="last:1") as source:
            assert [m.value for m in await asyncio.to_thread(source.get_messages)] == [4]


def test_a_binary_serializer_goes_the_whole_way() -> None:
    sink = QueueBasedMessageSink[object](serializer=MsgpackCodec())
    with MessageServer(sink) as server:
        source = HTTPMessageSource[object](f"{server.url}/messages", serializer=MsgpackCodec(), compress=True)
        sink.publish_messages([Message(value={"n": b"\xff" * 5000})])
        assert [message.value for message in source.get_messages()] == [{"n": b"\xff" * 5000}]
        source.close()


def test_a_peer_that_comes_back_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    sink = QueueBasedMessageSink[int]()
    with HTTPMessageSource[int](f"http://127.0.0.1:{port}/messages") as source, caplog.at_level(logging.INFO):
        assert source.get_messages() == []
        assert source.get_messages() == []
        for life in range(3):
            with MessageServer(sink, port=port):
                sink.publish_messages([Message(value=life)])
                assert wait_until(lambda n=life: [m.value for m in source.get_messages()] == [n], within=10)  # type: ignore[misc]
            assert source.get_messages() == []
        assert source.failures >= 5
        assert len([r for r in caplog.records if r.message == "peer is well again"]) == 3


BAD = {
    "an error": answer(b"no", "500 Oops"),
    "no JSON": answer(b"{"),
    "not an array of messages": answer(b'{"a": 1}'),
    "a place that is none": answer(b"[]", headgate_position="nonsense"),
    "a redirect": answer(b"", "302 Found", location="http://127.0.0.1:1/elsewhere"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a body that is cut": answer(JSON, content_length="5000"),
    "gzip that is none": answer(b"abc", content_encoding="gzip"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_whatever_a_peer_says_it_gives_nothing_counts_and_goes_on(bad: bytes) -> None:
    def behave(connection: socket.socket, number: int) -> None:
        if number == 0:
            connection.sendall(bad)
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(answer(JSON))

    with peer(behave) as url, HTTPMessageSource[object](url) as source:
        assert source.get_messages() == []
        assert source.failures == 1
        assert source.trouble
        # The connection that it has may be the one that the peer is closing.
        assert wait_until(lambda: [message.value for message in source.get_messages()] == [{"n": 1}], within=10)
        assert source.trouble is None


def test_a_peer_that_says_nothing_costs_the_timeout_and_no_more() -> None:
    with peer(lambda connection, number: None) as url, HTTPMessageSource[object](url, timeout=0.2) as source:
        began = time.monotonic()
        assert source.get_messages() == []
        assert time.monotonic() - began < 2
        assert source.failures == 1


def test_an_endless_body_is_cut() -> None:
    def endless(connection: socket.socket, number: int) -> None:
        connection.sendall(answer(content_length=str(10**12)))
        with suppress(OSError):
            while True:
                connection.sendall(b" " * 65_536)

    with peer(endless) as url, HTTPMessageSource[object](url, answer_bytes=1_000_000) as source:
        assert source.get_messages() == []
        assert "over 1000000 bytes" in str(source.trouble)


def test_a_bad_message_takes_no_other_with_it() -> None:
    body = b'[{"value":1},{"value":"%%","encoding":"base64"},{"value":3}]'
    with peer(saying(answer(body))) as url, HTTPMessageSource[int](url) as source:
        assert [message.value for message in source.get_messages()] == [1, 3]
        assert (source.unreadable, source.failures) == (1, 0)


def test_a_peer_that_does_not_hold_polls_is_asked_less_and_less() -> None:
    asked = 0

    def empty(connection: socket.socket, number: int) -> None:
        nonlocal asked
        asked += 1
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with peer(empty) as url, HTTPMessageSource[int](url, wait=1.0) as source:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert source.get_messages() == []
        assert 3 < asked < 20  # 10, 20, 40 .. milliseconds between


def test_a_connection_is_kept() -> None:
    connections = set()

    def behave(connection: socket.socket, number: int) -> None:
        connections.add(number)
        connection.sendall(answer(JSON))

    with peer(behave) as url, HTTPMessageSource[object](url) as source:
        for _ in range(20):
            assert source.get_messages()
    assert connections == {0}
