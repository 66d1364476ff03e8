"""The contract of a transport as tests: subclass it, say how to make yours, run pytest.

    class TestMine(TransportContract):
        transport_class = MyTransport

        def make(self) -> MyTransport:
            return MyTransport(url="...")

Tests of abilities that the class does not declare are not collected. The tests are coroutines: run them
with anyio's pytest plug-in.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeVar

from msgspec.structs import replace

from headgate.core.message import Message, StreamId
from headgate.core.position import At, Batch, Last, Newest, Oldest, Position, Since
from headgate.errors import StreamClosed, StreamFull
from headgate.transport.base import Ability, Delivery, Overflow, Source, StreamSettings, Transport

PATIENCE = 30.0  # seconds until a test says that what it waits for will not come
Test = TypeVar("Test", bound=Callable[..., Awaitable[None]])


def needs(*abilities: Ability) -> Callable[[Test], Test]:
    """This test is for transports that declare these abilities."""

    def mark(test: Test) -> Test:
        test.__dict__["needs"] = frozenset(abilities)
        return test

    return mark


def messages(count: int, *, first: int = 0, key: bytes | None = None) -> list[Message[bytes]]:
    """Numbered messages."""
    return [Message(value=b"%d" % number, key=key) for number in range(first, first + count)]


def values(batch: Sequence[Message[bytes]]) -> list[bytes]:
    """What the messages say."""
    return [message.value for message in batch]


async def collect(source: Source, count: int, *, limit: int = 1000) -> list[Message[bytes]]:
    """Read until there are `count` messages, or patience ends."""
    found: list[Message[bytes]] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                found += (await source.read(min(limit, count - len(found)))).messages
    except TimeoutError:
        raise AssertionError(f"{len(found)} of {count} messages came") from None
    return found


async def nothing_more(source: Source) -> bool:
    """There is nothing to read now."""
    return not (await source.read(wait=0.05)).messages


class TransportContract:
    """What every transport does. Override `make`, and `prepare` where a stream must be made over there first."""

    transport_class: ClassVar[Any]
    batch_of_many = 5000

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(TransportContract):
            needed: frozenset[Ability] = getattr(getattr(TransportContract, name), "needs", frozenset())
            if not needed <= cls.transport_class.abilities:
                setattr(cls, name, None)

    def make(self) -> Transport:
        """A transport; each one that a test makes sees the same streams where the class is durable."""
        raise NotImplementedError

    async def prepare(self, stream: StreamSettings) -> StreamSettings:
        """Make the stream on the other side, if there is one; gives the settings to use."""
        return stream

    @asynccontextmanager
    async def opened(self, **settings: Any) -> AsyncIterator[tuple[Transport, StreamSettings]]:
        """A transport and a fresh stream."""
        name = f"contract-{uuid.uuid4().hex[:12]}"
        stream = await self.prepare(StreamSettings(name, id=StreamId("contract", name), **settings))
        async with self.reopened() as transport:
            yield transport, stream

    @asynccontextmanager
    async def reopened(self) -> AsyncIterator[Transport]:
        """Another transport, as after a restart."""
        transport = self.make()
        try:
            yield transport
        finally:
            await transport.close()

    # Publishing

    async def test_a_batch_is_acknowledged_with_a_place_for_each_message(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            receipt = await sink.send(messages(3))
            again = await sink.send(messages(2))
            assert len(list(receipt.positions())) == 3
            assert receipt.epoch == again.epoch
            places = [*receipt.positions(), *again.positions()]
            assert len({str(place) for place in places}) == 5

    async def test_an_empty_batch_is_nothing(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            assert list((await sink.send([])).positions()) == []

    async def test_everything_about_a_message_arrives(self) -> None:
        sent = [
            Message(
                value=b'{"a": 1}',
                key=b"one",
                headers=(("h", b"1"), ("h", b"2")),
                timestamp=1_700_000_000_123_000_000,
            ),
            Message(value=bytes(range(256)), key=bytes(range(256)), timestamp=1_700_000_000_124_000_000),
            Message(value=b"", key=None, timestamp=1_700_000_000_125_000_000),
            Message(value=b"x" * 500_000, key="Schlüssel".encode(), headers=(("bin", b"\x00\xff"),)),
        ]
        async with self.opened() as (transport, stream):
            sent = [replace_stream(message, stream.id) for message in sent]
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Oldest())
            for message in sent:
                await sink.send([message])
            got = {message.value: message for message in await collect(source, len(sent))}
            for message in sent[:3]:
                assert facts(got[message.value]) == facts(message)
            assert facts(got[sent[3].value])[:-1] == facts(sent[3])[:-1]

    async def test_a_foreign_stream_id_travels_with_the_message(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            await sink.send([Message(value=b"x", stream=StreamId("results", "job/1"))])
            source = await transport.open_source(stream, Oldest())
            assert (await collect(source, 1))[0].stream == StreamId("results", "job/1")

    async def test_a_large_batch_keeps_its_order_within_a_key(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Oldest())
            await sink.send(messages(self.batch_of_many, key=b"k"))
            got = await collect(source, self.batch_of_many)
            assert values(got) == values(messages(self.batch_of_many))

    async def test_many_senders_each_keep_their_order(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Oldest())

            async def sender(key: bytes) -> None:
                for number in range(20):
                    await sink.send(messages(5, first=number * 5, key=key))

            keys = [b"%d" % number for number in range(10)]
            await asyncio.gather(*map(sender, keys))
            got = await collect(source, 1000)
            assert await nothing_more(source)
            for key in keys:
                assert values([m for m in got if m.key == key]) == values(messages(100))

    async def test_publishing_after_close_is_refused(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            await sink.close()
            await sink.close()
            await raises(StreamClosed, sink.send(messages(1)))

    # Reading

    async def test_several_cursors_each_see_everything(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            sources = [await transport.open_source(stream, Oldest()) for _ in range(3)]
            await sink.send(messages(10, key=b"k"))
            for source in sources:
                assert values(await collect(source, 10)) == values(messages(10))
                assert await nothing_more(source)

    async def test_a_read_gives_no_more_than_its_limit(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(10, key=b"k"))
            source = await transport.open_source(stream, Oldest())
            assert len((await source.read(limit=4)).messages) <= 4
            assert values(await collect(source, 6, limit=2))[-1] == b"9"

    async def test_a_reader_that_waits_is_woken_by_a_batch(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Newest())
            async with asyncio.timeout(PATIENCE):
                waiting = asyncio.ensure_future(source.read())
                await sink.send(messages(1))
                assert values((await waiting).messages) == [b"0"]

    async def test_waiting_ends_with_an_empty_batch_that_has_a_place(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            await sink.send(messages(2))
            source = await transport.open_source(stream, Newest())
            batch = await source.read(wait=0.05)
            assert not batch.messages
            await sink.send(messages(1, first=2))
            resumed = await transport.open_source(stream, At(batch.position))
            assert values(await collect(resumed, 1)) == [b"2"]

    async def test_a_read_that_is_cancelled_loses_nothing(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Newest())
            await cancelled(source.read())
            await sink.send(messages(3, key=b"k"))
            assert values(await collect(source, 3)) == [b"0", b"1", b"2"]

    async def test_closing_ends_a_read_that_waits(self) -> None:
        async with self.opened() as (transport, stream):
            source = await transport.open_source(stream, Newest())
            waiting = asyncio.ensure_future(source.read())
            await asyncio.sleep(0)
            await source.close()
            await source.close()
            await raises(StreamClosed, waiting)
            await raises(StreamClosed, source.read())

    async def test_closing_the_transport_ends_a_read_that_waits(self) -> None:
        async with self.opened() as (transport, stream):
            source = await transport.open_source(stream, Newest())
            waiting = asyncio.ensure_future(source.read())
            await asyncio.sleep(0)
            await transport.close()
            await raises(StreamClosed, waiting)

    # Where to start

    async def test_start_at_the_newest_sees_only_what_follows(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            await sink.send(messages(5))
            source = await transport.open_source(stream, Newest())
            await sink.send(messages(1, first=5))
            assert values(await collect(source, 1)) == [b"5"]
            assert await nothing_more(source)

    async def test_a_position_as_text_continues_without_gap_or_repeat(self) -> None:
        async with self.opened() as (transport, stream):
            sink = await transport.open_sink(stream)
            for number in range(10):
                await sink.send(messages(10, first=number * 10, key=b"%d" % number))
            source = await transport.open_source(stream, Oldest())
            first: list[Message[bytes]] = []
            batch = Batch((), Position("", {}))
            while len(first) < 37:
                batch = await source.read(limit=37 - len(first))
                first += batch.messages
            again = await transport.open_source(stream, At(Position.parse(str(batch.position))))
            rest = await collect(again, 63)
            assert sorted(values([*first, *rest]), key=int) == values(messages(100))
            assert await nothing_more(again)

    async def test_a_position_of_another_life_starts_at_the_oldest(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(3, key=b"k"))
            source = await transport.open_source(stream, At(Position.single("otherlife", 2)))
            assert values(await collect(source, 3)) == [b"0", b"1", b"2"]
            assert (await source.read(wait=0)).position.epoch != "otherlife"

    @needs(Ability.LAST)
    async def test_start_at_the_last_few(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(10, key=b"k"))
            source = await transport.open_source(stream, Last(3))
            assert values(await collect(source, 3)) == [b"7", b"8", b"9"]

    @needs(Ability.START_TIME)
    async def test_start_at_a_time(self) -> None:
        async with self.opened() as (transport, stream):
            second = 1_000_000_000
            now = time.time_ns() // second * second
            batch = [Message(value=b"%d" % n, key=b"k", timestamp=now + n * second) for n in range(-9, 1)]
            await (await transport.open_sink(stream)).send(batch)
            source = await transport.open_source(stream, Since(now - 2 * second))
            assert values(await collect(source, 3)) == [b"-2", b"-1", b"0"]

    # Cursors with a name, and queues

    async def test_a_named_cursor_continues_where_it_committed(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(10, key=b"k"))
            await self._read_and_commit(transport, stream, 4)
            source = await transport.open_source(stream, Oldest(), "reader")
            assert values(await collect(source, 6)) == values(messages(6, first=4))

    @needs(Ability.RESUME)
    async def test_a_named_cursor_continues_after_a_restart(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(10, key=b"k"))
            await self._read_and_commit(transport, stream, 4)
            await transport.close()
            async with self.reopened() as again:
                source = await again.open_source(stream, Newest(), "reader")
                assert values(await collect(source, 6)) == values(messages(6, first=4))

    async def _read_and_commit(self, transport: Transport, stream: StreamSettings, count: int) -> None:
        source = await transport.open_source(stream, Oldest(), "reader")
        batch = await source.read(limit=count)
        while len(batch.messages) < count:
            count -= len(batch.messages)
            batch = await source.read(limit=count)
        await source.commit(batch.position)
        await source.close()

    @needs(Ability.DURABLE)
    async def test_what_was_acknowledged_is_there_after_a_restart(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(100, key=b"k"))
            await transport.close()
            async with self.reopened() as again:
                source = await again.open_source(stream, Oldest())
                assert values(await collect(source, 100)) == values(messages(100))

    @needs(Ability.QUEUE)
    async def test_each_message_of_a_queue_goes_to_one_reader(self) -> None:
        async with self.opened(delivery=Delivery.QUEUE) as (transport, stream):
            sink = await transport.open_sink(stream)
            sources = [await transport.open_source(stream, Oldest()) for _ in range(3)]
            for number in range(20):
                await sink.send(messages(10, first=number * 10, key=b"%d" % number))
            got: list[bytes] = []

            async def drain(source: Source) -> None:
                while len(got) < 200:
                    batch = await source.read(limit=7, wait=0.2)
                    got.extend(values(batch.messages))
                    await source.commit(batch.position)

            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*map(drain, sources))
            assert sorted(got, key=int) == values(messages(200))

    @needs(Ability.QUEUE)
    async def test_what_a_queues_reader_did_not_commit_is_given_out_again(self) -> None:
        async with self.opened(delivery=Delivery.QUEUE) as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(10, key=b"k"))
            first = await transport.open_source(stream, Oldest())
            batch = await first.read(limit=4)
            while not batch.messages:
                batch = await first.read(limit=4)
            done = len(batch.messages)
            await first.commit(batch.position)
            await collect(first, 3)
            await first.close()
            second = await transport.open_source(stream, Oldest())
            assert sorted(values(await collect(second, 10 - done)), key=int) == values(messages(10 - done, first=done))

    # Retention and overflow

    @needs(Ability.RETAIN_COUNT)
    async def test_only_the_newest_are_kept_and_a_reader_is_told_how_many_it_missed(self) -> None:
        async with self.opened(keep_messages=10) as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Oldest())
            for number in range(7):
                await sink.send(messages(5, first=number * 5, key=b"k"))
            batch = await source.read()
            assert values(batch.messages) == values(messages(10, first=25))
            assert batch.missed == 25
            assert (await transport.extent(stream)).messages == 10

    @needs(Ability.RETAIN_COUNT, Ability.QUEUE)
    async def test_a_full_queue_drops_its_oldest_and_counts_them(self) -> None:
        async with self.opened(keep_messages=10, delivery=Delivery.QUEUE) as (transport, stream):
            sink = await transport.open_sink(stream)
            await sink.send(messages(13, key=b"k"))
            source = await transport.open_source(stream, Oldest())
            assert values(await collect(source, 10)) == values(messages(10, first=3))
            assert (await transport.extent(stream)).dropped == 3

    @needs(Ability.RETAIN_AGE)
    async def test_what_is_too_old_is_not_given(self) -> None:
        async with self.opened(keep_age=60_000_000_000) as (transport, stream):
            hour_ago = time.time_ns() - 3600 * 1_000_000_000
            sink = await transport.open_sink(stream)
            await sink.send([Message(value=b"old", timestamp=hour_ago), Message(value=b"young")])
            source = await transport.open_source(stream, Oldest())
            assert values(await collect(source, 1)) == [b"young"]

    @needs(Ability.OVERFLOW, Ability.QUEUE)
    async def test_a_full_queue_that_rejects_takes_all_of_a_batch_or_nothing(self) -> None:
        async with self.opened(keep_messages=10, overflow=Overflow.REJECT, delivery=Delivery.QUEUE) as (
            transport,
            stream,
        ):
            sink = await transport.open_sink(stream)
            await sink.send(messages(8, key=b"k"))
            await raises(StreamFull, sink.send(messages(3, first=8, key=b"k")))
            source = await transport.open_source(stream, Oldest())
            batch = await source.read()
            assert values(batch.messages) == values(messages(8))
            await source.commit(batch.position)
            await sink.send(messages(10, key=b"k"))
            assert (await transport.extent(stream)).dropped == 0

    @needs(Ability.OVERFLOW)
    async def test_a_stream_that_rejects_holds_what_a_named_cursor_has_not_committed(self) -> None:
        async with self.opened(keep_messages=10, overflow=Overflow.REJECT) as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Oldest(), "slow")
            await sink.send(messages(10, key=b"k"))
            await raises(StreamFull, sink.send(messages(1)))
            batch = await source.read(limit=4)
            await source.commit(batch.position)
            await sink.send(messages(4, first=10, key=b"k"))
            assert values(await collect(source, 10)) == values(messages(10, first=4))

    @needs(Ability.OVERFLOW)
    async def test_a_stream_that_blocks_lets_its_publisher_wait_for_its_reader(self) -> None:
        async with self.opened(keep_messages=10, overflow=Overflow.BLOCK) as (transport, stream):
            sink = await transport.open_sink(stream)
            source = await transport.open_source(stream, Oldest(), "slow")
            sending = asyncio.ensure_future(sink.send(messages(35, key=b"k")))
            got: list[bytes] = []
            async with asyncio.timeout(PATIENCE):
                while len(got) < 35:
                    assert not (sending.done() and len(got) < 25)
                    batch = await source.read()
                    got += values(batch.messages)
                    await source.commit(batch.position)
                receipt = await sending
            assert got == values(messages(35))
            assert len(list(receipt.positions())) == 35

    # What can be seen from outside

    async def test_its_extent_counts_what_can_be_read(self) -> None:
        async with self.opened() as (transport, stream):
            assert (await transport.extent(stream)).messages == 0
            await (await transport.open_sink(stream)).send(messages(12))
            extent = await transport.extent(stream)
            assert extent.messages == 12
            source = await transport.open_source(stream, At(extent.oldest))
            assert len(await collect(source, 12)) == 12

    async def test_a_working_transport_has_no_trouble(self) -> None:
        async with self.opened() as (transport, stream):
            await (await transport.open_sink(stream)).send(messages(1))
            assert transport.trouble() is None


def replace_stream(message: Message[bytes], stream: StreamId) -> Message[bytes]:
    """The message as one of this stream."""
    return replace(message, stream=stream)


def facts(message: Message[bytes]) -> tuple[object, ...]:
    """What must survive the way, the timestamp last."""
    return message.key, message.headers, message.stream, message.timestamp


async def raises(expected: type[Exception], act: Awaitable[object]) -> None:
    """`act` ends with this error, within patience."""
    try:
        async with asyncio.timeout(PATIENCE):
            await act
    except expected:
        return
    raise AssertionError(f"{expected.__name__} was not raised")


async def cancelled(act: Awaitable[object]) -> None:
    """Start `act` and cancel it while it waits."""
    task = asyncio.ensure_future(act)
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
