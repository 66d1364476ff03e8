"""The kafka transport on a real broker: what the contract does not ask, and what brokers do to it."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from headgate.core.message import Message
from headgate.core.position import At, Oldest, Position
from headgate.errors import TransportError, Unavailable
from headgate.testing.transport import PATIENCE, collect, messages, raises, values
from headgate.transport.base import Delivery, StreamSettings
from headgate.transport.kafka import KafkaTransport, source
from headgate.transport.kafka import transport as transport_module
from headgate.transport.kafka.client import Seldom
from tests.faults.kafka_campaign import QUICK, under_load
from tests.services.kafka import KafkaBroker

OwnKafka = Callable[..., KafkaBroker]


@asynccontextmanager
async def connected(broker: KafkaBroker, **settings: Any) -> AsyncIterator[KafkaTransport]:
    transport = KafkaTransport(bootstrap_servers=broker.bootstrap, group_id=uuid.uuid4().hex, **settings)
    try:
        yield transport
    finally:
        await transport.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for this to be so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_broker_that_is_away_at_start_is_waited_for(own_kafka: OwnKafka) -> None:
    broker = own_kafka(QUICK)
    stream = StreamSettings("late", topic=broker.create_topic())
    broker.stop()
    async with connected(broker, options={"sasl.password": "hunter2-planted"}) as transport:
        sink = await transport.open_sink(stream)
        reader = await transport.open_source(stream, Oldest())
        await until(transport.trouble)
        assert "do not answer" in (transport.trouble() or "")
        assert "hunter2-planted" not in (transport.trouble() or "")
        sending = asyncio.ensure_future(sink.send(messages(1)))
        await asyncio.to_thread(broker.start)
        async with asyncio.timeout(PATIENCE):
            await sending
        assert values(await collect(reader, 1)) == [b"0"]
        await until(lambda: transport.trouble() is None)


async def test_a_broker_that_is_killed_loses_and_doubles_nothing(own_kafka: OwnKafka) -> None:
    outcome = await under_load(own_kafka(QUICK), [0.0])
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.kept_its_word


async def test_a_member_that_joins_takes_over_without_loss_or_repeat(kafka: KafkaBroker) -> None:
    stream = StreamSettings("jobs", topic=kafka.create_topic(partitions=3), delivery=Delivery.QUEUE)
    async with connected(kafka) as transport:
        sink = await transport.open_sink(stream)
        got: dict[bytes, list[int]] = {}

        async def read(reader: Any) -> None:
            while sum(map(len, got.values())) < 300:
                batch = await reader.read(5, wait=0.2)
                for message in batch.messages:
                    got.setdefault(message.key, []).append(int(message.value))
                await reader.commit(batch.position)

        first = asyncio.ensure_future(read(await transport.open_source(stream, Oldest())))
        for number in range(150):
            await sink.send([Message(value=b"%d" % number, key=b"%d" % (number % 10))])
        second = asyncio.ensure_future(read(await transport.open_source(stream, Oldest())))
        for number in range(150, 300):
            await sink.send([Message(value=b"%d" % number, key=b"%d" % (number % 10))])
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(first, second)
    assert got == {b"%d" % key: list(range(key, 300, 10)) for key in range(10)}


async def test_a_message_that_is_too_large_is_named(kafka: KafkaBroker) -> None:
    stream = StreamSettings("large", topic=kafka.create_topic())
    async with connected(kafka) as transport:
        sink = await transport.open_sink(stream)
        with pytest.raises(TransportError, match=r"message 1 of 2 was not acknowledged.*message\.max\.bytes"):
            await sink.send([Message(value=b"x"), Message(value=b"x" * 2_000_000)])


async def test_a_full_local_queue_is_waited_for_and_then_refused(own_kafka: OwnKafka) -> None:
    broker = own_kafka(QUICK)
    stream = StreamSettings("full", topic=broker.create_topic())
    async with connected(broker, send_timeout=2, options={"queue.buffering.max.messages": 10}) as transport:
        sink = await transport.open_sink(stream)
        await sink.send(messages(25))
        broker.pause()
        try:
            async with asyncio.timeout(3 * 2):
                await raises(Unavailable, sink.send(messages(25)))
        finally:
            broker.resume()


async def test_closing_settles_what_a_silent_broker_does_not(
    own_kafka: OwnKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "CLOSE_SECONDS", 0.2)
    broker = own_kafka(QUICK)
    stream = StreamSettings("silent", topic=broker.create_topic())
    async with connected(broker, options={"queue.buffering.max.messages": 10}) as transport:
        sink = await transport.open_sink(stream)
        await sink.send(messages(1))
        broker.pause()
        try:
            sending = asyncio.ensure_future(sink.send(messages(25)))
            await asyncio.sleep(0)  # it is sent; that it is handed over is up to `close`
            await transport.close()
            await raises(Unavailable, sending)
        finally:
            broker.resume()


@pytest.mark.parametrize(
    "bad",
    [
        Message(value=b"x", key=5),  # type: ignore[arg-type]
        Message(value=b"x", headers=((b"name", b""),)),  # type: ignore[arg-type]
        Message(value=b"x", headers=(("\ud800", b""),)),  # crashes the library
        Message(value=b"x", headers=(("a\0b", b""),)),
        Message(value=b"x", timestamp=2**90),
    ],
    ids=["key", "header", "surrogate", "nul", "timestamp"],
)
async def test_what_is_no_record_is_named_and_stops_nobody_else(kafka: KafkaBroker, bad: Message[bytes]) -> None:
    stream = StreamSettings("bad", topic=kafka.create_topic())
    async with connected(kafka) as transport, asyncio.timeout(PATIENCE):
        sink = await transport.open_sink(stream)
        refused, kept = await asyncio.gather(
            sink.send([Message(value=b"0"), bad]), sink.send(messages(1)), return_exceptions=True
        )
        assert isinstance(refused, TransportError)
        assert str(refused).startswith("message 1 of 2: ")
        assert not isinstance(kept, BaseException)


async def test_a_topic_made_afresh_is_another_life(kafka: KafkaBroker) -> None:
    topic = kafka.create_topic()
    stream = StreamSettings("reborn", topic=topic)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    async with connected(kafka) as transport:
        sink = await transport.open_sink(stream)
        old = await sink.send(messages(3))
        await asyncio.to_thread(admin.delete_topics([topic])[topic].result, PATIENCE)
        await until(lambda: topic not in admin.list_topics(timeout=5).topics)
        await asyncio.to_thread(kafka.create_topic, topic)
        async with asyncio.timeout(PATIENCE):
            while (await transport.extent(stream)).newest.epoch == old.epoch:
                await asyncio.sleep(0.1)
            new = await sink.send(messages(2, first=7))
        assert new.epoch != old.epoch
        reader = await transport.open_source(stream, At(Position(old.epoch, {0: 2})))
        assert values(await collect(reader, 2)) == [b"7", b"8"]


async def test_a_reader_that_retention_overtook_is_told_how_many_it_missed(kafka: KafkaBroker) -> None:
    topic = kafka.create_topic()
    stream = StreamSettings("trimmed", topic=topic)
    async with connected(kafka) as transport:
        sink = await transport.open_sink(stream)
        receipt = await sink.send(messages(10))
        await asyncio.to_thread(delete_before, kafka, topic, 6)
        reader = await transport.open_source(stream, At(Position(receipt.epoch, {0: 2})))
        missed, found = 0, []
        async with asyncio.timeout(PATIENCE):
            while len(found) < 4:
                batch = await reader.read()
                missed += batch.missed
                found += values(batch.messages)
        assert (missed, found) == (4, [b"6", b"7", b"8", b"9"])


def delete_before(broker: KafkaBroker, topic: str, offset: int) -> None:
    """Let the broker forget what is before an offset."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    [future] = admin.delete_records([source.TopicPartition(topic, 0, offset)]).values()
    future.result(PATIENCE)


