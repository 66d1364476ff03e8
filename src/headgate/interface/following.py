"""Following: a client's side of a stream that it follows, on whichever outlet it has."""

import asyncio
import logging
from contextlib import aclosing

from headgate.core.lanes import Follower, Payload
from headgate.core.match import Selection
from headgate.core.position import Newest, Snapshot, Start
from headgate.errors import TooMuch, TransportError
from headgate.interface.outlet import Outlet
from headgate.interface.rendering import Rendering
from headgate.runtime.hub import Hub
from headgate.runtime.replay import replay
from headgate.runtime.tasks import finish_or_cancel

logger = logging.getLogger("headgate.web")


class Following:
    """What comes is written by whoever brings it; only for what is older than that somebody waits here."""

    __slots__ = ("_follower", "_hub", "_on_slow", "_room", "_waiting", "closed", "cut", "outlet", "over", "rendering")

    def __init__(self, rendering: Rendering, on_slow: str) -> None:
        self.rendering = rendering
        self.outlet: Outlet | None = None
        self.cut = False  # it was too slow
        self.closed = False  # from this side: the stream or the gate goes
        self.over = False
        self._on_slow = on_slow
        self._hub: Hub | None = None
        self._follower: Follower | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None  # somebody, for it to be over

    # What the hub calls

    def deliver(self, payload: Payload) -> bool:
        """Write a payload, if there is room for it."""
        return self.outlet is not None and self.outlet.offer(payload)

    def wake(self) -> None:
        """Write what waits, as far as there is room."""
        follower = self._follower
        while follower is not None and follower.lags and self.outlet is not None and not self.outlet.paused:
            if self._on_slow == "disconnect" and follower.overtaken:
                self.cut_off()
                return
            payload = follower.take()
            if payload is None:
                return
            self.deliver(payload)

    def end(self) -> None:
        """The stream or the gate goes."""
        self.closed = not self.over
        self.stop()

    # What the outlet calls

    def resumed(self) -> None:
        """There is room again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self.wake()

    def lost(self) -> None:
        """The client is gone."""
        self.stop()

    def write(self, frame: bytes) -> None:
        """Write this whether there is room or not: words that are no messages."""
        if self.outlet is not None and frame:
            self.outlet.write(Payload([frame]))

    def cut_off(self) -> None:
        """Close the connection of a client that is too slow."""
        if self.outlet is not None and not self.cut:
            self.cut = True
            self.outlet.abort()

    # A client's visit

    async def opened(self, place: str) -> None:
        """It begins, at this place if that is now: there may be something to say first."""
        raise NotImplementedError

    async def begin(self, hub: Hub, selection: Selection, start: Start | Snapshot) -> None:
        """Enter, and return when all that is older than now was written: from then on it goes by itself.

        May raise `Unavailable`, before it calls `opened`.
        """
        follower = await hub.enter(selection, self.rendering, self, latest=self._on_slow == "conflate")
        if self.over:
            hub.leave(follower)
            return
        self._hub, self._follower = hub, follower
        # From here on nothing is missed: not even what comes while the client is told so.
        is_new = isinstance(start, Newest)
        if is_new:
            follower.begin()
        await self.opened(str(hub.window.head) if is_new else "")
        if not is_new and not self.over:
            await finish_or_cancel(self._replay(hub, follower, start), self.until_over)

    async def _replay(self, hub: Hub, follower: Follower, start: Start | Snapshot) -> None:
        """Write what is older than what the hub has at hand."""
        try:
            async with aclosing(replay(hub, follower, start)) as older:
                async for payload in older:
                    await self._wait_for_room()
                    self.deliver(payload)
        except (TransportError, TooMuch) as error:
            # The status went out long ago: the last event says why it is the last, and the client may come again.
            logger.warning("a follower was sent away", extra={"stream": hub.stream.name, "reason": str(error)})
            self.write(self.rendering.failure(error))
            self.end()
        else:
            self.wake()

    async def _wait_for_room(self) -> None:
        while self.outlet is not None and self.outlet.paused:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    async def until_over(self) -> None:
        """Return when it is over."""
        if not self.over:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)

    def stop(self) -> None:
        """It is over."""
        self.over = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if self._hub is not None and self._follower is not None:
            self._hub.leave(self._follower)
            self._follower = None  # nothing here refers to itself: it is freed at once
