"""The tasks: one owner, nothing left behind, and no cancellation that loses what was done."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.runtime.tasks import Tasks, backoff, cancel, finish_or_cancel
from headgate.testing.transport import PATIENCE


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_leaving_the_block_ends_every_task() -> None:
    before = asyncio.all_tasks()
    async with Tasks() as tasks:
        started = [tasks.start(f"t{n}", forever()) for n in range(3)]
        await asyncio.sleep(0)
        assert len(tasks) == 3
    assert all(task.cancelled() for task in started)
    assert len(tasks) == 0
    assert asyncio.all_tasks() == before


async def test_a_task_that_never_began_is_ended_without_a_warning() -> None:
    async with Tasks() as tasks:
        tasks.start("too late", forever())


async def test_a_task_that_ends_is_forgotten_and_has_its_result() -> None:
    async def work() -> int:
        return 5

    async with Tasks() as tasks:
        task = tasks.start("work", work())
        assert await task == 5
        await asyncio.sleep(0)
        assert len(tasks) == 0


async def test_an_error_ends_one_task_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("broken")

    async with Tasks() as tasks:
        other = tasks.start("other", forever())
        assert await tasks.start("fails", fail()) is None
        assert not other.done()
    [record] = caplog.records
    assert (record.message, record.__dict__["task"]) == ("task failed", "fails")
    assert record.exc_info is not None


async def test_a_task_that_starts_another_while_it_is_cancelled_leaves_none() -> None:
    async with Tasks() as tasks:

        async def stubborn() -> None:
            try:
                await forever()
            finally:
                tasks.start("last wish", forever())

        tasks.start("stubborn", stubborn())
        await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_tasks_show_themselves() -> None:
    async with Tasks() as tasks:
        tasks.start("b", forever())
        tasks.start("a", forever())
        assert repr(tasks) == "<Tasks: ['a', 'b']>"


async def test_cancel_waits_until_the_task_is_gone() -> None:
    gone = False

    async def tidy() -> None:
        nonlocal gone
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            gone = True

    task = asyncio.ensure_future(tidy())
    await asyncio.sleep(0)
    await cancel(task)
    assert gone


@given(st.integers(1, 10_000), st.floats(0.01, 1), st.floats(1, 60))
def test_backoff_doubles_up_to_its_most(attempt: int, first: float, most: float) -> None:
    wait = backoff(attempt, first=first, most=most)
    assert first <= wait <= most
    assert wait == most or wait == first * 2 ** (attempt - 1)


def test_backoff_begins_with_a_tenth_of_a_second() -> None:
    assert [backoff(attempt) for attempt in (1, 2, 3, 8, 1000)] == [0.1, 0.2, 0.4, 10.0, 10.0]


async def test_work_that_is_done_first_gives_its_result_and_the_wait_for_a_stop_ends() -> None:
    before = asyncio.all_tasks()

    async def work() -> str:
        return "done"

    assert await finish_or_cancel(work(), forever) == "done"
    assert asyncio.all_tasks() == before


async def test_a_stop_cancels_the_work() -> None:
    work = asyncio.ensure_future(forever())
    assert await finish_or_cancel(work, lambda: asyncio.sleep(0)) is None
    assert work.cancelled()


async def test_work_that_ends_in_spite_of_the_stop_has_its_result() -> None:
    async def commits() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "committed"

    assert await finish_or_cancel(commits(), lambda: asyncio.sleep(0)) == "committed"


async def test_an_error_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await finish_or_cancel(fail(), forever)


async def test_who_is_cancelled_cancels_its_work() -> None:
    work = asyncio.ensure_future(forever())
    waiting: asyncio.Task[Any] = asyncio.ensure_future(finish_or_cancel(work, forever))
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await cancel(waiting)
    assert work.cancelled()
    assert waiting.cancelled()
