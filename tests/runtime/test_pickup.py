"""The pick-up counter: pollers share a queue, and nobody's share is lost."""

import asyncio
from contextlib import AbstractAsyncContextManager

from headgate.core.message import Message
from headgate.runtime.pickup import Pickup
from headgate.runtime.stream import Stream
from headgate.testing.transport import PATIENCE, messages, values
from headgate.transport.base import Delivery
from tests.runtime.streams import streams


async def taken(pickup: Pickup, limit: int = 10) -> list[bytes]:
    parcel = await pickup.take(limit, 0)
    await pickup.delivered(parcel)
    return values(parcel.messages)


def queue() -> AbstractAsyncContextManager[dict[str, Stream]]:
    return streams("q", codec="raw", delivery=Delivery.QUEUE)


async def test_pollers_get_disjoint_parcels() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(5))
        assert await taken(pickup, 3) == [b"0", b"1", b"2"]
        assert await taken(pickup, 3) == [b"3", b"4"]
        assert await taken(pickup) == []


async def test_a_parcel_that_comes_back_is_the_next_pollers() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        lost = await pickup.take(2, 0)
        pickup.give_back(lost)
        assert await taken(pickup) == [b"0", b"1"]
        assert await taken(pickup) == [b"2", b"3"]


async def test_what_is_delivered_is_committed_in_order() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        first, second = await pickup.take(2, 0), await pickup.take(2, 0)
        await pickup.delivered(second)
        await pickup.close()  # the gate ends while the first is still on its way
        again = Pickup(made["q"])
        assert [await taken(again), await taken(again)] == [values(first.messages), values(second.messages)]


async def test_a_delivered_parcel_does_not_come_again() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        await made["q"].publish(messages(4))
        assert await taken(pickup, 2) == [b"0", b"1"]
        await pickup.close()
        assert await taken(Pickup(made["q"])) == [b"2", b"3"]


async def test_a_poller_that_does_not_wait_is_not_held_by_one_that_does() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        patient = asyncio.ensure_future(pickup.take(1, PATIENCE))
        await asyncio.sleep(0)
        assert await taken(pickup) == []
        await made["q"].publish([Message(value=b"x")])
        assert values((await patient).messages) == [b"x"]


async def test_a_poller_waits_no_longer_than_it_asked_for() -> None:
    async with queue() as made:
        pickup = Pickup(made["q"])
        patient = asyncio.ensure_future(pickup.take(1, PATIENCE))
        await asyncio.sleep(0)
        assert not (await pickup.take(1, 0.01)).messages
        patient.cancel()