async def test_what_other_producers_wrote_is_read(kafka: KafkaBroker) -> None:
    topic = kafka.create_topic()
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, None, b"gone")
    producer.produce(topic, b"plain", headers=[("empty", None), ("binary", b"\xff")], timestamp=1_700_000_000_123)
    producer.flush(PATIENCE)
    async with connected(kafka) as transport:
        reader = await transport.open_source(StreamSettings("other", topic=topic), Oldest())
        tombstone, plain = await collect(reader, 2)
        assert (tombstone.key, tombstone.value) == (b"gone", b"")
        assert plain.headers == (("empty", b""), ("binary", b"\xff"))
        assert plain.timestamp == 1_700_000_000_123_000_000


async def test_a_missing_topic_is_named_with_what_to_do(kafka: KafkaBroker) -> None:
    stream = StreamSettings("missing", topic=f"missing-{uuid.uuid4().hex}")
    async with connected(kafka, options={"allow.auto.create.topics": False}) as transport:
        await transport.open_source(stream, Oldest())
        await until(transport.trouble)
        assert "does not exist; make it, or say `create:" in (transport.trouble() or "")


async def test_a_missing_topic_is_made_where_the_stream_says_so(kafka: KafkaBroker) -> None:
    create = {"create": {"partitions": 4, "replication": 1}}
    stream = StreamSettings("made", topic=f"made-{uuid.uuid4().hex}", options=create)
    async with connected(kafka) as transport:
        await (await transport.open_sink(stream)).send(messages(1))
        assert len((await transport.extent(stream)).newest.offsets) == 4


async def test_partitions_that_are_added_are_read_from_their_beginning(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka.cimpl import NewPartitions

    monkeypatch.setattr(source, "NEW_PARTITIONS_SECONDS", 0.1)
    topic = kafka.create_topic()
    stream = StreamSettings("growing", topic=topic)
    async with connected(kafka) as transport:
        reader = await transport.open_source(stream, Oldest())
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        await asyncio.to_thread(admin.create_partitions([NewPartitions(topic, 2)])[topic].result, PATIENCE)
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        producer.produce(topic, b"new", partition=1)
        await asyncio.to_thread(producer.flush, PATIENCE)
        assert values(await collect(reader, 1)) == [b"new"]


async def test_secrets_of_the_options_are_shown_nowhere(kafka: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
    options = {"sasl.username": "u", "sasl.password": "hunter2-planted", "sasl.mechanism": "PLAIN"}
    with caplog.at_level("DEBUG"):
        async with connected(kafka, options=options) as transport:
            await (await transport.open_sink(StreamSettings("s", topic=kafka.create_topic()))).send(messages(1))
            shown = repr(transport) + str(transport.trouble())
    assert "hunter2-planted" not in shown + caplog.text


async def test_a_reader_whose_consumer_breaks_is_told(kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(source, "message_of", broken)
    stream = StreamSettings("broken", topic=kafka.create_topic())
    async with connected(kafka) as transport:
        await (await transport.open_sink(stream)).send(messages(1))
        reader = await transport.open_source(stream, Oldest())
        await raises(Unavailable, reader.read())


def test_the_library_says_the_same_only_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    library = logging.getLogger("headgate.test.library")
    library.addFilter(Seldom(10.0, lambda: now))
    for now in (0.0, 1.0, 9.9, 10.0, 11.0):
        library.warning("FAIL [headgate#consumer] connect failed at %s", now)
    library.warning("TERMINATE [headgate#consumer] at 11")
    assert [record.args[0] if record.args else "" for record in caplog.records] == [0.0, 10.0, ""]
