"""Following: a client's side of a stream that it follows, on whichever outlet it has."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from headgate.core.lanes import Follower, Payload
from headgate.core.match import Selection
from headgate.core.position import Newest, Start
from headgate.errors import TransportError
from headgate.interface.outlet import Outlet
from headgate.interface.rendering import Rendering
from headgate.runtime.hub import Hub
from headgate.runtime.tasks import finish_or_cancel

logger = logging.getLogger("headgate.web")


class Following:
    """What comes is written by whoever brings it; only for what is older than that somebody waits here."""

    __slots__ = ("_follower", "_on_slow", "_over", "_room", "closed", "cut", "outlet", "rendering", "wrote")

    def __init__(self, rendering: Rendering, on_slow: str) -> None:
        self.rendering = rendering
        self.outlet: Outlet | None = None
        self.wrote = False  # since somebody last looked
        self.cut = False  # it was too slow
        self.closed = False  # from this side: the stream or the gate goes
        self._on_slow = on_slow
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room: asyncio.Future[None] | None = None
        self._follower: Follower | None = None

    # What the hub calls

    def deliver(self, payload: Payload) -> bool:
        """Write a payload, if there is room for it."""
        if self.outlet is None or self.outlet.paused:
            return False
        self.outlet.write(payload)
        self.wrote = True
        return True

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

    def stop(self) -> None:
        """It is over."""
        if not self._over.done():
            self._over.set_result(None)

    # What the outlet calls

    def resumed(self) -> None:
        """There is room again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self.wake()

    def lost(self) -> None:
        """The client is gone."""
        self.stop()
        self.resumed()

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self._over.done()

    def write(self, frame: bytes) -> None:
        """Write this whether there is room or not: words that are no messages."""
        if self.outlet is not None and frame:
            self.outlet.write(Payload([frame]))
            self.wrote = True

    def cut_off(self) -> None:
        """Close the connection of a client that is too slow."""
        if self.outlet is not None and not self.cut:
            self.cut = True
            self.outlet.abort()

    # A client's visit

    async def follow(
        self, hub: Hub, selection: Selection, start: Start, opened: Callable[[str], Awaitable[None]]
    ) -> None:
        """Follow the stream until it is over. `opened` gets the place where it begins, if that is now.

        May raise `Unavailable`, before it calls `opened`.
        """
        async with hub.follow(selection, self.rendering, self, latest=self._on_slow == "conflate") as follower:
            self._follower = follower
            try:
                # From here on nothing is missed: not even what comes while the client is told so.
                is_new = isinstance(start, Newest)
                if is_new:
                    follower.begin()
                await opened(str(hub.window.head) if is_new else "")
                if not is_new:
                    await finish_or_cancel(self._replay(hub, follower, start), self._until_over)
                await self._over
            finally:
                self._follower = None  # nothing here refers to itself: it is freed at once

    async def _until_over(self) -> None:
        await asyncio.shield(self._over)

    async def _replay(self, hub: Hub, follower: Follower, start: Start) -> None:
        """Write what is older than what the hub has at hand."""
        try:
            async with aclosing(hub.replay(follower, start)) as older:
                async for payload in older:
                    await self.wait_for_room()
                    self.deliver(payload)
        except TransportError as error:
            # The status went out long ago: the last event says why it is the last, and the client may come again.
            logger.warning("a follower was sent away", extra={"stream": hub.stream.name, "reason": str(error)})
            self.write(self.rendering.failure(error))
            self.end()
        else:
            self.wake()

    async def wait_for_room(self) -> None:
        """Return when the client took what it was sent."""
        while self.outlet is not None and self.outlet.paused and not self.over:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
