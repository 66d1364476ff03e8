"""Services without a broker: messages between processes over HTTP, beside Kafka, a naive poller and plain HTTP."""

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx2
import uvloop
from tests.services.kafka import KafkaBroker

from bench.live_producer import plan
from bench.table import Row, interleaved, ratio
from headgate.app.connect import Connections
from headgate.core.position import Newest
from headgate.runtime.stream import Stream
from headgate.spec.plan import Plan
from headgate.spec.resolve import plan_text

SMALL, FRAMES, SIZE, FRAME = 100_000, 96, 100, 1_000_000
SINGLES, PAUSE = 300, 0.003
_PATIENCE = 10.0  # seconds for the next message


def rows() -> list[Row]:
    """Rates of small messages and of frames of a megabyte, and how late a single one is."""
    with KafkaBroker({"message.max.bytes": "2000000"}) as broker:
        topics = [broker.create_topic(), broker.create_topic()]
        with _producer() as ours, _producer(broker.bootstrap, *topics) as kafka:
            return _rows(ours, kafka, plan(broker.bootstrap, *topics))


def _rows(ours: "_Producer", kafka: "_Producer", on_kafka: Plan) -> list[Row]:
    over_http = plan_text(
        "streams:\n"
        f"  small: {{codec: raw, transport: http, url: '{ours.url}/streams/small/messages'}}\n"
        f"  frames: {{codec: raw, transport: http, url: '{ours.url}/streams/frames/messages'}}\n"
    )
    small = interleaved(
        {
            "http json": lambda: _rate(ours, over_http, "small", SMALL, SIZE, "json"),
            "kafka json": lambda: _rate(kafka, on_kafka, "small", SMALL, SIZE, "json"),
            "http da00": lambda: _rate(ours, over_http, "small", SMALL, 4 * SIZE, "da00"),
            "kafka da00": lambda: _rate(kafka, on_kafka, "small", SMALL, 4 * SIZE, "da00"),
            "naive": lambda: _naive_rate(ours, SMALL, SIZE),
        },
        3,
    )
    frames = interleaved(
        {
            "http": lambda: _rate(ours, over_http, "frames", FRAMES, FRAME, "da00"),
            "kafka": lambda: _rate(kafka, on_kafka, "frames", FRAMES, FRAME, "da00"),
            "plain": lambda: _plain_rate(ours, FRAMES, FRAME),
        },
        5,
    )
    late = _run(_lateness(ours, over_http))
    trip = _run(_round_trip(ours))
    rate, megabytes = statistics.median(small["http json"]), statistics.median(frames["http"]) * FRAME / 1e6
    alike, small_name, frame_name = "Kafka, the same way", "live: small JSON", "live: frames of 1 MB"
    in_time = f"{late * 1e6:.0f} of {trip * 1e6:.0f} us; less is better"
    return [
        Row(small_name, alike, ratio(small["http json"], small["kafka json"]), f"{rate:,.0f}/s, publish to receive"),
        Row(small_name, "naive poller, JSON", ratio(small["http json"], small["naive"]), "requests in a loop"),
        Row("live: da00, 400 bytes", alike, ratio(small["http da00"], small["kafka da00"])),
        Row(frame_name, "plain loopback HTTP", ratio(frames["http"], frames["plain"]), f"da00; {megabytes:,.0f} MB/s"),
        Row(frame_name, alike, ratio(frames["http"], frames["kafka"])),
        Row("live: publish to receive, p50", "HTTP round trip, p50", late / trip, in_time),
    ]


class _Producer:
    """The other process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.url, self.plain = (f"http://127.0.0.1:{port}" for port in process.stdout.readline().split())
        self._process = process

    def publish(self, count: int, size: int, codec: str, pause: float = 0.0) -> None:
        """Begin to publish."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count} {size} {codec} {pause}\n")
        self._process.stdin.flush()


@contextmanager
def _producer(*arguments: str) -> Iterator[_Producer]:
    command = [sys.executable, "-m", "bench.live_producer", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Producer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def _run(work: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _rate(producer: _Producer, where: Plan, stream: str, count: int, size: int, codec: str) -> float:
    return _run(_received(where, stream, count, lambda: producer.publish(count, size, codec)))


async def _received(where: Plan, name: str, count: int, begin: Callable[[], None]) -> float:
    """Messages a second, from the word to publish until the last is here."""
    async with AsyncExitStack() as stack:
        stream = await _opened(where, name, stack)
        subscription = await stack.enter_async_context(stream.subscribe(Newest()))
        await subscription.take(1, 0.5)  # connected, and where the end is
        began = time.perf_counter()
        begin()
        got = 0
        while got < count:
            batch = await subscription.take(10_000, _PATIENCE)
            assert batch.messages, f"{got} of {count} messages, and no more come"
            got += len(batch.messages) + batch.missed
            assert not batch.missed, "the stream keeps too little for this measurement"
        return count / (time.perf_counter() - began)


async def _opened(where: Plan, name: str, stack: AsyncExitStack) -> Stream:
    connections = Connections()
    stack.push_async_callback(connections.close)
    return connections.stream(where.streams[name], where.connections)


def _naive_rate(producer: _Producer, count: int, size: int) -> float:
    url = f"{producer.url}/streams/small/messages"
    with httpx2.Client(trust_env=False) as client:
        place = client.get(url, params={"from": "newest"}).headers["headgate-position"]
        began = time.perf_counter()
        producer.publish(count, size, "json")
        got = 0
        while got < count:
            answer = client.get(url, params={"after": place}, headers={"Accept": "application/json"})
            place = answer.headers["headgate-position"]
            got += len(answer.json()) if answer.status_code == 200 else 0
        return count / (time.perf_counter() - began)


def _plain_rate(producer: _Producer, count: int, size: int) -> float:
    """Bodies of eight frames, as many bytes as a poll brings at most, into one buffer and looked at by nobody."""
    request = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (8 * size)
    buffer = bytearray(8 * size + 65_536)
    with socket.create_connection(("127.0.0.1", int(producer.plain.rpartition(":")[2]))) as connection:
        began = time.perf_counter()
        for _ in range(0, count, 8):
            connection.sendall(request)
            _receive(connection, buffer, 8 * size)
        return -(-count // 8) * 8 / (time.perf_counter() - began)


def _receive(connection: socket.socket, buffer: bytearray, body: int) -> None:
    """One response with a body of this size."""
    got = connection.recv_into(buffer)
    head = buffer.index(b"\r\n\r\n") + 4
    view = memoryview(buffer)
    while got < head + body:
        got += connection.recv_into(view[got:])


async def _lateness(producer: _Producer, where: Plan) -> float:
    """The median of the seconds from publishing a single message until it is here."""
    async with AsyncExitStack() as stack:
        stream = await _opened(where, "small", stack)
        subscription = await stack.enter_async_context(stream.subscribe(Newest()))
        await subscription.take(1, 0.5)
        producer.publish(SINGLES, SIZE, "json", PAUSE)
        late: list[float] = []
        while len(late) < SINGLES:
            batch = await subscription.take()
            now = time.monotonic_ns()
            late += [(now - message.timestamp) / 1e9 for message in batch.messages]
        return statistics.median(late)


async def _round_trip(producer: _Producer) -> float:
    """The median of the seconds that a request takes that is answered at once, by the same client."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        took: list[float] = []
        for _ in range(SINGLES):
            began = time.perf_counter()
            await client.get(f"{producer.plain}/{SIZE}")
            took.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE)
        return statistics.median(took)
