"""The bell wakes all who wait and loses no ring; deadlines know nothing of the wall clock."""

import asyncio
import gc
import time
from collections.abc import Callable

import pytest

from headgate.testing.transport import PATIENCE
from headgate.transport.bell import Bell, Deadline

HOUR = 3600


@pytest.fixture(params=[HOUR, -HOUR], ids=["an hour ahead", "an hour back"])
def jump(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and the wall clock jumps."""
    now, now_ns = time.time, time.time_ns

    def jump() -> None:
        monkeypatch.setattr(time, "time", lambda: now() + request.param)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + request.param * 1_000_000_000)

    return jump


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_ring_wakes_all_who_wait() -> None:
    bell = Bell()
    waiting = [asyncio.ensure_future(bell.wait(seconds)) for seconds in (None, PATIENCE, None)]
    await settled()
    bell.ring()
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*waiting) == [True, True, True]


async def test_a_ring_that_nobody_waits_for_is_over() -> None:
    bell = Bell()
    bell.ring()
    assert not await bell.wait(0)
    assert not await bell.wait(0.001)


async def test_a_ring_after_a_look_and_before_the_wait_begins_to_wait_is_heard() -> None:
    """As long as there is no await between looking and waiting."""
    bell, box, heard = Bell(), [], asyncio.Event()

    async def consumer() -> None:
        while not box:
            await bell.wait()
        heard.set()

    for turns in range(5):
        box.clear()
        heard.clear()
        task = asyncio.ensure_future(consumer())
        for _ in range(turns):
            await asyncio.sleep(0)
        box.append(turns)
        bell.ring()
        async with asyncio.timeout(PATIENCE):
            await heard.wait()
        await task


async def test_who_waits_too_long_gives_up_and_leaves_the_others() -> None:
    bell = Bell()
    patient = asyncio.ensure_future(bell.wait())
    assert not await bell.wait(0.001)
    assert not patient.done()
    bell.ring()
    assert await patient


async def test_who_is_cancelled_leaves_the_others() -> None:
    bell = Bell()
    leaving, patient = [asyncio.ensure_future(bell.wait(seconds)) for seconds in (PATIENCE, None)]
    await settled()
    leaving.cancel()
    await settled()
    assert leaving.cancelled()
    bell.ring()
    assert await patient


@pytest.mark.parametrize("seconds", [None, PATIENCE])
async def test_a_cancellation_that_comes_with_the_ring_is_not_swallowed(seconds: float | None) -> None:
    bell = Bell()
    for turns in range(4):
        task = asyncio.ensure_future(bell.wait(seconds))
        await settled()
        bell.ring()
        for _ in range(turns):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() or was_done


async def test_who_waited_leaves_nothing_behind() -> None:
    bell = Bell()
    for _ in range(100):
        await bell.wait(0)
    assert bell._waiting is not None
    gc.collect()
    assert not bell._waiting._callbacks


async def test_a_deadline_counts_down_to_zero() -> None:
    deadline = Deadline(0.001)
    assert 0 < (deadline.left() or 0) <= 0.001
    await asyncio.sleep(0.002)
    assert deadline.left() == 0
    assert Deadline(0).left() == 0
    assert Deadline(None).left() is None


async def test_a_jump_of_the_wall_clock_moves_no_deadline(jump: Callable[[], None]) -> None:
    near, far = Deadline(0), Deadline(60)
    jump()
    assert near.left() == 0
    assert 59 < (far.left() or 0) <= 60


async def test_a_jump_of_the_wall_clock_wakes_nobody_and_keeps_nobody(jump: Callable[[], None]) -> None:
    bell = Bell()
    patient, brief = asyncio.ensure_future(bell.wait(HOUR / 2)), asyncio.ensure_future(bell.wait(0.01))
    await settled()
    jump()
    async with asyncio.timeout(PATIENCE):
        assert not await brief
    assert not patient.done()
    bell.ring()
    assert await patient
