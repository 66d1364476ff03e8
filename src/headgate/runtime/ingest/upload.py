"""The upload: a body on its way into the database, piece by piece, in the order of its lines."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from headgate.core.cut import Piece
from headgate.core.page import Page
from headgate.transport.bell import Bell

_AT_ONCE = 2  # pieces: one is read while the one before it is stored


class Upload:
    """Reads pieces and keeps their pages, in order. The block is left when what was put is settled."""

    def __init__(self, read: Callable[[Piece], Awaitable[Page]], keep: Callable[[Page], Awaitable[None]]) -> None:
        self._read, self._keep = read, keep
        self.change = Bell()  # rings when a piece is settled
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._reading, self._keeping = asyncio.Lock(), asyncio.Lock()  # fair: who came first goes first
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Upload: {len(self._tasks)} pieces on their way>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Whether everything that it took is kept."""
        return not self._tasks

    async def put(self, piece: Piece) -> None:
        """Take this piece; waits while there is enough to do. Raises what keeping an earlier one raised."""
        await self._slots.acquire()
        self._check()
        task = asyncio.create_task(self._settle(piece))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def settled(self) -> None:
        """Return when all that was taken is kept. Raises what keeping it raised."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._check()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.change.ring()
        if not task.cancelled():
            task.exception()  # looked at, for it is kept as the failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _settle(self, piece: Piece) -> None:
        try:
            async with self._reading:
                page = await self._read(piece)
            async with self._keeping:
                if self._failure is None:  # after a gap nothing more is kept
                    await self._keep(page)
        except Exception as error:
            self._failure = self._failure or error  # whoever puts the next one is told
            raise
        finally:
            self._slots.release()
