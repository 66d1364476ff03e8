"""The database: a store whose calls block, used from the loop. Sessions are lent, and those that broke are let go."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from headgate.core.entity import Entity
from headgate.errors import HeadgateError, SchemaRefusal, Unavailable
from headgate.runtime.tasks import Tasks, backoff
from headgate.store.base import Connection, Store

T = TypeVar("T")
logger = logging.getLogger("headgate.database")
_STALE = 5.0  # seconds after which an idle session is looked at before it is lent
_THREADS = 8
_PATIENCE = 5.0  # seconds for those who have a session when it is closed


class Database:
    """One store, prepared for its entities."""

    def __init__(self, store: Store, entities: Sequence[Entity]) -> None:
        self.store = store
        self.entities = tuple(entities)
        self.trouble: str | None = "not connected yet"
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="headgate-database")
        self._free = asyncio.Semaphore(store.most_sessions)
        self._lent = 0
        self._idle: list[tuple[float, Connection]] = []
        self._prepared = asyncio.Event()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Database: {self.trouble or 'connected'}, {len(self._idle)} sessions idle>"

    async def open(self, tasks: Tasks) -> None:
        """Prepare the tables; when the database is away, go on trying beside. May raise a `SchemaRefusal`."""
        try:
            await self._prepare()
        except Unavailable as error:
            self._note(error)
            tasks.start("prepare the database", self._prepare_in_time())

    async def ready(self) -> None:
        """Return when the tables are there."""
        await self._prepared.wait()

    async def follow(self, entities: Sequence[Entity]) -> None:
        """Let the tables grow with entities that changed. May raise a `HeadgateError`."""
        await self.run(self.store.prepare, tuple(entities))
        self.entities = tuple(entities)

    async def _prepare(self) -> None:
        await self.run(self.store.prepare, self.entities)
        self.trouble = None
        self._prepared.set()

    async def _prepare_in_time(self) -> None:
        attempt = 0
        while not self._prepared.is_set():
            attempt += 1
            await asyncio.sleep(backoff(attempt, first=0.5, most=5.0))
            try:
                await self._prepare()
            except SchemaRefusal as error:
                self.trouble = str(error)
                logger.error("the tables cannot follow the entities", extra={"reason": str(error)})
                return
            except HeadgateError as error:
                self._note(error)
        logger.info("the database is connected")

    def _note(self, error: HeadgateError) -> None:
        if self.trouble != str(error):
            logger.warning("the database is away", extra={"reason": str(error)})
        self.trouble = str(error)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do this in a thread. When the caller is cancelled, it is done all the same before that goes on."""
        doing = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            if not doing.cancelled():
                doing.exception()  # it was asked for: nobody else will
            raise

    @asynccontextmanager
    async def spare_session(self) -> AsyncIterator[Connection | None]:
        """A session, if there are enough for those who cannot go on without one; else None."""
        if self._closed or self._lent >= self.store.most_sessions // 2 or not self._prepared.is_set():
            yield None
            return
        async with self.session() as session:
            yield session

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A session of one's own while the block lasts. What is not committed in it is undone."""
        if self._closed:
            raise Unavailable("this database is not used any more; try again")
        if not self._prepared.is_set():
            raise Unavailable(f"the database cannot be used: {self.trouble}")
        async with self._free:
            self._lent += 1
            try:
                async with self._lent_out() as session:
                    yield session
            finally:
                self._lent -= 1

    @asynccontextmanager
    async def _lent_out(self) -> AsyncIterator[Connection]:
        session = await self._lend()
        try:
            yield session
            if session.is_open:
                await self.run(session.rollback)
        except Unavailable as error:
            await self._broke(session, error)
            raise
        except BaseException:
            await self._take_back(session)
            raise
        self._idle.append((time.monotonic(), session))

    async def _lend(self) -> Connection:
        while self._idle:
            since, session = self._idle.pop()
            if time.monotonic() - since < _STALE or await self._is_alive(session):
                return session
            await self.run(session.close)
        try:
            session = await self._connect()
        except Unavailable as error:
            self._note(error)
            raise
        self.trouble = None
        return session

    async def _connect(self) -> Connection:
        made: list[Connection] = []
        try:
            await self.run(lambda: made.append(self.store.connect()))
        except asyncio.CancelledError:
            for session in made:  # nobody is there any more to have it
                await self.run(session.close)
            raise
        return made[0]

    async def _is_alive(self, session: Connection) -> bool:
        try:
            await self.run(session.note, "alive", "?")
            await self.run(session.rollback)
        except HeadgateError:
            return False
        return True

    async def _take_back(self, session: Connection) -> None:
        try:
            await self.run(session.rollback)
        except HeadgateError as error:
            await self._broke(session, error)
        else:
            self._idle.append((time.monotonic(), session))

    async def _broke(self, session: Connection, error: HeadgateError) -> None:
        self._note(error)
        await self.run(session.close)
        await self._close_idle()  # what broke one has broken them all, or they are made again

    async def _close_idle(self) -> None:
        while self._idle:
            _, session = self._idle.pop()
            await self.run(session.close)

    async def probe(self) -> str | None:
        """Look whether the database answers; what is wrong, or None."""
        try:
            async with self.session() as session:
                await self.run(session.note, "alive", "?")
        except HeadgateError as error:
            return str(error)
        self.trouble = None
        return None

    async def close(self) -> None:
        """End all sessions and the store, when those who have one gave it back; some have to be left to themselves."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for _ in range(self.store.most_sessions):
                    await self._free.acquire()
        await self._close_idle()
        await self.run(self.store.close)
        self._threads.shutdown()
