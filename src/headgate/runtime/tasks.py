"""The tasks: one owner that starts them, restarts what fails, and ends them all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self

logger = logging.getLogger("headgate.tasks")


class Tasks:
    """Owns every task of the gate. Leaving the block cancels what is left and waits for it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Tasks: {sorted(task.get_name() for task in self._running)}>"

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self, name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run this until it ends. An error is logged with its traceback and ends only this task."""
        task = asyncio.get_running_loop().create_task(self._guard(name, work), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began
        return task

    async def _guard(self, name: str, work: Coroutine[Any, Any, object]) -> object:
        try:
            return await work
        except Exception:
            logger.exception("task failed", extra={"task": name})
            return None

    async def stop(self) -> None:
        """Cancel all and wait until they are gone."""
        while self._running:
            for task in list(self._running):
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel one task and wait until it is gone."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def is_cancelled() -> bool:
    """This task was cancelled, other than a user's function that let a cancellation of its own escape."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Idle:
    """Around waits that a stop cuts short. Everything else is finished first."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)

    def __exit__(self, *_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.discard(task)

    def interrupt(self) -> None:
        """Cancel those who wait."""
        for task in self._waiting:
            task.cancel()


def backoff(attempt: int, *, first: float = 0.1, most: float = 10.0) -> float:
    """How long to wait before this attempt (from 1): doubling, up to `most`."""
    return float(min(most, first * 2 ** min(attempt - 1, 30)))


async def finish_or_cancel(work: Awaitable[Any], stop: Callable[[], Awaitable[object]]) -> Any:
    """The result of `work`, unless `stop` comes first: then `work` is cancelled and None is the answer.

    Work that comes to its end in spite of that has a result all the same.
    """
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
    return None if working.cancelled() else working.result()
