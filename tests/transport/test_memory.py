"""The memory transport keeps the contract, and says what becomes of what it cannot keep."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from headgate.core.message import Message
from headgate.core.position import At, Last, Newest, Oldest, Position, Since
from headgate.errors import StreamClosed, StreamFull
from headgate.testing import TransportContract
from headgate.testing.transport import PATIENCE, collect, messages, nothing_more, raises, values
from headgate.transport.base import Delivery, Overflow, StreamSettings
from headgate.transport.memory import MemorySink, MemoryTransport

SECOND = 1_000_000_000


class TestContract(TransportContract):
    transport_class = MemoryTransport

    def make(self) -> MemoryTransport:
        return MemoryTransport()


class Clock:
    """The wall clock, in the test's hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


def settings(name: str = "s", **facts: Any) -> StreamSettings:
    return StreamSettings(name, **facts)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# Age


def dated(clock: Clock, *ages: float) -> list[Message[bytes]]:
    """A message of each of these ages in seconds, which is also what it says."""
    return [Message(value=b"%g" % age, timestamp=clock.now - int(age * SECOND)) for age in ages]


async def test_what_gets_too_old_is_gone_and_a_reader_is_told() -> None:
    clock = Clock()
    transport, stream = MemoryTransport(clock=clock), settings(keep_age=60 * SECOND)
    source = await transport.open_source(stream, Oldest())
    sink = await transport.open_sink(stream)
    await sink.send(dated(clock, 59, 58, 0))
    clock.now += 2 * SECOND
    assert (await transport.extent(stream)).messages == 2
    clock.now += SECOND
    batch = await source.read()
    assert (values(batch.messages), batch.missed) == ([b"0"], 2)


async def test_a_reader_that_missed_everything_is_told_so_without_a_message() -> None:
    clock = Clock()
    transport, stream = MemoryTransport(clock=clock), settings(keep_age=60 * SECOND)
    source = await transport.open_source(stream, Oldest())
    await (await transport.open_sink(stream)).send(dated(clock, 0, 0))
    clock.now += 61 * SECOND
    batch = await source.read(wait=0)
    assert (batch.messages, batch.missed) == ([], 2)
    assert (await source.read(wait=0)).missed == 0


async def test_a_queue_counts_what_got_too_old_in_it() -> None:
    clock = Clock()
    transport, stream = MemoryTransport(clock=clock), settings(keep_age=60 * SECOND, delivery=Delivery.QUEUE)
    await (await transport.open_sink(stream)).send(dated(clock, 59, 58, 0))
    source = await transport.open_source(stream, Oldest())
    assert values((await source.read(limit=1)).messages) == [b"59"]
    clock.now += 3 * SECOND
    assert values((await source.read()).messages) == [b"0"]
    extent = await transport.extent(stream)
    assert (extent.messages, extent.dropped) == (0, 1)


async def test_what_gets_too_old_in_hand_is_dropped_when_it_comes_back() -> None:
    clock = Clock()
    transport, stream = MemoryTransport(clock=clock), settings(keep_age=60 * SECOND, delivery=Delivery.QUEUE)
    await (await transport.open_sink(stream)).send(dated(clock, 59, 0))
    first = await transport.open_source(stream, Oldest())
    assert len((await first.read()).messages) == 2
    clock.now += 3 * SECOND
    await first.close()
    second = await transport.open_source(stream, Oldest())
    assert values((await second.read()).messages) == [b"0"]
    assert (await transport.extent(stream)).dropped == 1


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_jump_of_the_wall_clock_makes_no_read_return_early_or_late(
    hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, stream = MemoryTransport(), settings()
    source = await transport.open_source(stream, Newest())
    brief, patient = asyncio.ensure_future(source.read(wait=0.02)), asyncio.ensure_future(source.read(wait=1800))
    await settled()
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + hours * 3600 * SECOND)
    async with asyncio.timeout(PATIENCE):
        assert not (await brief).messages
        assert not patient.done()
        await (await transport.open_sink(stream)).send(messages(1))
        assert values((await patient).messages) == [b"0"]


async def test_a_clock_that_goes_back_keeps_what_is_there() -> None:
    clock = Clock()
    transport, stream = MemoryTransport(clock=clock), settings(keep_age=60 * SECOND)
    await (await transport.open_sink(stream)).send(dated(clock, 61, 30))
    clock.now -= 3600 * SECOND
    assert (await transport.extent(stream)).messages == 2


# Where to start


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Oldest(), [b"2", b"3", b"4"]),
        (Newest(), []),
        (Last(0), []),
        (Last(2), [b"3", b"4"]),
        (Last(100), [b"2", b"3", b"4"]),
        (Since(3), [b"3", b"4"]),
        (Since(0), [b"2", b"3", b"4"]),
        (Since(2**63 - 1), []),
    ],
)
async def test_a_start_means_a_place_among_what_is_kept(start: Any, expected: list[bytes]) -> None:
    transport, stream = MemoryTransport(), settings(keep_messages=3)
    await (await transport.open_sink(stream)).send([Message(value=b"%d" % n, timestamp=n) for n in range(5)])
    source = await transport.open_source(stream, start)
    batch = await source.read(wait=0)
    assert (values(batch.messages), batch.missed) == (expected, 0)


