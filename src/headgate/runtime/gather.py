"""The gathering: what comes one by one is done together. There is no timer: while some is done, more gathers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from headgate.errors import Busy, HeadgateError, Unavailable
from headgate.runtime.tasks import Tasks

logger = logging.getLogger("headgate.tasks")
T = TypeVar("T")
R = TypeVar("R")


class Gather(Generic[T, R]):
    """Calls `work` with all that gathered, and gives everybody the outcome of their own."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        tasks: Tasks,
        *,
        most_at_once: int = 1000,
        most_waiting: int = 10_000,
    ) -> None:
        self._name, self._work, self._tasks = name, work, tasks
        self._most_at_once, self._most_waiting = most_at_once, most_waiting
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[object] | None = None

    def __repr__(self) -> str:
        return f"<Gather {self._name}: {len(self._waiting)} waiting>"

    async def do(self, item: T) -> R:
        """The outcome for this item. May raise what `work` raises."""
        if len(self._waiting) >= self._most_waiting:
            raise Busy(f"{len(self._waiting)} requests wait for the database; come again in a moment")
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, reply))
        if self._task is None or self._task.done():
            self._task = self._tasks.start(self._name, self._run())
        return await reply

    async def _run(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._most_at_once], self._waiting[self._most_at_once :]
                await self._settle(some)
        except asyncio.CancelledError:
            _refuse(self._waiting, Unavailable("the gate is shutting down"))
            raise

    async def _settle(self, some: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            outcomes = await self._work([item for item, _ in some])
        except HeadgateError as error:
            _refuse(some, error)
            return
        except Exception:
            logger.exception("what gathered could not be settled", extra={"task": self._name})
            _refuse(some, Unavailable("this could not be settled; the gate's log has the reason"))
            return
        except BaseException:
            _refuse(some, Unavailable("the gate is shutting down"))
            raise
        for (_, reply), outcome in zip(some, outcomes, strict=True):
            if not reply.done():  # whoever asked may have gone
                reply.set_result(outcome)


def _refuse(some: Sequence[tuple[T, "asyncio.Future[R]"]], error: HeadgateError) -> None:
    for _, reply in some:
        if not reply.done():
            reply.set_exception(error)
