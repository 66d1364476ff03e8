"""Sinks over HTTP: each path drains its own, and health tells what waits."""

import threading
from collections.abc import Iterator

import httpx2
import pytest

from headgate import HeadgateError, Message, MessageServer, QueueBasedMessageSink, StreamId
from headgate.core.codec import RawCodec
from tests.gates.web import PATIENCE, client_of, eventually, raw


class Own:
    """A serializer that knows nothing but its own bytes."""

    name, content_type = "own", "application/x-own"

    def encode(self, value: int) -> bytes:
        return b"\xff%d" % value

    def decode(self, body: bytes) -> int:
        return int(body[1:])


@pytest.fixture
def sink() -> QueueBasedMessageSink[int]:
    return QueueBasedMessageSink(max_size=5)


@pytest.fixture
def client(sink: QueueBasedMessageSink[int]) -> Iterator[httpx2.Client]:
    with (
        MessageServer(sink) as server,
        httpx2.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        yield client


def numbers(*values: int) -> list[Message[int]]:
    return [Message(value=value, timestamp=value, stream=StreamId("counts", "left")) for value in values]


def test_what_waits_is_drained_in_the_form_that_the_seed_gives_it(
    sink: QueueBasedMessageSink[int], client: httpx2.Client
) -> None:
    assert client.get("/messages").status_code == 204
    sink.publish_messages(numbers(1, 2))
    assert client.get("/health").json() == {"status": "healthy", "queue_size": 2}
    answer = client.get("/messages")
    expected = [{"timestamp": n, "stream": {"kind": "counts", "name": "left"}, "value": n} for n in (1, 2)]
    bare = [{key: message[key] for key in ("timestamp", "stream", "value")} for message in answer.json()]
    assert (answer.status_code, bare) == (200, expected)
    assert client.get("/messages").status_code == 204
    assert client.get("/health").json() == {"status": "healthy", "queue_size": 0}


def test_a_full_sink_gives_the_newest(sink: QueueBasedMessageSink[int], client: httpx2.Client) -> None:
    sink.publish_messages(numbers(*range(8)))
    assert [message["value"] for message in client.get("/messages").json()] == [3, 4, 5, 6, 7]
    assert sink.dropped == 3


def test_several_paths_have_their_own() -> None:
    sinks = {"/counts": QueueBasedMessageSink[int](), "/rates": QueueBasedMessageSink[int](serializer=Own())}
    with MessageServer(sinks) as server, httpx2.Client(base_url=server.url, trust_env=False) as client:
        sinks["/rates"].publish_messages(numbers(7))
        sizes = {"/counts": {"queue_size": 0}, "/rates": {"queue_size": 1}}
        assert client.get("/health").json() == {"status": "healthy", "endpoints": sizes}
        assert client.get("/counts").status_code == 204
        [message] = client.get("/rates").json()
        assert (message["value"], message["encoding"]) == ("/zc=", "base64")
        assert client.get("/messages").status_code == 404
        assert "/rates" in client.get("/openapi.json").json()["paths"]


async def test_what_a_client_did_not_get_waits_for_the_next(sink: QueueBasedMessageSink[int]) -> None:
    with MessageServer(sink) as server:
        stats = server._app._app._stats
        for _ in range(5):
            async with raw(server.url) as connection:
                connection.send(b"GET /messages?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
                await eventually(lambda: stats.in_flight == 1)
                connection.leave()
            await eventually(lambda: stats.in_flight == 0)
            sink.publish_messages(numbers(1))
            async with client_of(server.url) as client:
                assert [message["value"] for message in (await client.get("/messages?wait=5")).json()] == [1]
                await eventually(lambda: stats.in_flight == 0)  # who leaves at once may not have got it


def test_each_message_is_one_pollers_however_many_there_are(client: httpx2.Client) -> None:
    sink = QueueBasedMessageSink[int](max_size=5000)
    got: list[int] = []
    with MessageServer(sink) as server:

        def poll() -> None:
            with httpx2.Client(trust_env=False, timeout=PATIENCE) as own:
                while answer := own.get(f"{server.url}/messages?wait=0.5&limit=7"):
                    if answer.status_code == 204:
                        return
                    got.extend(message["value"] for message in answer.json())

        pollers = [threading.Thread(target=poll) for _ in range(5)]
        for poller in pollers:
            poller.start()
        for first in range(0, 1000, 10):
            sink.publish_messages(numbers(*range(first, first + 10)))
        for poller in pollers:
            poller.join()
    assert sorted(got) == list(range(1000))
    assert sink.dropped == 0


def test_stopping_lets_those_who_wait_go() -> None:
    with MessageServer(QueueBasedMessageSink[bytes](serializer=RawCodec())) as server:
        answers: list[int] = []
        url = f"{server.url}/messages?wait=60"
        waiting = threading.Thread(
            target=lambda: answers.append(httpx2.get(url, trust_env=False, timeout=PATIENCE).status_code)
        )
        waiting.start()
        while server._app._app._stats.in_flight == 0:
            pass
    waiting.join(PATIENCE)
    assert answers == [204]


def test_a_port_that_is_taken_is_told() -> None:
    with MessageServer(QueueBasedMessageSink[int]()) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(HeadgateError, match="cannot listen"), MessageServer({}, port=port):
            pass


def test_a_server_for_others_has_to_be_meant() -> None:
    with pytest.raises(HeadgateError, match="open=True"):
        MessageServer({}, host="0.0.0.0")
    assert repr(MessageServer({}, host="0.0.0.0", open=True)) == "<MessageServer not started: <MessageApp: >>"


def test_a_sink_outlives_its_servers(sink: QueueBasedMessageSink[int]) -> None:
    for _ in range(3):
        with MessageServer(sink) as server, httpx2.Client(base_url=server.url, trust_env=False) as client:
            sink.publish_messages(numbers(1))
            assert client.get("/messages").status_code == 200
            # Whoever leaves at once may look as if it had left before it had its answer.
            assert client.get("/health").json()["queue_size"] == 0
    assert sink._listeners == []
    sink.publish_messages(numbers(2))
    assert len(sink) == 1