async def test_a_place_before_what_is_kept_tells_how_much_is_missing_and_one_beyond_waits() -> None:
    transport, stream = MemoryTransport(), settings(keep_messages=3)
    sink = await transport.open_sink(stream)
    epoch = (await sink.send(messages(5))).epoch
    before = await transport.open_source(stream, At(Position.single(epoch, 1)))
    batch = await before.read()
    assert (values(batch.messages), batch.missed) == ([b"2", b"3", b"4"], 1)
    beyond = await transport.open_source(stream, At(Position.single(epoch, 10**18)))
    assert await nothing_more(beyond)
    await sink.send(messages(1, first=5))
    assert values((await beyond.read()).messages) == [b"5"]


async def test_each_life_of_a_stream_has_an_epoch_of_its_own() -> None:
    epochs = {(await (await MemoryTransport().open_sink(settings())).send(messages(1))).epoch for _ in range(20)}
    assert len(epochs) == 20


# Queues


async def test_a_reader_keeps_what_it_took_later_than_what_it_committed() -> None:
    transport, stream = MemoryTransport(), settings(delivery=Delivery.QUEUE)
    await (await transport.open_sink(stream)).send(messages(6))
    leaving, staying = [await transport.open_source(stream, Oldest()) for _ in range(2)]
    await leaving.read(limit=3)
    second = await staying.read(limit=3)
    await leaving.close()
    assert values((await staying.read()).messages) == [b"0", b"1", b"2"]  # after the other three
    await staying.commit(second.position)
    await staying.close()
    again = await transport.open_source(stream, Oldest())
    assert values(await collect(again, 3)) == [b"0", b"1", b"2"]
    assert await nothing_more(again)


async def test_a_reader_that_waits_gets_what_another_gave_back() -> None:
    transport, stream = MemoryTransport(), settings(delivery=Delivery.QUEUE)
    await (await transport.open_sink(stream)).send(messages(2))
    leaving, waiting = [await transport.open_source(stream, Oldest()) for _ in range(2)]
    await leaving.read()
    reading = asyncio.ensure_future(waiting.read())
    await settled()
    await leaving.close()
    async with asyncio.timeout(PATIENCE):
        assert values((await reading).messages) == [b"0", b"1"]


async def test_readers_that_come_and_go_leave_nothing_behind() -> None:
    transport, stream = MemoryTransport(), settings(delivery=Delivery.QUEUE)
    sink = await transport.open_sink(stream)
    for number in range(50):
        source = await transport.open_source(stream, Oldest())
        await sink.send(messages(1, first=number))
        batch = await source.read()
        await source.commit(batch.position)
        await source.close()
        await source.commit(batch.position)  # too late to count
    ledger = transport._stream(stream).ledger
    assert ledger is not None
    assert (ledger._out, ledger.waiting(50)) == ({}, 0)


# Overflow


async def blocked() -> tuple[MemoryTransport, StreamSettings, MemorySink, asyncio.Future[Any]]:
    """A full stream that blocks, and a publisher that waits for room for two."""
    transport = MemoryTransport()
    stream = settings(keep_messages=3, overflow=Overflow.BLOCK, delivery=Delivery.QUEUE)
    sink = await transport.open_sink(stream)
    await sink.send(messages(3))
    waiting = asyncio.ensure_future(sink.send(messages(2, first=3)))
    await settled()
    assert not waiting.done()
    return transport, stream, sink, waiting


async def test_room_is_made_by_a_commit_and_not_by_a_read() -> None:
    transport, stream, _, waiting = await blocked()
    source = await transport.open_source(stream, Oldest())
    batch = await source.read(limit=2)
    await settled()
    assert not waiting.done()
    await source.commit(batch.position)
    async with asyncio.timeout(PATIENCE):
        assert list((await waiting).offsets) == [3, 4]
    assert values((await source.read()).messages) == [b"2", b"3", b"4"]


async def test_room_is_made_by_age_without_anybody_reading() -> None:
    transport = MemoryTransport()
    stream = settings(keep_messages=3, keep_age=60 * SECOND, overflow=Overflow.BLOCK, delivery=Delivery.QUEUE)
    sink = await transport.open_sink(stream)
    nearly = time.time_ns() - 60 * SECOND + SECOND // 20  # too old in a moment
    await sink.send([Message(value=b"old", timestamp=nearly)] * 3)
    async with asyncio.timeout(PATIENCE):
        assert list((await sink.send(messages(2))).offsets) == [3, 4]
    assert (await transport.extent(stream)).dropped == 3


async def test_a_publisher_that_waits_is_told_when_its_sink_or_the_transport_closes() -> None:
    for close in (lambda transport, sink: sink.close(), lambda transport, sink: transport.close()):
        transport, _, sink, waiting = await blocked()
        await close(transport, sink)
        await raises(StreamClosed, waiting)


