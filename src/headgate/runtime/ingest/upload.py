"""The upload: a body on its way into the database, piece by piece, in the order of its lines."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

from headgate.core.cut import Piece
from headgate.core.page import Page
from headgate.runtime.ingest.overlap import Early
from headgate.transport.bell import Bell

_AT_ONCE = 4  # pieces: one is read while others are stored


class Keeper(Protocol):
    """Keeps the pages of an upload."""

    def early(self, page: Page) -> AbstractAsyncContextManager[Early]:
        """Do what can be done for a page before it is its turn; undone when the block is left without its turn."""
        ...

    async def keep(self, early: Early) -> None:
        """Keep the page: all before it are kept."""
        ...


class Upload:
    """Reads pieces and keeps their pages, in order. The block is left when what was put is settled."""

    def __init__(self, read: Callable[[Piece], Awaitable[Page]], keeper: Keeper) -> None:
        self._read, self._keeper = read, keeper
        self.change = Bell()  # rings when a piece is settled
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._reading = asyncio.Lock()  # fair: who came first goes first
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = asyncio.Event()  # set when the last piece so far is settled
        self._last.set()
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
        before, self._last = self._last, asyncio.Event()
        task = asyncio.create_task(self._settle(piece, before, self._last))
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

    async def _settle(self, piece: Piece, before: asyncio.Event, settled: asyncio.Event) -> None:
        try:
            async with self._reading:
                page = await self._read(piece)
            async with self._keeper.early(page) as early:
                await before.wait()
                if self._failure is None:  # after a gap nothing more is kept
                    await self._keeper.keep(early)
        except Exception as error:
            self._failure = self._failure or error  # whoever puts the next one is told
            raise
        finally:
            settled.set()
            self._slots.release()
