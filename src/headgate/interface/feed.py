"""The feed: one client who follows a stream, and the pulse that all of them share."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from headgate.core.lanes import Follower, Payload
from headgate.core.match import Selection
from headgate.core.position import Newest, Start
from headgate.errors import TransportError
from headgate.interface.exchange import Request, Send
from headgate.interface.outlet import Gzip, Outlet, outlet
from headgate.interface.rendering import Rendering
from headgate.runtime.hub import Hub
from headgate.runtime.tasks import Tasks, finish_or_cancel

logger = logging.getLogger("headgate.web")
TICK = 0.25  # seconds between two looks at all feeds
SPREAD = 5.0  # seconds over which clients come back that are sent away together


@dataclass(frozen=True, slots=True)
class Manners:
    """How a feed treats its client."""

    ping: float = 15.0  # seconds of silence before a sign of life
    retry: float = 2.0  # seconds that a client is to wait before it connects again
    stall: float = 30.0  # seconds that a client may leave what it was sent
    on_slow: str = "drop_oldest"  # drop_oldest, conflate, disconnect


@dataclass(slots=True)
class FeedStats:
    """What became of those who follow."""

    opened: int = 0
    cut: int = 0  # because they took nothing for too long, or fell behind where that is not allowed


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the way to answer it."""

    request: Request
    start: Callable[[], Awaitable[None]]  # sends the status and the headers
    send: Send
    compressed: bool


class Feeds:
    """All feeds of a gate: they are given signs of life, and those that stall are cut."""

    def __init__(self, tasks: Tasks, clock: Callable[[], float]) -> None:
        self.stats = FeedStats()
        self.draining = False
        self._tasks = tasks
        self._clock = clock
        self._open: set[Feed] = set()
        self._pulse: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        return f"<Feeds: {len(self._open)} open, {self.stats.cut} cut>"

    def __len__(self) -> int:
        return len(self._open)

    def add(self, feed: "Feed") -> None:
        """Look after this one, too."""
        self.stats.opened += 1
        feed.since = self._clock()
        self._open.add(feed)
        if self._pulse is None or self._pulse.done():
            self._pulse = self._tasks.start("pulse", self._beat())

    def remove(self, feed: "Feed") -> None:
        """This one is over."""
        self._open.discard(feed)
        self.stats.cut += feed.cut

    async def _beat(self) -> None:
        while self._open:
            await asyncio.sleep(TICK)
            now = self._clock()
            for feed in list(self._open):
                feed.look(now)

    def drain(self) -> None:
        """Send all away: they come back, here or elsewhere, spread over some seconds."""
        self.draining = True
        for feed in list(self._open):
            feed.end()


class Feed:
    """One client. What comes is written by whoever brings it; only what is older than that is waited for."""

    __slots__ = (
        "_ended",
        "_follower",
        "_manners",
        "_outlet",
        "_over",
        "_rendering",
        "_room",
        "_stalled",
        "_wrote",
        "cut",
        "since",
    )

    def __init__(self, rendering: Rendering, manners: Manners) -> None:
        self.since = 0.0  # when it last had a sign of life
        self.cut = False
        self._ended = False
        self._rendering, self._manners = rendering, manners
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room: asyncio.Future[None] | None = None
        self._outlet: Outlet | None = None
        self._follower: Follower | None = None
        self._stalled: float | None = None  # since when the client takes nothing
        self._wrote = False

    # What the hub calls

    def deliver(self, payload: Payload) -> bool:
        outlet = self._outlet
        if outlet is None or outlet.paused:
            return False
        outlet.write(payload)
        self._wrote = True
        return True

    def wake(self) -> None:
        follower = self._follower
        while follower is not None and follower.lags and self._outlet is not None and not self._outlet.paused:
            if self._manners.on_slow == "disconnect" and follower.overtaken:
                self._cut()
                return
            payload = follower.take()
            if payload is None:
                return
            self.deliver(payload)

    def end(self) -> None:
        self._ended = True
        self._finish()

    # What the outlet calls

    def resumed(self) -> None:
        self._stalled = None
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self.wake()

    def lost(self) -> None:
        self._ended = False
        self.resumed()
        self._finish()

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    # What the pulse calls

    def look(self, now: float) -> None:
        """Give a sign of life if there was none for long; cut a client that takes nothing."""
        if self._outlet is None or self._over.done():
            return
        if self._outlet.paused:
            self._stalled = now if self._stalled is None else self._stalled
            if now - self._stalled >= self._manners.stall:
                self._cut()
            return
        self._stalled = None
        if self._wrote:
            self._wrote, self.since = False, now
        elif now - self.since >= self._manners.ping:
            self.since = now
            self._outlet.write(Payload([self._rendering.ping]))

    def _cut(self) -> None:
        assert self._outlet is not None
        if not self.cut:
            self.cut = True
            self._outlet.abort()

    # One client's visit

    async def serve(self, hub: Hub, selection: Selection, start: Start, feeds: Feeds, exchange: Exchange) -> None:
        """Follow the stream until the client goes, or has to. May raise `Unavailable` before the response starts."""
        latest = self._manners.on_slow == "conflate"
        async with (
            hub.follow(selection, self._rendering, self, latest=latest) as follower,
            outlet(exchange.request, exchange.send, self) as way,
        ):
            await exchange.start()
            self._follower = follower
            self._outlet = Gzip(way) if exchange.compressed else way
            feeds.add(self)
            try:
                await self._begin(hub, start)
                await self._over
                await self._say_goodbye(exchange)
            finally:
                feeds.remove(self)
                self._follower = self._outlet = None  # nothing here refers to itself: it is freed at once

    async def _begin(self, hub: Hub, start: Start) -> None:
        assert self._follower is not None
        place = str(hub.window.head) if isinstance(start, Newest) else ""
        self._write(self._rendering.opening(place, self._manners.retry))
        if isinstance(start, Newest):
            self._follower.begin()
        else:
            await finish_or_cancel(self._replay(hub, self._follower, start), self._until_over)

    async def _until_over(self) -> None:
        await asyncio.shield(self._over)

    async def _replay(self, hub: Hub, follower: Follower, start: Start) -> None:
        """Write what is older than what the hub has at hand."""
        try:
            async with aclosing(hub.replay(follower, start)) as older:
                async for payload in older:
                    await self._wait_for_room()
                    self.deliver(payload)
        except TransportError as error:
            # The status went out long ago: the last event says why it is the last, and the client may come again.
            logger.warning("a follower was sent away", extra={"stream": hub.stream.name, "reason": str(error)})
            self._write(self._rendering.failure(error))
            self.end()
        else:
            self.wake()

    async def _wait_for_room(self) -> None:
        while self._outlet is not None and self._outlet.paused:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def _write(self, frame: bytes) -> None:
        if self._outlet is not None and frame:
            self._outlet.write(Payload([frame]))
            self._wrote = True

    async def _say_goodbye(self, exchange: Exchange) -> None:
        """End the response in good form, if there is still somebody to read it."""
        outlet = self._outlet
        if not self._ended or outlet is None:
            return
        if outlet.paused:
            outlet.abort()
            return
        # Who is sent away at the same time as others does not come back at the same time as they do.
        self._write(self._rendering.closing(self._manners.retry + random.random() * SPREAD))  # noqa: S311
        if isinstance(outlet, Gzip):
            outlet.finish()
        await exchange.send({"type": "http.response.body", "body": b""})
