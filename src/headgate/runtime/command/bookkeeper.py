"""The bookkeeper: of several gates the one that reads the streams, publishes what is due, and ends what is over.

The streams are the truth about what was published. Whoever begins to keep the book, or does not know what became of
what it sent, reads the stream to its end first; what the book still has to be published then was never published.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from headgate.core.command_status import Status
from headgate.core.message import Message
from headgate.core.position import At, Batch, Oldest, Position, Since, Start
from headgate.errors import HeadgateError, StreamClosed, TransportError, Unavailable
from headgate.runtime.command.lanes import Lanes
from headgate.runtime.command.lease import SECONDS, Lease, LeaseLost
from headgate.runtime.command.news import News
from headgate.runtime.command.reading import steps
from headgate.runtime.ingest.database import Database
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import backoff
from headgate.store.base import Connection
from headgate.store.commands import CommandRow, Step
from headgate.transport.base import Ability
from headgate.transport.bell import Bell

logger = logging.getLogger("headgate.commands")
_MOST_READ, _MOST_SENT, _MOST_FORGOTTEN = 5000, 1000, 10_000
_LOOK_SECONDS = 0.25  # for what another gate accepted
_GATHER_SECONDS = 0.2  # that messages of the streams gather for, while nobody asks what became of them
_SWEEP_SECONDS, _FORGET_SECONDS = SECONDS / 4, 600.0
_NANOSECONDS, _MILLISECOND = 1_000_000_000, 1_000_000
_SILENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How an interface's book is kept."""

    scope: str
    keep: float  # seconds for which a command is remembered
    landing: float  # seconds after which what was handed to a stream is there, or never will be


