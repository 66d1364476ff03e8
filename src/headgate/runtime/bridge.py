"""The bridge: moves a stream from one transport to another, each message once, wherever it is interrupted.

A message that is moved says in a header which batch it belongs to, by the place in the old stream before that batch,
and where it was itself. So the new stream knows how far the move has come, and nothing else has to be kept: a batch of
which only a part arrived is completed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from headgate.core.message import Message
from headgate.core.position import At, Batch, Last, Oldest, Position, Start
from headgate.errors import PositionError, StreamClosed, TransportError
from headgate.runtime.stream import Stream, Subscription
from headgate.runtime.tasks import backoff
from headgate.transport.base import Ability

logger = logging.getLogger("headgate.bridge")
MOVED = "headgate-moved"  # the header: the place before the batch, and the message's own partition and offset
BATCH = 1000
_IDLE_SECONDS = 0.2  # for a read, before another look
_PATIENCE = 3.0  # seconds without a message, until a stream that names no end is taken to have ended
_DEPTHS = (2 * BATCH, 50 * BATCH)  # messages of the new stream to look through, before all of it


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a message was before it was moved."""

    before: Position  # the place before its batch
    partition: int
    offset: int

    @property
    def order(self) -> int:
        """Later batches have more."""
        return sum(self.before.offsets.values())

    def header(self) -> tuple[str, bytes]:
        """How a message carries it."""
        return MOVED, f"{self.before} {self.partition}-{self.offset}".encode()


def mark_of(message: Message[bytes]) -> Mark | None:
    """The mark of a message that was moved."""
    text = dict(message.headers).get(MOVED, b"").decode("ascii", "replace")
    place, _, own = text.partition(" ")
    partition, _, offset = own.partition("-")
    try:
        return Mark(Position.parse(place), int(partition), int(offset))
    except (PositionError, ValueError):
        return None


@dataclass(slots=True)
class Progress:
    """What the new stream says of the move: the last batch that reached it, and how much of that."""

    before: Position | None = None
    arrived: set[tuple[int, int]] = field(default_factory=set)

    def lacks(self, message: Message[bytes]) -> bool:
        """Whether this message of the old stream has not arrived."""
        return (message.partition, message.offset) not in self.arrived


@dataclass(slots=True)
class Bridge:
    """Moves what `old` has, and what comes there, to `new`."""

    old: Stream
    new: Stream
    moved: int = 0
    missed: int = 0  # messages that were gone from the old stream before they could be moved
    trouble: str | None = None

    def __repr__(self) -> str:
        return f"<Bridge of {self.old.name}: {self.moved} moved>"

    async def run(self, *, until_end: bool = False) -> None:
        """Move until cancelled; or until all is moved that the old stream has."""
        attempt = 0
        while True:
            before = self.moved
            try:
                await self._move(until_end)
                return
            except StreamClosed:
                raise
            except TransportError as error:
                if not error.retriable:
                    raise
                attempt = 1 if self.moved > before else attempt + 1
                if self.trouble != str(error):
                    logger.warning("waiting", extra={"stream": self.old.name, "reason": str(error)})
                self.trouble = str(error)
                await asyncio.sleep(backoff(attempt, most=5.0))

    async def _move(self, until_end: bool) -> None:
        end = (await self.old.extent()).newest
        progress = await progress_of(self.new, end.epoch)
        async with self.old.subscribe(self._start(progress), "bridge") as subscription:
            place = None if progress.before is None or self.old.is_queue else progress.before
            async for batch in _batches(subscription, _IDLE_SECONDS if end.offsets else _PATIENCE):
                self.trouble = None
                await self._hand_over(batch, place, progress)
                await subscription.commit(batch.position)
                place = batch.position
                if until_end and self._is_over(batch, end):
                    return

    def _is_over(self, batch: Batch, end: Position) -> bool:
        """Whether all is moved that there was. Where nobody says how much that is, when nothing comes any more."""
        if self.old.is_queue or not end.offsets:
            return not batch.messages
        return _is_at(batch.position, end)

    def _start(self, progress: Progress) -> Start:
        return Oldest() if progress.before is None else At(progress.before)

    async def _hand_over(self, batch: Batch, place: Position | None, progress: Progress) -> None:
        if batch.missed:
            self.missed += batch.missed
            logger.error("messages were gone before they could be moved", extra={"count": batch.missed})
        before = place if place is not None and place.epoch == batch.position.epoch else None
        before = before or batch.position.before(batch.messages)
        lacking = [_marked(message, before) for message in batch.messages if progress.lacks(message)]
        if lacking:
            await self.new.publish(lacking)
            self.moved += len(lacking)


