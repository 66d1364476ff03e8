"""The stream: what it counts, what it names, and what ends with it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from headgate.core.codec import JsonCodec
from headgate.core.message import Message, StreamId
from headgate.core.position import Newest, Oldest
from headgate.errors import CodecError, StreamClosed, StreamFull
from headgate.runtime.stream import Stream
from headgate.testing.transport import raises, values
from headgate.transport.base import Delivery, Overflow, StreamSettings
from headgate.transport.memory import MemoryTransport
from tests.runtime.streams import streams


async def read(stream: Stream) -> Sequence[Message[bytes]]:
    async with stream.subscribe(Oldest()) as subscription:
        return (await subscription.take(wait=0)).messages


async def test_what_is_published_is_counted() -> None:
    async with streams("s", codec="raw") as made:
        receipt = await made["s"].publish([Message(value=b"one"), Message(value=b"three")])
        assert list(receipt.offsets) == [0, 1]
        assert (made["s"].stats.published, made["s"].stats.published_bytes) == (2, 8)


async def test_what_the_transport_refuses_is_counted_apart() -> None:
    async with streams("s", overflow=Overflow.REJECT, keep_messages=1, delivery=Delivery.QUEUE) as made:
        stream = made["s"]
        with pytest.raises(StreamFull, match="stream 's' has room for 1 of 2 messages"):
            await stream.publish([Message(value=b"1"), Message(value=b"2")])
        assert (stream.stats.published, stream.stats.refused) == (0, 2)


async def test_what_readers_get_and_miss_is_counted() -> None:
    async with streams("s", keep_messages=2) as made, made["s"].subscribe(Oldest()) as subscription:
        await made["s"].publish([Message(value=b"%d" % n) for n in range(5)])
        batch = await subscription.take()
        assert (values(batch.messages), batch.missed) == ([b"3", b"4"], 3)
        assert (made["s"].stats.delivered, made["s"].stats.missed) == (2, 3)


async def test_a_message_without_a_name_gets_the_streams_and_another_keeps_its_own() -> None:
    own, foreign = StreamId("stream", "s"), StreamId("results", "job")
    async with streams("s", id=own) as made:
        unnamed = Message(value=b"1", stream=StreamId("", ""))
        await made["s"].publish([Message(value=b"1"), unnamed, Message(value=b"1", stream=foreign)])
        assert [message.stream for message in await read(made["s"])] == [own, own, foreign]


async def test_a_value_becomes_a_message_and_a_message_keeps_what_it_has() -> None:
    async with streams("s") as made:
        whole = Message(value=[1], key=b"k", headers=(("h", b"v"),), timestamp=7)
        first, second = made["s"].encode([{"a": 1}, whole])
        assert (first.value, first.key) == (b'{"a":1}', None)
        assert second == Message(value=b"[1]", key=b"k", headers=(("h", b"v"),), timestamp=7)
        assert made["s"].decode(second) == whole
        with pytest.raises(CodecError):
            made["s"].encode([object()])
        with pytest.raises(CodecError):
            made["s"].decode(Message(value=b"{"))


async def test_a_stream_that_is_not_open_publishes_nothing() -> None:
    stream = Stream(StreamSettings("s"), JsonCodec(), MemoryTransport(), transport_name="memory")
    with pytest.raises(StreamClosed, match="stream 's' is not open"):
        await stream.publish([Message(value=b"1")])
    await stream.close()


async def test_who_reads_a_stream_that_is_closed_is_told() -> None:
    async with streams("s", "other") as made:
        stream = made["s"]
        async with stream.subscribe(Newest()) as subscription, made["other"].subscribe(Newest()) as other:
            waiting = asyncio.ensure_future(subscription.take())
            elsewhere = asyncio.ensure_future(other.take())
            await asyncio.sleep(0)
            await stream.close()
            await raises(StreamClosed, waiting)
            await raises(StreamClosed, stream.publish([Message(value=b"1")]))
            await made["other"].publish([Message(value=b"1")])
            assert values((await elsewhere).messages) == [b"1"]


async def test_readers_are_counted_while_they_read() -> None:
    async with streams("s") as made:
        assert made["s"].readers == 0
        async with made["s"].subscribe(Oldest()), made["s"].subscribe(Newest()):
            assert made["s"].readers == 2
            assert repr(made["s"]) == "<Stream s: 0 published, 2 readers>"
        assert made["s"].readers == 0


async def test_a_reader_that_fails_is_closed() -> None:
    async with streams("s") as made:
        with pytest.raises(RuntimeError):
            async with made["s"].subscribe(Oldest()) as subscription:
                raise RuntimeError
        assert made["s"].readers == 0
        await raises(StreamClosed, subscription.take())


@pytest.mark.parametrize("delivery", Delivery)
async def test_a_stream_knows_whether_it_is_a_queue(delivery: Delivery) -> None:
    async with streams("s", delivery=delivery) as made:
        assert made["s"].is_queue == (delivery == "queue")
        assert (await made["s"].extent()).messages == 0


async def test_an_empty_batch_is_published_as_nothing() -> None:
    async with streams("s") as made:
        receipt: Any = await made["s"].publish([])
        assert list(receipt.positions()) == []
        assert made["s"].stats.published == 0
