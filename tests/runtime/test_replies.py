"""Those who wait for replies: one outcome each, nobody gets another's, and nothing is left behind."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from headgate.core.codec import JsonCodec
from headgate.core.message import Message, StreamId
from headgate.errors import Overloaded, TransportError
from headgate.runtime import replies as module
from headgate.runtime.replies import Replies, Waiter
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.transport.base import StreamSettings
from headgate.transport.memory import MemoryTransport
from tests.gates.web import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    transport = MemoryTransport()
    made = Stream(
        StreamSettings("replies", StreamId("stream", "replies"), keep_messages=200_000),
        JsonCodec(),
        transport,
        transport_name="memory",
    )
    await made.open()
    yield made
    await made.close()
    await transport.close()


@pytest.fixture
async def replies(stream: Stream) -> AsyncIterator[Replies]:
    async with Tasks() as tasks:
        found = Replies(stream)
        tasks.start("replies", found.run())
        await found.ready(5)
        yield found


def reply(replies: Replies, waiter: Waiter, value: bytes = b"1") -> Message[bytes]:
    return Message(value=value, headers=replies.headers(waiter))


async def test_a_reply_finds_who_waits(replies: Replies, stream: Stream) -> None:
    with replies.register() as one, replies.register() as other:
        await stream.publish([reply(replies, other, b"2"), reply(replies, one, b"1")])
        found = [await waiter.wait(5) for waiter in (one, other)]
        assert [message and message.value for message in found] == [b"1", b"2"]
        assert replies.in_flight == 2
    assert replies.in_flight == 0
    assert replies.facts() == {
        "registered": 2,
        "completed": 2,
        "cancelled": 0,
        "expired": 0,
        "duplicate_terminal": 0,
        "late_reply_drop": 0,
        "in_flight": 0,
    }


async def test_second_late_and_strange_replies_are_dropped_and_counted(replies: Replies, stream: Stream) -> None:
    with replies.register() as one:
        await stream.publish([reply(replies, one, b"1"), reply(replies, one, b"2")])
        first = await one.wait(5)
        assert first is not None
        assert first.value == b"1"
    with replies.register() as late:
        assert await late.wait(0.01) is None
    strange = Message(value=b"", headers=(("correlation-id", one.id.encode()), ("reply-to", b"another")))
    await stream.publish([reply(replies, one), reply(replies, late), strange, Message(value=b"")])
    await eventually(lambda: replies.stats.late_reply_drop == 1)
    assert (replies.stats.duplicate_terminal, replies.stats.expired, replies.in_flight) == (2, 1, 0)


async def test_who_is_cancelled_waits_no_longer(replies: Replies) -> None:
    async def wait() -> None:
        with replies.register() as waiter:
            await waiter.wait(60)

    waiting = [asyncio.create_task(wait()) for _ in range(10_000)]
    await eventually(lambda: replies.in_flight == 10_000)
    with pytest.raises(Overloaded):
        replies.register()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (replies.in_flight, replies.stats.cancelled) == (0, 10_000)


async def test_a_hundred_thousand_mixed_outcomes_leave_nothing(replies: Replies, stream: Stream) -> None:
    """Missing, second, late and wrongly addressed replies, and clients that go, in any order."""
    dice, seen = random.Random(8), Counter[str]()

    async def ask(number: int) -> None:
        kind = dice.choices(["answered", "missing", "twice", "late", "wrong", "gone"], [75, 5, 5, 5, 5, 5])[0]
        with replies.register() as waiter:
            mine = reply(replies, waiter, b"%d" % number)
            if kind in ("answered", "twice"):
                await stream.publish([mine] * (2 if kind == "twice" else 1))
            if kind == "wrong":
                await stream.publish([Message(value=b"", headers=(("correlation-id", waiter.id.encode()),))])
            if kind == "gone":
                seen[kind] += 1
                return
            found = await waiter.wait(10 if kind in ("answered", "twice") else 0.001)
            assert (found is not None) == (kind in ("answered", "twice"))
            assert found is None or found.value == b"%d" % number
        if kind == "late":
            await stream.publish([mine])
        seen[kind] += 1

    for first in range(0, 100_000, 1000):
        await asyncio.gather(*(ask(number) for number in range(first, first + 1000)))
    stats = replies.stats
    await eventually(lambda: stats.late_reply_drop + stats.duplicate_terminal >= seen["late"] + seen["twice"])
    assert stats.registered == seen.total() == 100_000
    assert stats.completed == seen["answered"] + seen["twice"]
    assert stats.expired == seen["missing"] + seen["late"] + seen["wrong"]
    assert (stats.cancelled, replies.in_flight) == (seen["gone"], 0)
    gc.collect()
    assert not any(isinstance(item, Waiter) for item in gc.get_objects())


async def test_while_nothing_can_be_read_nobody_waits(stream: Stream) -> None:
    with pytest.raises(TransportError, match="replies cannot be read"):
        await Replies(stream).ready(0.01)
    assert module.MOST_WAITING == 10_000
