"""The news: whoever waits for a command to come to a state hears of it, also when another gate brought it there."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from headgate.core.command_status import Status
from headgate.errors import HeadgateError
from headgate.runtime.gather import Gather
from headgate.runtime.tasks import Tasks
from headgate.store.commands import CommandRow
from headgate.transport.bell import Bell, Deadline

_LOOK_OFTEN, _LOOK_SELDOM = 0.25, 2.0  # seconds: when another gate keeps the book, or when we do


class News:
    """Wakes those who wait. What another gate wrote is looked up now and then, all that is waited for in one query."""

    def __init__(
        self,
        find: Callable[[Sequence[str]], Awaitable[Sequence[CommandRow]]],
        tasks: Tasks,
        comes_from_here: Callable[[], bool],
    ) -> None:
        self._find, self._comes_from_here = find, comes_from_here
        self._finding = Gather("look commands up", self._look_up, tasks)
        self.asked = Bell()  # rung when somebody wants to know
        self._waiting: dict[str, set[asyncio.Future[Status]]] = defaultdict(set)

    def __repr__(self) -> str:
        return f"<News: {len(self._waiting)} commands waited for>"

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def find(self, request_id: str) -> CommandRow | None:
        """The row of a command. May raise `Unavailable`."""
        return await self._finding.do(request_id)

    async def _look_up(self, request_ids: Sequence[str]) -> Sequence[CommandRow | None]:
        found = {row.request_id: row for row in await self._find(list(dict.fromkeys(request_ids)))}
        return [found.get(request_id) for request_id in request_ids]

    def tell(self, changes: Iterable[tuple[str, Status]]) -> None:
        """Commands came to these states, and that is kept."""
        if not self._waiting:
            return
        for request_id, status in changes:
            for reply in self._waiting.get(request_id, ()):
                if not reply.done():
                    reply.set_result(status)

    async def wait(self, request_id: str, floor: Status, seconds: float) -> Status | None:
        """The state of a command, as soon as it is this one or a later one; None when the time is over before."""
        deadline = Deadline(seconds)
        while True:
            with _Waiting(self._waiting, request_id) as reply:
                self.asked.ring()
                row = await self._find_if_it_can(request_id)
                if row is not None and row.status >= floor:
                    return row.status
                left = deadline.left() or 0.0
                if not left:
                    return None
                look = _LOOK_SELDOM if self._comes_from_here() else _LOOK_OFTEN
                await asyncio.wait([reply], timeout=min(left, look))
                if reply.done() and reply.result() >= floor:
                    return reply.result()

    async def _find_if_it_can(self, request_id: str) -> CommandRow | None:
        try:
            return await self.find(request_id)
        except HeadgateError:
            return None  # the database is away: it may be told all the same


class _Waiting:
    """One who waits for a command, while the block lasts."""

    def __init__(self, waiting: dict[str, set["asyncio.Future[Status]"]], request_id: str) -> None:
        self._all, self._id = waiting, request_id
        self._reply: asyncio.Future[Status] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> "asyncio.Future[Status]":
        self._all[self._id].add(self._reply)
        return self._reply

    def __exit__(self, *_: object) -> None:
        self._all[self._id].discard(self._reply)
        if not self._all[self._id]:
            del self._all[self._id]
