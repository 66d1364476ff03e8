"""The feed: messages of a stream are kept, each exactly once, for its place moves in the same transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headgate.core.cut import Piece
from headgate.core.page import Page
from headgate.core.position import At, Batch, Oldest, Position
from headgate.errors import HeadgateError, StreamClosed
from headgate.runtime.ingest.database import Database
from headgate.runtime.ingest.keeping import Keeping
from headgate.runtime.ingest.settled import Settled
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import backoff
from headgate.store.base import Connection

logger = logging.getLogger("headgate.ingest")
MOST_AT_ONCE = 5000
_SCOPE = "feed"


class _Overtaken(Exception):
    """Another gate moved the place on."""


class Feed:
    """Keeps what comes in a stream. Of several gates that do so one is first, and the others go on from there."""

    def __init__(
        self,
        path: str,
        stream: Stream,
        database: Database,
        read: Callable[[Piece], Page],
        keeping: Keeping,
        bury: Callable[[Settled], Awaitable[None]],
        kept: Callable[[Settled], None],
    ) -> None:
        self._name = f"{path} < {stream.name}"
        self._stream, self._database, self._read = stream, database, read
        self._keeping, self._bury, self._kept = keeping, bury, kept

    def __repr__(self) -> str:
        return f"<Feed {self._name}>"

    async def run(self) -> None:
        """Keep what comes until the stream is closed."""
        attempt = 0
        while True:
            try:
                await self._follow()
            except StreamClosed:
                return
            except _Overtaken:
                attempt = 0
            except HeadgateError as error:
                attempt += 1
                if attempt == 1:
                    logger.warning("the feed waits", extra={"feed": self._name, "reason": str(error)})
                await asyncio.sleep(backoff(attempt, most=5.0))

    async def _follow(self) -> None:
        async with self._database.session() as session:
            place = await self._database.run(session.note, _SCOPE, self._name)
        start = Oldest() if place is None else At(Position.parse(place.decode()))
        async with self._stream.subscribe(start) as subscription:
            while True:
                batch = await subscription.take(MOST_AT_ONCE)
                if batch.missed:
                    told = {"feed": self._name, "missed": batch.missed}
                    logger.error("messages fell out of the stream before they were kept", extra=told)
                place = await self._keep(batch, place)

    async def _keep(self, batch: Batch, place: bytes | None) -> bytes:
        page = await self._database.run(self._read, Piece(self._lines(batch), 1))
        after = str(batch.position).encode()
        async with self._database.session() as session:
            settled = await self._database.run(self._put, session, page, place, after)
            await self._bury(settled)  # before the commit: a dead letter that comes twice is better than none
            await self._database.run(session.commit)
        self._kept(settled)
        return after

    def _put(self, session: Connection, page: Page, place: bytes | None, after: bytes) -> Settled:
        if not session.take_note(_SCOPE, self._name, after, place):
            raise _Overtaken
        return self._keeping.keep(session, page)

    def _lines(self, batch: Batch) -> bytes:
        values = [message.value for message in batch.messages]
        if self._stream.codec.content_type == "application/json":
            values = [value.replace(b"\n", b" ") for value in values]  # in JSON, a break is no part of any value
        return b"\n".join(values)