class Bookkeeper:
    """Keeps the book of one interface, while it is its turn. `answers` bring those of devices."""

    def __init__(
        self,
        terms: Terms,
        database: Database,
        lanes: Lanes,
        answers: Sequence[Stream],
        news: News,
        lease: Lease,
    ) -> None:
        self._terms, self._database, self._news, self._lease = terms, database, news, lease
        self._streams: Mapping[str, Stream] = {**lanes.streams, **{stream.name: stream for stream in answers}}
        self._lanes = lanes
        self._answers = {stream.name for stream in answers} - lanes.streams.keys()
        self._work, self._progress = Bell(), Bell()
        self._uncertain = True  # something may be on a stream that the book does not know of
        self._sent: set[str] = set()  # published, and not in the book yet
        self._flying: set[asyncio.Future[Any]] = set()  # what is being published; it goes on when we are cancelled
        self._quiet: dict[str, float] = {}  # since when there is nothing new on a stream
        self._catching_up = 0  # how many wait for the book to have all of a stream

    def __repr__(self) -> str:
        return f"<Bookkeeper of {self._terms.scope}: {self._lease!r}>"

    def ring(self) -> None:
        """A command was accepted."""
        self._work.ring()

    async def run(self) -> None:
        """Keep the book whenever it is this gate's turn."""
        attempt = 0
        try:
            while True:
                try:
                    began = time.monotonic()
                    if await self._lease.take():
                        await self._keep()
                except (ExceptionGroup, HeadgateError, LeaseLost) as errors:
                    found = _reason(errors)
                    if isinstance(found, StreamClosed):
                        return
                    attempt = 1 if time.monotonic() - began > SECONDS else attempt + 1
                    self._tell_log(found, attempt)
                await asyncio.sleep(backoff(attempt, first=_LOOK_SECONDS, most=SECONDS))
        finally:
            await self._leave()

    def _tell_log(self, reason: BaseException, attempt: int) -> None:
        told = {"path": self._terms.scope, "reason": str(reason)}
        if not isinstance(reason, HeadgateError | LeaseLost):
            logger.error("the book of commands failed; it goes on", exc_info=reason, extra=told)
        elif attempt == 1 and not isinstance(reason, LeaseLost):
            logger.warning("the status of commands waits", extra=told)

    async def _leave(self) -> None:
        if self._flying:  # what was handed over may land yet: whoever comes next has to know, or wait
            await asyncio.wait(self._flying, timeout=SECONDS)
        if self._flying:
            return  # the lease ends by itself, and says until when something may land
        with suppress(HeadgateError, LeaseLost):  # it ends by itself, too
            await self._lease.give_back()

    async def _keep(self) -> None:
        self._uncertain = True
        self._sent.clear()
        async with asyncio.TaskGroup() as group:
            for stream in self._streams.values():
                group.create_task(self._follow(stream))
            group.create_task(self._publish_what_is_due())
            group.create_task(self._sweep())
            group.create_task(self._forget())

    # What the streams say

    async def _follow(self, stream: Stream) -> None:
        async with stream.subscribe(self._start(stream)) as subscription:
            while True:
                began = time.monotonic()
                batch = await subscription.take(_MOST_READ, wait=_LOOK_SECONDS)
                self._listen(stream, batch, began)
                if not batch.messages and self._is_old_news(stream, batch):
                    continue
                if batch.missed:
                    told = {"stream": stream.name, "missed": batch.missed}
                    logger.error("messages fell out of the stream before the status of commands was kept", extra=told)
                await self._note(stream, batch)
                await self._gather(len(batch.messages))

    def _listen(self, stream: Stream, batch: Batch, began: float) -> None:
        """Note since when nothing comes on a stream that can be read."""
        if batch.messages or not batch.position.is_known:
            self._quiet.pop(stream.name, None)
        else:
            self._quiet.setdefault(stream.name, began)

    async def _gather(self, count: int) -> None:
        """Let some more come, so that there are fewer transactions; unless somebody waits, or it is behind."""
        if count < _MOST_READ and not (self._news.is_waited_for or self._catching_up):
            await self._news.asked.wait(_GATHER_SECONDS)

    def _is_old_news(self, stream: Stream, batch: Batch) -> bool:
        """Whether the book says already that it has the stream up to here."""
        return not batch.position.is_known or str(batch.position) == str(self._lease.place(stream.name))

    def _start(self, stream: Stream) -> Start:
        if (place := self._lease.place(stream.name)) is not None:
            return At(place)
        if Ability.START_TIME in stream.transport.abilities:
            return Since(int((time.time() - self._terms.keep) * _NANOSECONDS))
        return Oldest()

    async def _note(self, stream: Stream, batch: Batch) -> None:
        changes: list[Step] = []

        def work(session: Connection) -> None:
            oldest = time.time() - self._terms.keep
            are_answers = stream.name in self._answers
            changes[:] = steps(batch.messages, are_answers=are_answers, oldest=oldest)
            session.advance_commands(self._terms.scope, changes)

        await self._lease.write(work, stream.name, batch.position)
        self._tell(changes)
        self._progress.ring()

    def _tell(self, changes: Iterable[Step]) -> None:
        for change in changes:
            self._sent.discard(change.request_id)
        self._news.tell((change.request_id, change.status) for change in changes)

    async def catch_up(self, seconds: float) -> bool:
        """Return when the book has all commands that are on the streams now; whether it came to that in time.

        May raise a `TransportError`.
        """
        streams = [stream for name, stream in self._streams.items() if name not in self._answers]
        self._catching_up += 1
        self._news.asked.ring()
        try:
            return all([await self._catch_up(stream, seconds) for stream in streams])
        finally:
            self._catching_up -= 1

    async def _catch_up(self, stream: Stream, seconds: float) -> bool:
        began, end = time.monotonic(), (await stream.extent()).newest
        try:
            async with asyncio.timeout(seconds):
                while not (_reaches(await self._reached(stream.name), end) or self._is_silent(stream, began)):
                    await self._progress.wait(_LOOK_SECONDS / 5)
        except TimeoutError:
            return False
        return True

    def _is_silent(self, stream: Stream, since: float) -> bool:
        """Whether nothing came for long, all of it after this moment.

        The end of a stream may be where no message is: those before it were too old, or it holds marks of
        transactions. A reader never comes to such an end.
        """
        quiet = max(self._quiet.get(stream.name, math.inf), since)
        return self._lease.is_held and time.monotonic() - quiet >= _SILENCE_SECONDS

    async def _reached(self, stream: str) -> Position | None:
        return self._lease.place(stream) if self._lease.is_held else await self._lease.look(stream)

    # What is due

    async def _publish_what_is_due(self) -> None:
        attempt = 0
        while True:
            rings = self._work.rings
            due, following = await self._due()
            if not due:
                if rings == self._work.rings:
                    await self._work.wait(following)
                continue
            try:
                await self._publish(due)
                attempt = 0
            except TransportError as error:
                if isinstance(error, StreamClosed):
                    raise
                self._uncertain = True
                attempt += 1
                if attempt == 1:
                    logger.warning("accepted commands wait to be published", extra={"reason": str(error)})
                await asyncio.sleep(backoff(attempt, most=2.0))

    async def _due(self) -> tuple[list[CommandRow], float]:
        """What is to be published now; or how long until it is worth another look."""
        async with self._database.session() as session:
            rows = await self._database.run(session.due_commands, self._terms.scope, time.time(), _MOST_SENT)
            due = [row for row in rows if row.request_id not in self._sent]
            following = None if due else await self._database.run(session.next_due, self._terms.scope)
        wait = _LOOK_SECONDS if following is None else following - time.time()
        return due, min(max(wait, 0.01), _LOOK_SECONDS)

    async def _publish(self, due: Sequence[CommandRow]) -> None:
        if self._uncertain:
            await self._landed()
            if not await self.catch_up(SECONDS):
                raise Unavailable("the end of the stream is not reached yet")
            self._uncertain = False
            return  # and look again: some may have turned up
        due = await self._taken(due)
        await self._lease.send_within(self._terms.landing)
        sending = [self._send(stream, rows) for stream, rows in self._by_lane(due)]
        for outcome in await asyncio.gather(*sending, return_exceptions=True):  # a lane that is away holds up no other
            if isinstance(outcome, BaseException):
                raise outcome

    async def _landed(self) -> None:
        """Return when nothing that was sent, here or by the one before, can land any more. May raise `Unavailable`."""
        if self._flying:
            await asyncio.wait(self._flying)
        if self._lease.may_land:
            raise Unavailable("what the gate before this one sent may still land on the stream")

    async def _taken(self, due: Sequence[CommandRow]) -> Sequence[CommandRow]:
        """Those that nobody cancelled; from now on nobody can."""
        free = [row.request_id for row in due if not row.taken]
        if not free:
            return due
        taken = set(await self._lease.write(lambda session: session.take_commands(self._terms.scope, free)))
        return [row for row in due if row.taken or row.request_id in taken]

    def _by_lane(self, due: Sequence[CommandRow]) -> Iterable[tuple[Stream, list[CommandRow]]]:
        lanes: dict[str, list[CommandRow]] = {}
        for row in due:
            lanes.setdefault(self._lanes.of(row.priority).name, []).append(row)
        return [(self._streams[name], rows) for name, rows in lanes.items()]

    async def _send(self, stream: Stream, rows: Sequence[CommandRow]) -> None:
        now = time.time_ns() // _MILLISECOND * _MILLISECOND  # Kafka keeps no more of it
        messages = [Message(value=row.body or b"", key=row.device_id.encode(), timestamp=now) for row in rows]
        refused: dict[int, TransportError] = {}
        try:
            await self._published(stream, messages)
        except TransportError as error:
            refused = dict(error.failed) or dict.fromkeys(range(len(rows)), error)
        sent = [row for at, row in enumerate(rows) if at not in refused]
        self._sent.update(row.request_id for row in sent)
        at = now / _NANOSECONDS
        changes = [Step(row.request_id, Status.PUBLISHED, at) for row in sent]
        changes += [
            Step(rows[n].request_id, Status.GIVEN_UP, at, str(e)) for n, e in refused.items() if not e.retriable
        ]
        await self._lease.write(lambda session: session.advance_commands(self._terms.scope, changes))
        self._tell(changes)
        for reason in refused.values():
            if reason.retriable:
                raise reason

    async def _published(self, stream: Stream, messages: Sequence[Message[bytes]]) -> None:
        """Publish. When we are cancelled it goes on: what was handed over cannot be taken back."""
        publishing = asyncio.ensure_future(stream.publish(messages))
        self._flying.add(publishing)
        publishing.add_done_callback(self._flying.discard)
        publishing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(publishing)

    # What is over

    async def _sweep(self) -> None:
        """End what is over. This also renews the lease."""
        while True:
            self._news.tell(
                await self._lease.write(lambda session: session.expire_commands(self._terms.scope, time.time()))
            )
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _forget(self) -> None:
        while True:
            before = time.time() - self._terms.keep
            while await self._lease.write(partial(_forget, self._terms.scope, before)) == _MOST_FORGOTTEN:
                pass
            await asyncio.sleep(_FORGET_SECONDS)


def _forget(scope: str, before: float, session: Connection) -> int:
    return session.forget_commands(scope, before, _MOST_FORGOTTEN)


def _reaches(position: Position | None, end: Position) -> bool:
    if position is None or position.epoch != end.epoch:
        return not any(end.offsets.values())
    return all(position.offsets.get(partition, 0) >= offset for partition, offset in end.offsets.items())


def _reason(errors: BaseException) -> BaseException:
    """The error that counts: what nobody expected, then that a stream was closed, then any."""
    found = [errors]
    while groups := [error for error in found if isinstance(error, BaseExceptionGroup)]:
        found = [error for error in found if error not in groups] + [e for group in groups for e in group.exceptions]
    unexpected = [error for error in found if not isinstance(error, HeadgateError | LeaseLost)]
    closed = [error for error in found if isinstance(error, StreamClosed)]
    return [*unexpected, *closed, *found][0]