async def test_a_publisher_that_leaves_while_it_waits_publishes_nothing_more() -> None:
    transport, stream, _, waiting = await blocked()
    waiting.cancel()
    await settled()
    source = await transport.open_source(stream, Oldest())
    await source.commit((await source.read()).position)
    await settled()
    assert (await transport.extent(stream)).messages == 0


async def test_publishers_that_wait_each_keep_their_order() -> None:
    transport, stream, sink, waiting = await blocked()
    others = [asyncio.ensure_future(sink.send(messages(20, first=first))) for first in (100, 200)]
    source = await transport.open_source(stream, Oldest())
    got: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while len(got) < 45:
            batch = await source.read(limit=2)
            got += values(batch.messages)
            await source.commit(batch.position)
        receipts = [await sending for sending in (waiting, *others)]
    for first, count, receipt in ((3, 2, receipts[0]), (100, 20, receipts[1]), (200, 20, receipts[2])):
        assert [number for number in map(int, got) if first <= number < first + count] == [*range(first, first + count)]
        assert [got[offset] for offset in receipt.offsets] == values(messages(count, first=first))


@pytest.mark.parametrize("overflow", [Overflow.BLOCK, Overflow.REJECT])
async def test_a_broadcast_stream_without_named_readers_drops_its_oldest(overflow: Overflow) -> None:
    transport, stream = MemoryTransport(), settings(keep_messages=3, overflow=overflow)
    sink = await transport.open_sink(stream)
    await transport.open_source(stream, Oldest())
    for number in range(5):
        await sink.send(messages(1, first=number))
    source = await transport.open_source(stream, Oldest())
    assert values((await source.read()).messages) == [b"2", b"3", b"4"]


async def test_a_batch_larger_than_a_stream_that_rejects_is_always_refused() -> None:
    sink = await MemoryTransport().open_sink(settings(keep_messages=3, overflow=Overflow.REJECT))
    await raises(StreamFull, sink.send(messages(4)))


# Settings that change while the transport lives, as at a reload


async def test_a_stream_whose_settings_change_goes_on_with_what_it_keeps() -> None:
    transport = MemoryTransport()
    sink = await transport.open_sink(settings(keep_messages=10))
    epoch = (await sink.send(messages(6))).epoch
    smaller = settings(keep_messages=4)
    assert list((await (await transport.open_sink(smaller)).send(messages(1, first=6))).offsets) == [6]
    source = await transport.open_source(smaller, At(Position.single(epoch, 1)))
    batch = await source.read()
    assert (values(batch.messages), batch.missed) == (values(messages(4, first=3)), 2)


async def test_a_stream_that_becomes_a_queue_hands_out_what_it_keeps_and_dropped_nothing() -> None:
    transport = MemoryTransport()
    await (await transport.open_sink(settings(keep_messages=3))).send(messages(5))
    queue = settings(keep_messages=3, delivery=Delivery.QUEUE)
    await transport.open_sink(queue)
    source = await transport.open_source(queue, Oldest())
    assert values((await source.read()).messages) == [b"2", b"3", b"4"]
    assert (await transport.extent(queue)).dropped == 0


async def test_a_queue_that_gets_smaller_counts_what_it_drops() -> None:
    transport = MemoryTransport()
    await (await transport.open_sink(settings(keep_messages=5, delivery=Delivery.QUEUE))).send(messages(5))
    smaller = settings(keep_messages=2, delivery=Delivery.QUEUE)
    await transport.open_sink(smaller)
    extent = await transport.extent(smaller)
    assert (extent.messages, extent.dropped) == (2, 3)


async def test_a_queue_that_becomes_a_broadcast_stream_shows_all_it_keeps() -> None:
    transport = MemoryTransport()
    await (await transport.open_sink(settings(delivery=Delivery.QUEUE))).send(messages(2))
    await transport.open_sink(settings())
    for _ in range(2):
        source = await transport.open_source(settings(), Oldest())
        assert values((await source.read()).messages) == [b"0", b"1"]


async def test_a_stream_that_gets_larger_lets_a_waiting_publisher_go_on() -> None:
    transport, _, _, waiting = await blocked()
    await transport.open_sink(settings(keep_messages=9, overflow=Overflow.BLOCK, delivery=Delivery.QUEUE))
    async with asyncio.timeout(PATIENCE):
        assert list((await waiting).offsets) == [3, 4]


# What can be seen from outside


def test_a_stream_shows_itself() -> None:
    transport = MemoryTransport()
    assert repr(transport._stream(settings("assets"))) == "<memory stream assets: <Ring: 0 of 10000 kept, 0..0>>"


async def test_reading_takes_no_turn_of_the_loop_that_it_does_not_need() -> None:
    """What is there is given at once: a poller with wait=0 never blocks."""
    transport, stream = MemoryTransport(), settings()
    await (await transport.open_sink(stream)).send(messages(3))
    source = await transport.open_source(stream, Oldest())
    assert values(run(lambda: source.read(wait=0)).messages) == [b"0", b"1", b"2"]
    assert run(lambda: source.read(wait=0)).messages == []


def run(make: Callable[[], Any]) -> Any:
    """Run a coroutine that never waits."""
    coroutine = make()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("it waited")
