"""The relay: what was put beside the rows, in their transaction, is published to a stream, each message once.

A message is published before it is taken out of the database, so after a crash it may be in both. Each carries its
number, and whoever takes the relay up reads the end of the stream first and takes out what is there.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass

from headgate.core.codec import json_encode
from headgate.core.message import Message
from headgate.core.position import At, Oldest, Position
from headgate.errors import HeadgateError, StreamClosed
from headgate.runtime.ingest.database import Database
from headgate.runtime.ingest.settled import Settled
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import backoff
from headgate.store.base import Connection
from headgate.transport.bell import Bell

logger = logging.getLogger("headgate.ingest")
HEADER = "headgate-outbox"
_SCOPE = "relay"
_LEASE_SECONDS = 10.0
_LOOK_SECONDS = 1.0  # for what another gate put there
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class _Lease:
    """Who relays, until when, and up to which place the stream holds nothing that is still in the database."""

    series: str  # what the numbers of this outbox are told from others' by
    owner: str
    until: float
    place: str | None

    def encode(self) -> bytes:
        return json.dumps([self.series, self.owner, self.until, self.place]).encode()


class Relay:
    """Publishes what waits in the database for a stream."""

    def __init__(self, stream: Stream, database: Database) -> None:
        self._stream, self._database = stream, database
        self._me = secrets.token_hex(8)
        self._lease: _Lease | None = None
        self._news = Bell()

    def __repr__(self) -> str:
        return f"<Relay to {self._stream.name}>"

    def post(self, session: Connection, settled: Settled) -> None:
        """Put the records of a page that are kept beside them, in the same transaction."""
        passed = {*settled.skipped, *(fault.line_number for fault in settled.faults)}
        kept = [number for number, _ in settled.page.messages() if number not in passed]
        messages = []
        for _, record in settled.page.records(kept):
            key = json_encode(list(record.key)) if len(record.key) > 1 else str(*record.key).encode()
            value = {"entity": record.entity.name, "record": dict(record.values)}
            messages.append((key or None, json_encode(value)))
        if messages:
            session.post(self._stream.name, messages)

    def ring(self) -> None:
        """Something was committed."""
        self._news.ring()

    async def run(self) -> None:
        """Publish what waits, for as long as the stream is open."""
        attempt = 0
        while True:
            rings = self._news.rings
            try:
                busy = await self._turn()
                attempt = 0
            except StreamClosed:
                return
            except HeadgateError as error:
                self._lease, busy = None, True
                attempt += 1
                if attempt == 1:
                    told = {"stream": self._stream.name, "reason": str(error)}
                    logger.warning("records that are kept wait to be published", extra=told)
                await asyncio.sleep(backoff(attempt, most=5.0))
            if not busy and rings == self._news.rings:
                await self._news.wait(_LOOK_SECONDS)

    async def _turn(self) -> bool:
        """Publish some; whether there may be more."""
        return (self._holds() or await self._take_lease()) and await self._publish()

    def _holds(self) -> bool:
        return self._lease is not None and self._lease.until - time.time() > _LEASE_SECONDS / 2

    async def _take_lease(self) -> bool:
        async with self._database.session() as session:
            known = await self._database.run(session.note, _SCOPE, self._stream.name)
            lease = None if known is None else _Lease(*json.loads(known))
            if lease and lease.owner != self._me and lease.until > time.time():
                self._lease = None
                return False
            series = lease.series if lease else secrets.token_hex(4)
            fresh = _Lease(series, self._me, time.time() + _LEASE_SECONDS, lease.place if lease else None)
            taken = await self._database.run(session.take_note, _SCOPE, self._stream.name, fresh.encode(), known)
            await self._database.run(session.commit)
        if not taken:
            return False
        is_new = self._lease is None
        self._lease = fresh
        if is_new:
            await self._recover(fresh)
        return True

    async def _recover(self, lease: _Lease) -> None:
        """Take out of the database what the stream has: whoever published it did not come to that."""
        extent = await self._stream.extent()
        start = Oldest() if lease.place is None else At(Position.parse(lease.place))
        published: set[int] = set()
        if extent.messages:
            async with self._stream.subscribe(start) as subscription:
                while True:
                    batch = await subscription.take(_AT_ONCE, wait=_LOOK_SECONDS)
                    published.update(_numbers(batch.messages, lease.series))
                    if not batch.messages or _reaches(batch.position, extent.newest):
                        break
        await self._settle(published, str(extent.newest))

    async def _publish(self) -> bool:
        lease = self._lease
        assert lease is not None
        async with self._database.session() as session:
            waiting = await self._database.run(session.posted, self._stream.name, _AT_ONCE)
        if not waiting:
            return False
        named = [
            Message(value=posted.value, key=posted.key, headers=((HEADER, f"{lease.series}:{posted.id}".encode()),))
            for posted in waiting
        ]
        receipt = await self._stream.publish(named)
        place = Position.parse(lease.place) if lease.place else None
        for reached in receipt.positions():
            place = reached if place is None or place.epoch != reached.epoch else place.furthest(reached)
        await self._settle({posted.id for posted in waiting}, str(place))
        return len(waiting) == _AT_ONCE

    async def _settle(self, numbers: Collection[int], place: str) -> None:
        """Take these out, as long as nobody else took over meanwhile."""
        lease = self._lease
        assert lease is not None
        fresh = _Lease(lease.series, lease.owner, lease.until, place)
        async with self._database.session() as session:
            await self._database.run(session.settle, self._stream.name, list(numbers))
            kept = await self._database.run(
                session.take_note, _SCOPE, self._stream.name, fresh.encode(), lease.encode()
            )
            if kept:
                await self._database.run(session.commit)
        self._lease = fresh if kept else None


def _numbers(messages: Collection[Message[bytes]], series: str) -> set[int]:
    found = (data.decode() for message in messages for name, data in message.headers if name == HEADER)
    return {int(text.partition(":")[2]) for text in found if text.startswith(f"{series}:")}


def _reaches(position: Position, end: Position) -> bool:
    return all(position.offsets.get(partition, 0) >= offset for partition, offset in end.offsets.items())
