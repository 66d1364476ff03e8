"""The overlap: pages of one upload are offered on sessions of their own at once, and committed in their order.

A page that is refused is sorted when it is its turn. Until then those behind it take back what they hold: what it
waits for would otherwise wait for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from headgate.core.entity import Entity
from headgate.core.page import Page
from headgate.runtime.ingest.database import Database
from headgate.runtime.ingest.keeping import Keeping
from headgate.runtime.ingest.settled import Settled
from headgate.store.base import Connection


@dataclass(slots=True)
class Early:
    """A page before its turn, and the session on which it was offered."""

    page: Page
    session: Connection | None = None
    offered: Settled | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while it is offered, or taken back


class Overlap:
    """Keeps each page in a transaction of its own."""

    def __init__(self, database: Database, keeping: Keeping, tell: Callable[[Settled], Awaitable[None]]) -> None:
        self._database, self._keeping, self._tell = database, keeping, tell
        self._flight: list[Early] = []
        self._slow = False  # the first page is being sorted
        self._tables = {entity.name: _tables(entity) for entity in database.entities}

    def __repr__(self) -> str:
        return f"<Overlap: {len(self._flight)} pages in flight>"

    @asynccontextmanager
    async def early(self, page: Page) -> AsyncIterator[Early]:
        """Offer a page, if that can be done before those in front of it are kept."""
        early = Early(page)
        alone = not page.rows or self._refers_to_what_is_in_flight(page)
        self._flight.append(early)
        try:
            if alone:
                yield early
            else:
                async with self._database.spare_session() as early.session:
                    await self._offer(early)
                    yield early
        finally:
            self._flight.remove(early)

    async def _offer(self, early: Early) -> None:
        async with early.lock:
            if early.session is not None and not self._slow:
                early.offered = await self._database.run(self._keeping.offer, early.session, early.page)

    def _refers_to_what_is_in_flight(self, page: Page) -> bool:
        stored = {self._tables[rows.layout.entity][0] for early in self._flight for rows in early.page.rows}
        return any(not stored.isdisjoint(self._tables[rows.layout.entity][1]) for rows in page.rows)

    async def keep(self, early: Early) -> None:
        """Commit a page that was offered; or keep it now."""
        if early.offered is None and self._keeping.doubts:
            await self._offer(early)  # in its turn it may do better, and those behind it need not give way for that
        if early.offered is not None and early.session is not None:
            await self._database.run(early.session.commit)
            await self._tell(early.offered)
            return
        self._slow = True
        try:
            for other in self._flight:
                await self._take_back(other)
            settled = await self._keep(early)
        finally:
            self._slow = False
        await self._tell(settled)

    async def _take_back(self, early: Early) -> None:
        async with early.lock:
            early.offered = None
            if early.session is not None:
                await self._database.run(early.session.rollback)

    async def _keep(self, early: Early) -> Settled:
        if early.session is not None:
            return await self._database.run(self._keeping.keep_and_commit, early.session, early.page)
        async with self._database.session() as session:
            return await self._database.run(self._keeping.keep_and_commit, session, early.page)


class Whole:
    """Keeps all pages in the transaction of one session, which somebody else ends."""

    def __init__(
        self, database: Database, keeping: Keeping, tell: Callable[[Settled], Awaitable[None]], session: Connection
    ) -> None:
        self._database, self._keeping, self._tell, self._session = database, keeping, tell, session

    def __repr__(self) -> str:
        return f"<Whole on {self._session!r}>"

    @asynccontextmanager
    async def early(self, page: Page) -> AsyncIterator[Early]:
        """Nothing can be done before its turn."""
        yield Early(page)

    async def keep(self, early: Early) -> None:
        """Put a page into the transaction."""
        await self._tell(await self._database.run(self._keeping.keep, self._session, early.page))


def _tables(entity: Entity) -> tuple[str, frozenset[str]]:
    """The table of an entity, and those that it refers to."""
    if entity.storage is None:
        return "", frozenset()
    return entity.storage.table, frozenset(key.table for key in entity.storage.foreign_keys)
