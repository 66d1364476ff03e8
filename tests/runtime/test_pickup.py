"""The pick-up counter: pollers share a queue, and nobody's share is lost."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from headgate.core.message import Message
from headgate.core.position import Position
from headgate.errors import StreamClosed, Unavailable
from headgate.runtime.pickup import Parcel, Pickup
from headgate.runtime.stream import Stream
from headgate.testing.transport import PATIENCE, messages, raises, values
from headgate.transport.base import Delivery, Overflow
from headgate.transport.memory import MemoryQueueSource
from tests.runtime.streams import streams


def queue(**settings: object) -> AbstractAsyncContextManager[dict[str, Stream]]:
    return streams("q", codec="raw", delivery=Delivery.QUEUE, **settings)


async def taken(pickup: Pickup, limit: int = 10, wait: float = 0) -> list[bytes]:
    """What one poller gets and receives to the end."""
    parcel = await pickup.take(limit, wait)
    found = values(parcel.messages)
    await pickup.delivered(parcel)
    return found


async def settled(count: int = 10) -> None:
    """Let every task come to where it waits."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets that are committed, as the transport sees them."""
    seen: list[int] = []
    commit = MemoryQueueSource.commit

    async def counted(self: MemoryQueueSource, position: Position) -> None:
        await asyncio.sleep(0)
        seen.append(position.offset)
        await commit(self, position)

    monkeypatch.setattr(MemoryQueueSource, "commit", counted)
    return seen


async def test_pollers_get_disjoint_parcels() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(5))
        assert await taken(pickup, 3) == [b"0", b"1", b"2"]
        assert await taken(pickup, 3) == [b"3", b"4"]
        assert await taken(pickup) == []


async def test_several_pollers_that_wait_get_each_message_once() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        got: list[bytes] = []

        async def poller() -> None:
            while len(got) < 300:
                got.extend(await taken(pickup, 7, 0.2))

        pollers = [asyncio.ensure_future(poller()) for _ in range(5)]
        for first in range(0, 300, 30):
            await made["q"].publish(messages(30, first=first))
            await settled(3)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*pollers)
        assert sorted(got, key=int) == values(messages(300))
        assert (await made["q"].extent()).messages == 0


async def test_a_parcel_that_comes_back_is_the_next_pollers() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        pickup.give_back(await pickup.take(2, 0))
        assert await taken(pickup) == [b"0", b"1"]
        assert await taken(pickup) == [b"2", b"3"]


async def test_a_parcel_that_comes_back_wakes_a_poller_that_waits() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(2))
        parcels = [await pickup.take(1, 0) for _ in range(2)]
        waiting = [asyncio.ensure_future(taken(pickup, 10, PATIENCE)) for _ in range(2)]
        await settled()
        for parcel in parcels:
            pickup.give_back(parcel)
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*waiting) == [[b"0"], [b"1"]]


async def test_a_parcel_that_comes_back_just_before_a_poller_waits_is_not_overlooked() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(1))
        for turns in range(8):  # at whichever step the poller is
            parcel = await pickup.take(1, 0)
            waiting = asyncio.ensure_future(pickup.take(1, PATIENCE))
            await settled(turns)
            pickup.give_back(parcel)
            async with asyncio.timeout(PATIENCE / 10):
                pickup.give_back(await waiting)


async def test_what_comes_back_is_given_out_within_the_limit(commits: list[int]) -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(5))
        pickup.give_back(await pickup.take(5, 0))
        first, second = await pickup.take(2, 0), await pickup.take(2, 0)
        assert [values(parcel.messages) for parcel in (first, second)] == [[b"0", b"1"], [b"2", b"3"]]
        assert await taken(pickup, 2) == [b"4"]
        pickup.give_back(second)
        await pickup.delivered(first)
        assert await taken(pickup, 1) == [b"2"]
        assert await taken(pickup, 1) == [b"3"]
        assert commits == [2, 3, 5]


async def test_part_of_a_parcel_is_committed_and_the_rest_is_not(commits: list[int]) -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(5))
        pickup.give_back(await pickup.take(5, 0))
        assert await taken(pickup, 2) == [b"0", b"1"]
        assert commits == [2]
        await pickup.close()
        assert await taken(Pickup(made["q"])) == [b"2", b"3", b"4"]


async def test_what_is_delivered_is_committed_in_order(commits: list[int]) -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(6))
        first, second, third = [await pickup.take(2, 0) for _ in range(3)]
        await pickup.delivered(third)
        await pickup.delivered(second)
        assert commits == []
        await pickup.delivered(first)
        assert commits == [6]


async def test_commits_do_not_overtake_each_other(monkeypatch: pytest.MonkeyPatch, commits: list[int]) -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        first, second = await pickup.take(2, 0), await pickup.take(2, 0)
        slow, counted = asyncio.Event(), MemoryQueueSource.commit

        async def first_is_slow(self: MemoryQueueSource, position: Position) -> None:
            if position.offset == 2:
                await slow.wait()
            await counted(self, position)

        monkeypatch.setattr(MemoryQueueSource, "commit", first_is_slow)
        both = [asyncio.ensure_future(pickup.delivered(parcel)) for parcel in (first, second)]
        await settled()
        slow.set()
        await asyncio.gather(*both)
        assert commits == [2, 4]


