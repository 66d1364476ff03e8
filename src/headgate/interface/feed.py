"""The feed: one client who follows a stream by a response that goes on."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from headgate.core.lanes import Payload
from headgate.core.match import Selection
from headgate.core.position import Start
from headgate.interface.exchange import Request, Send
from headgate.interface.following import Following
from headgate.interface.outlet import Gzip, outlet
from headgate.interface.rendering import LiveRendering
from headgate.interface.visitors import Stall, Visitors
from headgate.runtime.hub import Hub

SPREAD = 5.0  # seconds over which clients come back that are sent away together


@dataclass(frozen=True, slots=True)
class Manners:
    """How a feed treats its client."""

    ping: float = 15.0  # seconds of silence before a sign of life
    retry: float = 2.0  # seconds that a client is to wait before it connects again
    stall: float = 30.0  # seconds that a client may leave what it was sent
    on_slow: str = "drop_oldest"  # drop_oldest, conflate, disconnect


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the way to answer it."""

    request: Request
    start: Callable[[], Awaitable[None]]  # sends the status and the headers
    send: Send
    compressed: bool

    async def push(self, frames: Sequence[bytes]) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})


class Feed(Following):
    """One client of a response that goes on."""

    __slots__ = ("_live", "_manners", "_stall", "since")

    def __init__(self, rendering: LiveRendering, manners: Manners) -> None:
        super().__init__(rendering, manners.on_slow)
        self._live = rendering
        self.since = 0.0  # when it last had a sign of life
        self._manners = manners
        self._stall = Stall(manners.stall)

    def resumed(self) -> None:
        self._stall.ends()
        super().resumed()

    def look(self, now: float) -> None:
        """Give a sign of life if there was none for long; cut a client that takes nothing."""
        if self.outlet is None or self.over:
            return
        if self._stall.lasts_too_long(self.outlet.paused, now):
            self.cut_off()
        elif self.wrote:
            self.wrote, self.since = False, now
        elif now - self.since >= self._manners.ping and not self.outlet.paused:
            self.since = now
            self.outlet.write(Payload([self._live.ping]))

    async def serve(self, hub: Hub, selection: Selection, start: Start, visitors: Visitors, exchange: Exchange) -> None:
        """Follow the stream until the client goes, or has to. May raise `Unavailable` before the response starts."""

        async def opened(place: str) -> None:
            await exchange.start()
            self.outlet = Gzip(way) if exchange.compressed else way
            visitors.add(self)
            self.write(self._live.opening(place, self._manners.retry))
            self.wake()

        async with outlet(exchange.request.scope, self, exchange.push, exchange.request.gone) as way:
            try:
                await self.follow(hub, selection, start, opened)
                await self._say_goodbye(exchange)
            finally:
                visitors.remove(self)
                self.outlet = None

    async def _say_goodbye(self, exchange: Exchange) -> None:
        """End the response in good form, if there is still somebody to read it."""
        outlet = self.outlet
        if not self.closed or outlet is None:
            return
        if outlet.paused:
            outlet.abort()
            return
        # Who is sent away at the same time as others does not come back at the same time as they do.
        self.write(self._live.closing(self._manners.retry + random.random() * SPREAD))  # noqa: S311
        if isinstance(outlet, Gzip):
            outlet.finish()
        await exchange.send({"type": "http.response.body", "body": b""})
