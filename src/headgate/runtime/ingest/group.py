"""The group: messages that come one by one are committed together, each with an outcome of its own.

There is no timer: while one group is being committed the next one gathers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from headgate.core.entity import Fault
from headgate.core.page import Page
from headgate.errors import Busy, HeadgateError, Unavailable, Uncertain
from headgate.runtime.ingest.database import Database
from headgate.runtime.ingest.keeping import Keeping
from headgate.runtime.ingest.settled import Settled
from headgate.runtime.tasks import Tasks
from headgate.store.base import Connection

M = TypeVar("M")
MOST_WAITING = 10_000
MOST_AT_ONCE = 2000
_BLANK = "a blank line or a comment is no message"


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one message."""

    id: int | None = None  # the key that the database made
    skipped: bool = False
    updated: bool = False


class Group(Generic[M]):
    """Messages that wait to be committed, lines or records. `read` makes a page of them, numbered from 1."""

    def __init__(
        self,
        database: Database,
        read: Callable[[Sequence[M]], Page],
        keeping: Keeping,
        tasks: Tasks,
        committed: Callable[[], None],
        *,
        with_ids: bool = False,
    ) -> None:
        self._tasks, self._committed = tasks, committed
        self._database, self._read, self._keeping, self._with_ids = database, read, keeping, with_ids
        self._waiting: list[tuple[M, asyncio.Future[Kept | Fault]]] = []
        self._task: asyncio.Task[object] | None = None

    def __repr__(self) -> str:
        return f"<Group: {len(self._waiting)} messages waiting>"

    def keep(self, message: M) -> Awaitable[Kept | Fault]:
        """Keep one message. May raise a `HeadgateError`, also when it is awaited."""
        if len(self._waiting) >= MOST_WAITING:
            raise Busy(f"{len(self._waiting)} messages wait for the database; come again in a moment")
        reply: asyncio.Future[Kept | Fault] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, reply))
        if self._task is None or self._task.done():
            self._task = self._tasks.start("commit messages", self._run())
        return reply

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._settle(batch)
        except asyncio.CancelledError:
            self._refuse(self._waiting, Unavailable("the gate is shutting down"))
            raise

    async def _settle(self, batch: Sequence[tuple[M, asyncio.Future[Kept | Fault]]]) -> None:
        try:
            outcomes = await self._kept([message for message, _ in batch])
            self._committed()
        except HeadgateError as error:
            self._refuse(batch, error)
            return
        except BaseException:
            self._refuse(batch, Unavailable("the message could not be settled; the gate's log has the reason"))
            raise
        for (_, reply), outcome in zip(batch, outcomes, strict=True):
            if not reply.done():  # its client may have gone
                reply.set_result(outcome)

    async def _kept(self, messages: Sequence[M]) -> list[Kept | Fault]:
        try:
            return await self._attempt(messages)
        except Uncertain:
            raise
        except Unavailable:
            return await self._attempt(messages)  # a session that idled may have been dead for long

    async def _attempt(self, messages: Sequence[M]) -> list[Kept | Fault]:
        async with self._database.session() as session:
            return await self._database.run(self._work, session, messages)

    def _work(self, session: Connection, messages: Sequence[M]) -> list[Kept | Fault]:
        page = self._read(messages)
        settled = self._keeping.keep_and_commit(session, page, with_ids=self._with_ids)
        return outcomes(settled, len(messages))

    def _refuse(self, batch: Sequence[tuple[M, asyncio.Future[Kept | Fault]]], error: HeadgateError) -> None:
        for _, reply in batch:
            if not reply.done():
                reply.set_exception(error)


def outcomes(settled: Settled, count: int) -> list[Kept | Fault]:
    """What became of each message, by its number from 1."""
    found: Mapping[int, Fault] = {fault.line_number: fault for fault in settled.faults}
    if settled.accepted.total() + len(found) == count and not (settled.skipped or settled.updated or settled.ids):
        return [found.get(number) or _KEPT for number in range(1, count + 1)]
    named = {number for number, _ in settled.page.messages()}
    return [found.get(number) or _kept(settled, number, number in named) for number in range(1, count + 1)]


_KEPT = Kept()


def _kept(settled: Settled, number: int, is_message: bool) -> Kept | Fault:
    if not is_message:
        return Fault(_BLANK, number, line=settled.page.text(number))
    return Kept(settled.ids.get(number), number in settled.skipped, number in settled.updated)