async def test_a_commit_that_fails_is_made_up_for_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        first, second = await pickup.take(2, 0), await pickup.take(2, 0)

        async def away(self: MemoryQueueSource, position: Position) -> None:
            raise Unavailable("away")

        with monkeypatch.context() as patched:
            patched.setattr(MemoryQueueSource, "commit", away)
            await raises(Unavailable, pickup.delivered(first))
        await pickup.delivered(second)
        await pickup.close()
        assert await taken(Pickup(made["q"])) == []


async def test_what_was_not_delivered_when_the_gate_ends_is_the_queues_again() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(6))
        assert await taken(pickup, 2) == [b"0", b"1"]
        on_its_way, came_back = await pickup.take(2, 0), await pickup.take(2, 0)
        pickup.give_back(came_back)
        await pickup.close()
        again = Pickup(made["q"])
        assert [await taken(again) for _ in range(3)] == [values(on_its_way.messages), [b"4", b"5"], []]


async def test_a_poller_that_waits_when_the_gate_ends_is_told() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        waiting = asyncio.ensure_future(pickup.take(1, PATIENCE))
        await settled()
        await pickup.close()
        await raises(StreamClosed, waiting)


async def test_a_parcel_that_waits_behind_a_slow_poller_holds_no_messages() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(10))
        await pickup.take(1, 0)
        while await taken(pickup, 1):
            pass
        assert repr(pickup) == "<Pickup q: 10 out, 0 came back>"
        assert sum(len(parcel.messages) for parcel in pickup._out) == 1


async def test_an_empty_parcel_is_nothing_to_give_back_or_to_commit(commits: list[int]) -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        empty = await pickup.take(1, 0)
        assert not empty.messages
        await pickup.delivered(empty)
        pickup.give_back(empty)
        assert (commits, repr(pickup)) == ([], "<Pickup q: 0 out, 0 came back>")


async def test_a_poller_that_does_not_wait_is_not_held_by_one_that_does() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        patient = asyncio.ensure_future(pickup.take(1, PATIENCE))
        await settled()
        assert await taken(pickup) == []
        await made["q"].publish([Message(value=b"x")])
        assert values((await patient).messages) == [b"x"]


@pytest.mark.parametrize("turns", range(16))
async def test_a_poller_that_does_not_wait_is_not_held_while_the_reader_passes_on(turns: int) -> None:
    """From one that waits to the next, at whichever step they are."""
    async with queue() as made:
        pickup = Pickup(made["q"])
        patient = [asyncio.ensure_future(pickup.take(1, PATIENCE)) for _ in range(3)]
        await settled()
        await made["q"].publish([Message(value=b"x")])
        await settled(turns)
        async with asyncio.timeout(PATIENCE / 10):
            await pickup.take(1, 0)
        for task in patient:
            task.cancel()
        await asyncio.gather(*patient, return_exceptions=True)


async def test_a_poller_waits_no_longer_than_it_asked_for() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        assert not (await pickup.take(1, 0.01)).messages
        patient = asyncio.ensure_future(pickup.take(1, PATIENCE))
        await settled()
        assert not (await pickup.take(1, 0.01)).messages
        patient.cancel()


async def test_a_poller_that_leaves_while_it_waits_holds_up_nobody() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        leaving = asyncio.ensure_future(pickup.take(1, PATIENCE))
        waiting = asyncio.ensure_future(pickup.take(1, PATIENCE))
        await settled()
        leaving.cancel()
        await settled()
        await made["q"].publish([Message(value=b"x")])
        async with asyncio.timeout(PATIENCE):
            assert values((await waiting).messages) == [b"x"]


async def test_a_full_queue_has_room_for_what_was_delivered() -> None:
    async with queue(overflow=Overflow.REJECT, keep_messages=4) as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        assert await taken(pickup, 3) == [b"0", b"1", b"2"]
        await made["q"].publish(messages(3, first=4))
        assert await taken(pickup) == [b"3", b"4", b"5", b"6"]


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_pollers_do_each_message_is_delivered_once(seed: int) -> None:
    """Pollers with any limit, some of which leave: what is delivered is all there was, and each once."""
    dice = random.Random(seed)
    async with queue() as made:
        pickup = Pickup(made["q"])
        held: list[Parcel] = []
        delivered: list[bytes] = []
        published = 0

        async def deliver(parcel: Parcel) -> None:
            delivered.extend(values(parcel.messages))
            await pickup.delivered(parcel)

        def one_of(parcels: Sequence[Parcel]) -> Parcel:
            return held.pop(dice.randrange(len(parcels)))

        for _ in range(200):
            act = dice.random()
            if act < 0.3:
                await made["q"].publish(messages(count := dice.randint(1, 9), first=published))
                published += count
            elif act < 0.6:
                held.append(await pickup.take(dice.randint(1, 6), dice.choice([0, 0.001])))
            elif act < 0.8 and held:
                await deliver(one_of(held))
            elif held:
                pickup.give_back(one_of(held))
        for parcel in held:
            pickup.give_back(parcel)
        while (parcel := await pickup.take(6, 0)).messages:
            await deliver(parcel)
        assert sorted(delivered, key=int) == values(messages(published))
        await pickup.close()
        assert await taken(Pickup(made["q"])) == []
