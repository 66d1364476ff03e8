"""The visit: one client's WebSocket, from when it is let in until one of the two goes."""

import asyncio
from collections.abc import Awaitable, Callable

from headgate.core.lanes import Payload
from headgate.interface.exchange import ClientGone
from headgate.interface.outlet import Outlet, Sender, direct_outlet
from headgate.interface.socket import FAILED, GOING_AWAY, POLICY, TOO_LARGE, Goodbye, Socket
from headgate.interface.visitors import Stall, Visitors
from headgate.runtime.tasks import Tasks, cancel
from headgate.transport.bell import Bell


class Visit:
    """One client. What it says is heard one frame after the other; what it may say has limits."""

    def __init__(self, socket: Socket, visitors: Visitors, *, stall: float, rate: float, frame_bytes: int) -> None:
        self.since = 0.0
        self.cut = False
        self._socket, self._visitors = socket, visitors
        self._rate, self._frame_bytes = rate, frame_bytes
        self._outlet: Outlet | None = None
        self._tasks = Tasks()
        self._leaving: asyncio.Future[Goodbye | None] = asyncio.get_running_loop().create_future()
        self._stall = Stall(stall)
        self._room = Bell()
        self._most = max(1.0, rate)
        self._allowance, self._asked = self._most, asyncio.get_running_loop().time()

    async def _stay(self, protocol: str | None) -> None:
        """Let the client in, and listen until one of the two goes."""
        await self._socket.accept(protocol, self._frame_bytes)
        way = direct_outlet(self._socket.scope)
        if way is None:
            async with Sender(self, self._socket.say) as way:
                goodbye = await self._converse(way)
        else:
            way.attach(self)
            try:
                goodbye = await self._converse(way)
            finally:
                way.attach(None)
            if goodbye is not None and way.paused:  # who takes nothing would not take this either
                way.abort()
                return
        if goodbye is not None:
            await self._socket.close(goodbye.code, goodbye.reason)

    async def _converse(self, way: Outlet) -> Goodbye | None:
        self._outlet = way
        self._visitors.add(self)
        try:
            async with self._tasks:
                self._begin(way)
                listening = self._tasks.start("socket listens", self._watched(self._listen))
                goodbye = await self._leaving
                await cancel(listening)
                await self._finish()
                return goodbye
        finally:
            self._visitors.remove(self)
            self._outlet = None

    def _begin(self, way: Outlet) -> None:
        """It begins: there is a way to the client now."""

    async def _finish(self) -> None:
        """It ends: what the client is still owed."""

    async def _hear(self, frame: str | bytes, size: int) -> None:
        """The client says this, in so many bytes."""
        raise NotImplementedError

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """Whatever ends one side of the talk ends it all."""
        try:
            await work()
        except ClientGone:
            self._leave(None)
        except Goodbye as goodbye:
            self._leave(goodbye)
        except Exception:
            self._leave(Goodbye(FAILED, "the gate failed; its log has the reason"))
            raise

    # What the pulse, the outlet and the gate call

    def look(self, now: float) -> None:
        """Cut a client that takes nothing."""
        if self._outlet is not None and self._stall.lasts_too_long(self._outlet.paused, now):
            self.cut = True
            self._outlet.abort()

    def end(self) -> None:
        """The gate goes."""
        self._leave(Goodbye(GOING_AWAY, "the gate is shutting down; come again"))

    def resumed(self) -> None:
        """There is room again."""
        self._stall.ends()
        self._room.ring()

    def lost(self) -> None:
        """The client is gone."""
        self._leave(None)
        self.resumed()

    def _leave(self, goodbye: Goodbye | None) -> None:
        if not self._leaving.done():
            self._leaving.set_result(goodbye)

    # Listening

    async def _listen(self) -> None:
        while True:
            frame = await self._socket.next()
            size = len(frame if isinstance(frame, bytes) else frame.encode())
            self._refuse_excess(size)
            await self._hear(frame, size)

    def _refuse_excess(self, size: int) -> None:
        if size > self._frame_bytes:
            raise Goodbye(TOO_LARGE, f"a frame may have {self._frame_bytes} bytes")
        now = asyncio.get_running_loop().time()
        self._allowance = min(self._most, self._allowance + (now - self._asked) * self._rate)
        self._asked = now
        if self._allowance < 1:
            raise Goodbye(POLICY, f"{self._rate:g} frames per second are the limit")
        self._allowance -= 1

    async def _answer(self, frame: bytes) -> None:
        """Say this, and hear no more until there is room for what is said: answers do not pile up."""
        assert self._outlet is not None
        if self._outlet.paused:
            await self._room.wait()
        self._outlet.write(Payload([frame]))