def _marked(message: Message[bytes], before: Position) -> Message[bytes]:
    # Its own marks stay behind: it may have been moved before.
    headers = tuple(header for header in message.headers if header[0] != MOVED)
    mark = Mark(before, message.partition, message.offset)
    return replace(message, headers=(*headers, mark.header()), partition=0, offset=-1)


async def progress_of(new: Stream, epoch: str) -> Progress:
    """How far the move of an old stream has come in this life of it, as the new stream tells."""
    for depth in (*_DEPTHS, None):
        tails = await _tails(new, depth)
        if depth is None or _is_deep_enough(tails, depth, epoch):
            return _progress(tails, epoch)
    raise AssertionError("the last depth is all")


def _progress(tails: Mapping[int, Sequence[Message[bytes]]], epoch: str) -> Progress:
    marks = [mark for tail in tails.values() for message in tail if (mark := mark_of(message))]
    marks = [mark for mark in marks if mark.before.epoch == epoch and mark.offset >= 0]
    if not marks:
        return Progress()
    latest = max(marks, key=lambda mark: mark.order).before
    return Progress(latest, {(mark.partition, mark.offset) for mark in marks if mark.before == latest})


def _is_deep_enough(tails: Mapping[int, Sequence[Message[bytes]]], depth: int, epoch: str) -> bool:
    """Whether nothing of the last batch can lie deeper: before it there is an earlier one, or nothing."""
    latest = _progress(tails, epoch).before
    return all(len(tail) < depth or _has_earlier(tail, latest) for tail in tails.values())


def _has_earlier(tail: Sequence[Message[bytes]], latest: Position | None) -> bool:
    marks = (mark_of(message) for message in tail)
    return any(mark is not None and mark.before != latest for mark in marks)


async def _tails(stream: Stream, depth: int | None) -> dict[int, list[Message[bytes]]]:
    """The last messages of each partition."""
    if stream.is_queue or Ability.LAST not in stream.transport.abilities:
        return {}
    tails: dict[int, list[Message[bytes]]] = {}
    end = (await stream.extent()).newest
    async with stream.subscribe(Oldest() if depth is None else Last(depth)) as subscription:
        async for batch in _batches(subscription):
            for message in batch.messages:
                tails.setdefault(message.partition, []).append(message)
            if _is_at(batch.position, end):
                return tails
    return tails


async def _batches(subscription: Subscription, wait: float = _IDLE_SECONDS) -> AsyncGenerator[Batch, None]:
    """What a reader gives, also when that is nothing, once it is known where it is."""
    while True:
        batch = await subscription.take(BATCH, wait)
        if batch.position.is_known:
            yield batch


def _is_at(place: Position, end: Position) -> bool:
    return all(place.offsets.get(partition, 0) >= offset for partition, offset in end.offsets.items())


async def move_cursor(old: Stream, new: Stream, cursor: str) -> Position:
    """Let a named reader of the new stream go on where it was in the old one, and tell where that is.

    Nobody may read by that name meanwhile, and all that it has read must have been moved.
    """
    async with old.subscribe(Oldest(), cursor) as subscription:
        batch = await subscription.take(1, _IDLE_SECONDS)
        place = batch.position.before(batch.messages)
    target = await translated(new, place)
    async with new.subscribe(At(target), cursor) as subscription:
        await subscription.commit(target)
    return target


async def translated(new: Stream, place: Position) -> Position:
    """The place in the new stream that a place in the old one has become: before the first that was not before it."""
    end = (await new.extent()).newest
    offsets: dict[int, int] = dict((await new.extent()).oldest.offsets)
    reached: set[int] = set()
    async with new.subscribe(Oldest()) as subscription:
        async for batch in _batches(subscription):
            for message in batch.messages:
                mark = mark_of(message)
                if mark is None or mark.before.epoch != place.epoch or message.partition in reached:
                    continue
                if mark.offset < place.offsets.get(mark.partition, 0):
                    offsets[message.partition] = message.offset + 1
                else:
                    reached.add(message.partition)
            if _is_at(batch.position, end):
                return Position(end.epoch, offsets)
    return Position(end.epoch, offsets)
