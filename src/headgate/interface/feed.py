"""The feed: one client who follows a stream by a response that goes on."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from headgate.core.lanes import Payload
from headgate.core.match import Selection
from headgate.core.position import Snapshot, Start
from headgate.interface.exchange import Event, Request, Send
from headgate.interface.following import Following
from headgate.interface.outlet import BodyOutlet, Gzip, Sender, direct_outlet
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
class Asked:
    """What a client wants."""

    hub: Hub
    selection: Selection
    start: Start | Snapshot
    visitors: Visitors  # whom it is one of from then on
    compressed: bool = False


class Feed(Following):
    """One client of a response that goes on.

    On an outlet of our own server it needs no task: its request ends when all that is older was written, and
    the response goes on by what the hub, the outlet and the pulse call. Thousands may wait at little cost.
    """

    __slots__ = ("_asked", "_left", "_live", "_manners", "_send", "_stall", "_start", "_way", "_wrote", "since")

    def __init__(self, rendering: LiveRendering, manners: Manners, asked: Asked) -> None:
        super().__init__(rendering, manners.on_slow)
        self.since = 0.0  # when it last had a sign of life
        self._asked, self._manners, self._live = asked, manners, rendering
        self._stall = Stall(manners.stall)
        self._wrote = False  # since the pulse last looked
        self._way: BodyOutlet | None = None
        self._start: Event | None = None
        self._send: Send | None = None
        self._left: Callable[[], None] | None = None  # to call when the client is gone

    def deliver(self, payload: Payload) -> bool:
        # Called for each client and each payload: not by way of the parent.
        if self.outlet is None or not self.outlet.offer(payload):
            return False
        self._wrote = True
        return True

    def resumed(self) -> None:
        self._stall.ends()
        super().resumed()

    def look(self, now: float) -> None:
        """Give a sign of life if there was none for long; cut a client that takes nothing."""
        if self.outlet is None or self.over:
            return
        if self._stall.lasts_too_long(self.outlet.paused, now):
            self.cut_off()
        elif self._wrote:
            self._wrote, self.since = False, now
        elif now - self.since >= self._manners.ping and not self.outlet.paused:
            self.since = now
            self.outlet.write(Payload([self._live.ping]))

    async def serve(self, request: Request, start: Event, send: Send) -> None:
        """Answer a request until the client goes, or has to. May raise `Unavailable` before the response starts."""
        self._start, self._send = start, send
        self._way = direct_outlet(request.scope)
        if self._way is None:
            async with Sender(self, partial(_push, send), request.gone) as self._way:
                await self._begin()
                await self.until_over()
        else:
            self._way.attach(self)
            await self._begin()
            if not self.over:
                self._way.keep()
                self._left = request.outlive()
        if self.closed:
            await send({"type": "http.response.body", "body": b""})

    async def _begin(self) -> None:
        try:
            await self.begin(self._asked.hub, self._asked.selection, self._asked.start)
        except BaseException:
            self.stop()
            raise

    async def opened(self, place: str) -> None:
        assert self._start is not None
        assert self._send is not None
        assert self._way is not None
        await self._send(self._start)
        self._start = None
        self._way = Gzip(self._way) if self._asked.compressed else self._way
        self.outlet = self._way
        self._asked.visitors.add(self)
        self.write(self._live.opening(place, self._manners.retry))
        self.wake()

    def stop(self) -> None:
        super().stop()
        self._asked.visitors.remove(self)
        if self.closed:
            self._say_goodbye()
        if self._way is not None:
            self._way.attach(None)
        self._way = self.outlet = self._send = None
        left, self._left = self._left, None
        if left is not None:
            left()

    def _say_goodbye(self) -> None:
        """End the response in good form, if there is still somebody to read it."""
        outlet = self._way
        if outlet is None or self.outlet is None:
            return
        if outlet.paused:
            outlet.abort()
            return
        # Who is sent away at the same time as others does not come back at the same time as they do.
        self.write(self._live.closing(self._manners.retry + random.random() * SPREAD))  # noqa: S311
        outlet.finish()


async def _push(send: Send, frames: Sequence[bytes]) -> None:
    await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
