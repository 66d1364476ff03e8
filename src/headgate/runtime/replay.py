"""The replay: what a stream has that is older than its hub has at hand, up to where the hub goes on."""

from collections.abc import AsyncGenerator, Iterable
from typing import Any

from headgate.core.codec import Codec
from headgate.core.lanes import Follower, Lane, Payload
from headgate.core.message import Message
from headgate.core.position import At, Batch, Newest, Oldest, Position, Snapshot, Start
from headgate.core.window import Entry, Window, gap_before
from headgate.errors import TooMuch
from headgate.runtime.hub import MOST_BYTES, STEP, Hub
from headgate.runtime.stream import Subscription

WAIT = 0.25  # seconds for a read, before another look at what the hub has
MOST_KEYS = 100_000  # in a snapshot


async def replay(hub: Hub, follower: Follower, start: Start | Snapshot) -> AsyncGenerator[Payload, None]:
    """What comes from `start` on that the hub has not at hand. After the last payload the follower goes on with
    the hub, without a gap and without a repetition. May raise a `TransportError`, or `TooMuch`."""
    if isinstance(start, Newest):
        follower.begin()
    elif isinstance(start, Snapshot):
        async for payload in _snapshot(hub, follower):
            yield payload
    elif not await _is_at_hand(hub, follower, start):
        async for payload in _history(hub, follower, start):
            yield payload


async def _is_at_hand(hub: Hub, follower: Follower, start: Start) -> bool:
    """Begin after a place that the hub covers; False when it does not."""
    if not isinstance(start, At) or not hub.window.covers(start.position):
        return False
    place = await _known(hub, start.position)
    if not hub.window.covers(place):  # it moved on while the stream was asked
        return False
    follower.begin_after(place)
    return True


async def _known(hub: Hub, place: Position) -> Position:
    """A place that the stream really has: one beyond its end would hide what comes next."""
    if not hub.window.is_beyond(place.offsets):
        return place
    newest = (await hub.stream.extent()).newest
    if newest.epoch != place.epoch:
        return place
    return Position(place.epoch, {p: min(offset, newest.offsets.get(p, offset)) for p, offset in place.offsets.items()})


async def _history(hub: Hub, follower: Follower, start: Start) -> AsyncGenerator[Payload, None]:
    place = start.position if isinstance(start, At) else None
    async with hub.older(start) as subscription:
        async for batch in _batches(subscription):
            if payload := _payload(hub, follower.lane, batch, place):
                yield payload
            place = batch.position
            # No await between this look at the window and beginning there: nothing comes in between.
            if hub.window.covers(place):
                follower.begin_after(place)
                return


async def _batches(subscription: Subscription) -> AsyncGenerator[Batch, None]:
    """What a reader gives, once it is known where it is."""
    while True:
        batch = await subscription.take(STEP, WAIT)
        if batch.position.is_known:
            yield batch


def _payload(hub: Hub, lane: Lane, batch: Batch, place: Position | None) -> Payload | None:
    gap = gap_before(batch, place)
    frames = [] if gap is None else [lane.rendering.gap(gap)]
    window = Window(hub.stream.codec, messages=len(batch.messages) + 1, size=MOST_BYTES)
    window.restart(batch.position.before(batch.messages))
    window.append(batch)
    frames += [entry.frame(lane.rendering) for _, entry in window.wanted(lane.selection, 0)]
    return Payload(frames) if frames else None


async def _snapshot(hub: Hub, follower: Follower) -> AsyncGenerator[Payload, None]:
    """The latest message of each key; the follower goes on with what comes after all of them.

    They come without their places: those say nothing of what else was had.
    """
    latest = _Latest(follower.lane, hub.stream.codec)
    async with hub.older(Oldest()) as subscription:
        async for batch in _batches(subscription):
            latest.keep(batch.messages)
            if hub.window.covers(place := batch.position):
                break
    # What the hub has more belongs to it, too. No await from here to `begin_after`: nothing comes in between.
    newer = hub.window.wanted(follower.lane.selection, hub.window.seek(place.offsets), place.offsets)
    latest.keep(entry.message for _, entry in newer)
    follower.begin_after(place.furthest(hub.window.head))  # the reader may have been ahead of the hub
    frames = latest.frames()
    for first in range(0, len(frames), STEP):
        yield Payload(frames[first : first + STEP])


class _Latest:
    """The last message of each key that a lane wants, in the order of those."""

    def __init__(self, lane: Lane, codec: Codec[Any]) -> None:
        self._lane, self._codec = lane, codec
        self._entries: dict[bytes | None, Entry] = {}

    def keep(self, messages: Iterable[Message[bytes]]) -> None:
        """Take these into account. One without a value takes its key out, as where a topic is compacted."""
        for message in messages:
            entry = Entry(message, "", self._codec)
            if message.value and not self._lane.selection.wants(message, entry.decoded):
                continue
            self._entries.pop(message.key, None)
            if message.value:
                self._entries[message.key] = entry
        if len(self._entries) > MOST_KEYS:
            raise TooMuch(f"a snapshot has at most {MOST_KEYS} keys; ask for some of them")

    def frames(self) -> list[bytes]:
        """All of them, as the lane's readers see them."""
        return [entry.frame(self._lane.rendering) for entry in self._entries.values()]
