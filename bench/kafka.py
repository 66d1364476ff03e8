"""Kafka: publishing and reading through the transport, against the library's own flood, on one real broker."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop
from confluent_kafka import Consumer, Producer
from tests.services.kafka import KafkaBroker

from bench.table import Row, median_ratio
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.transport.base import StreamSettings
from headgate.transport.kafka import KafkaTransport

BATCH, BATCHES, SENDERS, SINGLES, IN_FLIGHT = 1000, 100, 4, 20_000, 64
MESSAGES = [Message(value=b"x" * 100, key=b"machine-%d" % (number % 50)) for number in range(BATCH)]
ALONE = [[message] for message in MESSAGES]


def rows() -> list[Row]:
    """Batches, single messages and reading, each against the library doing nothing but that."""
    with KafkaBroker() as broker:
        bench = _Bench(broker)
        note = f"{broker.describe().split(' at ')[0]}; all acknowledged by acks=all, idempotent"
        return [
            Row("kafka publish, batches of 1000", "produce + flush", median_ratio(bench.batches, bench.flood, 5), note),
            Row(
                "kafka publish, single, 64 in flight",
                "produce + flush",
                median_ratio(bench.singles, bench.flood, 5),
                "each awaits its own acknowledgement",
            ),
            Row(
                "kafka publish, single, 64 in flight",
                "library, 64 in flight",
                median_ratio(bench.singles, bench.window, 5),
                "the library alone, sending one for each report: what round trips allow",
            ),
            Row(
                "kafka read", "consume(1000)", median_ratio(bench.read, bench.consume, 5), f"{BATCH * BATCHES} messages"
            ),
        ]


class _Bench:
    def __init__(self, broker: KafkaBroker) -> None:
        self._servers = broker.bootstrap
        self._stream = StreamSettings("bench", topic=broker.create_topic(partitions=3))
        self._full = StreamSettings("full", topic=broker.create_topic(partitions=3))
        self._flood(self._full.topic)

    def flood(self) -> float:
        """All messages at once, with a report for each as anybody has to have who wants to know."""
        return self._flood(self._stream.topic)

    def _flood(self, topic: str) -> float:
        settings = {"bootstrap.servers": self._servers, "enable.idempotence": True, "linger.ms": 5}
        producer = Producer({**settings, "queue.buffering.max.messages": 1_000_000})
        reports: list[int] = []

        def reported(_: object, record: Any) -> None:
            reports.append(record.offset())

        producer.list_topics(timeout=10)
        began = time.perf_counter()
        for _ in range(BATCHES):
            for message in MESSAGES:
                producer.produce(topic, message.value, message.key, on_delivery=reported)
            producer.poll(0)
        producer.flush()
        return BATCH * BATCHES / (time.perf_counter() - began)

    def window(self) -> float:
        """The library alone with 64 in flight: each report sends the next message."""
        settings = {"bootstrap.servers": self._servers, "enable.idempotence": True, "linger.ms": 0}
        producer = Producer({**settings, "max.in.flight.requests.per.connection": 2})
        offsets: list[int] = []
        left = iter(range(SINGLES))

        def send() -> None:
            for number in itertools.islice(left, 1):
                message = MESSAGES[number % BATCH]
                producer.produce(self._stream.topic, message.value, message.key, on_delivery=reported)

        def reported(_: object, record: Any) -> None:
            offsets.append(record.offset())
            send()

        producer.list_topics(timeout=10)
        began = time.perf_counter()
        for _ in range(IN_FLIGHT):
            send()
        while len(offsets) < SINGLES:
            producer.poll(0.1)
        return SINGLES / (time.perf_counter() - began)

    def batches(self) -> float:
        """A thousand at a time, four batches in flight."""
        numbers = iter(range(BATCHES))

        async def sender(send: Callable[[list[Message[bytes]]], Awaitable[object]]) -> None:
            for _ in numbers:
                await send(MESSAGES)

        return self._sending(sender, SENDERS, BATCH * BATCHES)

    def singles(self) -> float:
        """One at a time, 64 in flight."""
        numbers = iter(range(SINGLES))

        async def sender(send: Callable[[list[Message[bytes]]], Awaitable[object]]) -> None:
            for number in numbers:
                await send(ALONE[number % BATCH])

        return self._sending(sender, IN_FLIGHT, SINGLES)

    def _sending(self, sender: Callable[..., Awaitable[None]], senders: int, count: int) -> float:
        async def run() -> float:
            transport = KafkaTransport(bootstrap_servers=self._servers)
            sink = await transport.open_sink(self._stream)
            await sink.send(MESSAGES[:1])
            began = time.perf_counter()
            await asyncio.gather(*(sender(sink.send) for _ in range(senders)))
            seconds = time.perf_counter() - began
            await transport.close()
            return count / seconds

        return _run(run())

    def read(self) -> float:
        """Through a source."""

        async def run() -> float:
            transport = KafkaTransport(bootstrap_servers=self._servers)
            source = await transport.open_source(self._full, Oldest())
            left = BATCH * BATCHES
            left -= len((await source.read(1)).messages)
            began = time.perf_counter()
            while left:
                left -= len((await source.read(BATCH)).messages)
            seconds = time.perf_counter() - began
            await transport.close()
            return BATCH * BATCHES / seconds

        return _run(run())

    def consume(self) -> float:
        """Through the library, with each value looked at."""
        group = uuid.uuid4().hex
        settings = {"bootstrap.servers": self._servers, "group.id": group, "auto.offset.reset": "earliest"}
        consumer = Consumer({**settings, "enable.auto.commit": False})
        consumer.subscribe([self._full.topic])
        left = BATCH * BATCHES - len([record.value() for record in consumer.consume(1, 30)])
        began = time.perf_counter()
        while left:
            left -= len([record.value() for record in consumer.consume(BATCH, 0.1)])
        seconds = time.perf_counter() - began
        consumer.close()
        return BATCH * BATCHES / seconds


def _run(work: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop that the gate runs on
        return runner.run(work)
