"""The bridge: each message once, in order, wherever the move is cut off."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.core.message import Message, StreamId
from headgate.core.position import Oldest, Position, Receipt
from headgate.errors import Unavailable
from headgate.runtime.bridge import MOVED, Bridge, Mark, mark_of, move_cursor, progress_of, translated
from headgate.runtime.stream import Stream
from headgate.testing.transport import PATIENCE
from headgate.transport.base import StreamSettings
from headgate.transport.memory import MemoryTransport
from tests.runtime.streams import streams


class Cut(Exception):
    """The process is killed here."""


class Partial:
    """A sink that keeps a part of a batch and then breaks, as often as it is told to."""

    def __init__(self, stream: Stream, dice: random.Random) -> None:
        assert stream._sink is not None
        self.sink, self.dice = stream._sink, dice
        self.breaks = 0
        self.error: Exception = Cut()
        stream._sink = self

    async def send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        if self.breaks and self.dice.random() < 0.5:
            self.breaks -= 1
            # What arrives of a batch is any part of it: partitions are independent.
            kept = [message for message in batch if self.dice.random() < 0.6]
            if kept:
                await self.sink.send(kept)
            raise self.error
        return await self.sink.send(batch)

    async def close(self) -> None:
        await self.sink.close()


async def fill(stream: Stream, first: int, count: int) -> None:
    batch = [Message(value=b"%d" % n, key=b"k%d" % (n % 7), timestamp=n) for n in range(first, first + count)]
    await stream.publish(batch)


async def held(stream: Stream) -> list[Message[bytes]]:
    found: list[Message[bytes]] = []
    async with stream.subscribe(Oldest()) as subscription:
        while batch := (await subscription.take(1000, 0)).messages:
            found += batch
    return found


def numbers(messages: Sequence[Message[bytes]]) -> list[int]:
    return [int(message.value) for message in messages]


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Stream, Stream]]:
    async with streams("old", keep_messages=50_000) as olds, streams("new", keep_messages=50_000) as news:
        yield olds["old"], news["new"]


async def test_all_that_is_there_is_moved_as_it_was() -> None:
    async with two() as (old, new):
        original = Message(value=b"1", key=b"k", headers=(("a", b"b"),), timestamp=7, stream=StreamId("counts", "left"))
        await old.publish([original])
        await fill(old, 2, 3000)
        bridge = Bridge(old, new)
        await bridge.run(until_end=True)
        moved = await held(new)
        assert numbers(moved) == list(range(1, 3002))
        first = moved[0]
        assert (first.key, first.timestamp, first.stream) == (b"k", 7, StreamId("counts", "left"))
        assert first.headers[0] == ("a", b"b")
        assert mark_of(first) is not None
        assert bridge.moved == 3001


async def test_what_comes_while_it_runs_is_moved_too() -> None:
    async with two() as (old, new):
        running = asyncio.ensure_future(Bridge(old, new).run())
        for first in range(0, 500, 50):
            await fill(old, first, 50)
        async with asyncio.timeout(PATIENCE):
            while len(await held(new)) < 500:
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert numbers(await held(new)) == list(range(500))


@pytest.mark.parametrize("seed", range(10))
async def test_a_move_that_is_killed_anywhere_moves_each_message_once(seed: int) -> None:
    dice = random.Random(seed)
    async with two() as (old, new):
        sink = Partial(new, dice)
        published = 0
        for _ in range(8):
            count = dice.randrange(1, 2500)
            await fill(old, published, count)
            published += count
            sink.breaks = dice.randrange(4)
            while True:
                try:
                    await Bridge(old, new).run(until_end=True)
                    break
                except Cut:
                    if dice.random() < 0.3:  # others publish there already
                        await sink.sink.send([Message(value=b"%d" % 10**6)] * dice.randrange(1, 3000))
        found = [n for n in numbers(await held(new)) if n < 10**6]
        assert sorted(found) == list(range(published))


async def test_a_new_stream_that_is_away_is_waited_for() -> None:
    async with two() as (old, new):
        await fill(old, 0, 100)
        sink = Partial(new, random.Random(1))
        sink.breaks, sink.error = 2, Unavailable("away")
        bridge = Bridge(old, new)
        async with asyncio.timeout(PATIENCE):
            await bridge.run(until_end=True)
        assert sorted(numbers(await held(new))) == list(range(100))


async def test_messages_that_were_gone_are_counted() -> None:
    async with streams("old", keep_messages=10) as olds, streams("new") as news:
        await fill(olds["old"], 0, 5)
        await Bridge(olds["old"], news["new"]).run(until_end=True)
        await fill(olds["old"], 5, 30)
        bridge = Bridge(olds["old"], news["new"])
        await bridge.run(until_end=True)
        assert numbers(await held(news["new"])) == [*range(5), *range(25, 35)]
        assert bridge.missed == 20


async def test_an_old_stream_that_began_afresh_is_moved_from_its_beginning() -> None:
    async with streams("new") as news:
        for life in range(2):
            async with streams("old") as olds:
                await fill(olds["old"], life * 10, 10)
                for _ in range(2):
                    await Bridge(olds["old"], news["new"]).run(until_end=True)
        assert numbers(await held(news["new"])) == list(range(20))


async def test_a_stream_that_was_moved_before_can_be_moved_on() -> None:
    async with two() as (old, new), streams("third") as others:
        await fill(old, 0, 50)
        await Bridge(old, new).run(until_end=True)
        await Bridge(new, others["third"]).run(until_end=True)
        moved = await held(others["third"])
        assert numbers(moved) == list(range(50))
        assert [[name for name, _ in message.headers] for message in moved] == [[MOVED]] * 50


async def test_a_named_reader_goes_on_where_it_was() -> None:
    async with two() as (old, new):
        await fill(new, 10**6, 3)
        await fill(old, 0, 2000)
        async with old.subscribe(Oldest(), "node-count") as subscription:
            batch = await subscription.take(1234)
            await subscription.commit(batch.position)
        await Bridge(old, new).run(until_end=True)
        place = await move_cursor(old, new, "node-count")
        assert place.offset == 1237
        async with new.subscribe(Oldest(), "node-count") as subscription:
            assert numbers((await subscription.take(5)).messages) == [1234, 1235, 1236, 1237, 1238]


async def test_places_of_before_and_after_everything_are_translated() -> None:
    async with two() as (old, new):
        await fill(old, 0, 10)
        await Bridge(old, new).run(until_end=True)
        epoch = (await old.extent()).newest.epoch
        assert (await translated(new, Position.single(epoch, 0))).offset == 0
        assert (await translated(new, Position.single(epoch, 10))).offset == 10


def queue(name: str, transport: Any) -> Stream:
    from headgate.app.plugins import make_codec
    from headgate.transport.base import Delivery

    settings = StreamSettings(name, delivery=Delivery.QUEUE)
    return Stream(settings, make_codec("json", {}), transport, transport_name="memory")


async def test_a_queue_is_moved_and_empty_then() -> None:
    transport, other = MemoryTransport(), MemoryTransport()
    old, new = queue("old", transport), queue("new", other)
    await old.open()
    await new.open()
    await fill(old, 0, 1500)
    await Bridge(old, new).run(until_end=True)
    assert (await old.extent()).messages == 0
    async with new.subscribe(Oldest()) as subscription:
        first, second = await subscription.take(1000), await subscription.take(1000)
    assert numbers([*first.messages, *second.messages]) == list(range(1500))
    await transport.close()
    await other.close()


def test_a_header_that_is_no_mark_says_nothing() -> None:
    for text in (b"", b"x", b"e:1", b"e:1 2", b"e:1 a-b", b"\xff", b"e:1 1-2-3"):
        assert mark_of(Message(value=b"", headers=((MOVED, text),))) is None
    mark = Mark(Position("e", {0: 1, 3: 5}), 3, 7)
    assert mark_of(Message(value=b"", headers=(mark.header(),))) == mark


async def test_a_new_stream_without_marks_says_that_nothing_was_moved() -> None:
    async with streams("new") as made:
        await fill(made["new"], 0, 5000)
        assert (await progress_of(made["new"], "e")).before is None
