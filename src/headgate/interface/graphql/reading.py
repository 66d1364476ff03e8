"""Reading: what a broadcast stream has, from what its hub has at hand and else from the stream."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from headgate.core.match import Selection
from headgate.core.message import Message
from headgate.core.position import At, Last, Position, Start
from headgate.core.window import Entry
from headgate.core.wire import places
from headgate.runtime.hub import STEP, Hub
from headgate.runtime.stream import Subscription

MOST_LOOKED_AT = 10_000  # messages, for those that a query wants


@dataclass(frozen=True, slots=True)
class Found:
    """Messages, each with the place after it where that is known; the place behind all; how many were missed."""

    messages: Sequence[tuple[Message[bytes], str]]
    position: Position
    missed: int | None = 0  # None: nobody can say, for the stream began afresh


async def latest(hub: Hub, wanted: Selection) -> Entry | None:
    """The newest message that is wanted, of those at hand. May raise a `TransportError`."""
    await hub.catch_up()
    window = hub.window
    if wanted.keys is not None:  # found by its key
        return max(window.wanted(wanted, window.oldest), default=(0, None))[1]
    newest_first = (window[number] for number in range(window.newest - 1, window.oldest - 1, -1))
    return next((entry for entry in newest_first if wanted.wants(entry.message, entry.decoded)), None)


async def read(hub: Hub, wanted: Selection, start: Start, limit: int) -> Found:
    """So many messages that are wanted, from there on. May raise a `TransportError`."""
    await hub.catch_up()
    return _at_hand(hub, wanted, start, limit) or await _from_stream(hub, wanted, start, limit)


def _at_hand(hub: Hub, wanted: Selection, start: Start, limit: int) -> Found | None:
    window = hub.window
    if isinstance(start, Last) and start.count <= window.newest - window.oldest:
        number, place = window.newest - start.count, Position(window.epoch, {})
    elif isinstance(start, At) and window.covers(start.position):
        number, place = window.seek(start.position.offsets), start.position
    else:
        return None
    found = list(islice(window.wanted(wanted, number, place.offsets), limit))
    if len(found) < limit:
        return Found(_placed(entry for _, entry in found), place.furthest(window.head))
    return Found(_placed(entry for _, entry in found), place.furthest(Position.parse(found[-1][1].place)))


def _placed(entries: Iterable[Entry]) -> list[tuple[Message[bytes], str]]:
    return [(entry.message, entry.place) for entry in entries]


async def _from_stream(hub: Hub, wanted: Selection, start: Start, limit: int) -> Found:
    async with hub.older(start) as subscription:
        return await _gather(hub, subscription, wanted, start, limit)


async def _gather(hub: Hub, subscription: Subscription, wanted: Selection, start: Start, limit: int) -> Found:
    found: list[tuple[Message[bytes], str]] = []
    missed = looked_at = 0
    while True:
        batch = await subscription.take(STEP, wait=0)
        missed, looked_at = missed + batch.missed, looked_at + len(batch.messages)
        for message, place in zip(batch.messages, places(batch.messages, batch.position), strict=True):
            if wanted.wants(message, Entry(message, place, hub.stream.codec).decoded):
                found.append((message, place))
                if len(found) == limit:
                    position = Position.parse(place)
                    return Found(found, position, _missed(start, position, missed))
        if not batch.messages or looked_at >= MOST_LOOKED_AT:
            return Found(found, batch.position, _missed(start, batch.position, missed))


def _missed(start: Start, position: Position, missed: int) -> int | None:
    return None if isinstance(start, At) and start.position.epoch != position.epoch else missed
