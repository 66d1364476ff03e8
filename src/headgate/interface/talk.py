"""The talk: one client's WebSocket, what it follows by it and what it publishes."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from headgate.core.lanes import Payload
from headgate.errors import BadRequest, HeadgateError, InvalidParameter
from headgate.interface.confirmed import confirmed, refuse_cursor
from headgate.interface.exchange import ClientGone, Request
from headgate.interface.filter import selection
from headgate.interface.frames import (
    JSON_PROTOCOL,
    MSGPACK_PROTOCOL,
    Ack,
    Packed,
    Publish,
    PublishBytes,
    Said,
    Subscribe,
    Texts,
    Unsubscribe,
    Voice,
    read_frame,
)
from headgate.interface.inlet import Inlet
from headgate.interface.outlet import Named, Outlet, Sender, direct_outlet
from headgate.interface.place import NAMES, follow_at
from headgate.interface.socket import FAILED, GOING_AWAY, POLICY, TOO_LARGE, Goodbye, Socket
from headgate.interface.subscription import Subscription
from headgate.interface.terms import Terms
from headgate.interface.visitors import Stall, Visitors
from headgate.runtime.tasks import Tasks, cancel
from headgate.transport.bell import Bell

MOST_SUBSCRIPTIONS = 100
LAST_ANSWERS = 2.0  # seconds for what a client has published when its socket is closed


class Talk:
    """One client. What it follows writes to it as it comes; what it says is heard one frame after the other."""

    def __init__(self, socket: Socket, terms: Terms, visitors: Visitors) -> None:
        self.since = 0.0
        self.cut = False
        self._socket, self._terms, self._visitors = socket, terms, visitors
        self._voice: Voice = Texts(terms.spoken.codec, terms.keyed)
        self._followed: dict[str, Subscription] = {}
        self._outlet: Outlet | None = None
        self._inlet: Inlet | None = None
        self._tasks = Tasks()
        self._leaving: asyncio.Future[Goodbye | None] = asyncio.get_running_loop().create_future()
        self._stall = Stall(terms.stall)
        self._room = Bell()
        self._most = max(1.0, terms.rate)
        self._allowance, self._asked = self._most, asyncio.get_running_loop().time()

    def __repr__(self) -> str:
        return f"<Talk: {len(self._followed)} subscriptions>"

    async def serve(self, request: Request) -> None:
        """Let the client in, and listen until one of the two goes. May raise what keeps it out."""
        first = self._first(request)
        if self._terms.hub is not None:
            await self._terms.hub.come_up()
        protocol = next((name for name in self._socket.protocols if name in (JSON_PROTOCOL, MSGPACK_PROTOCOL)), None)
        if protocol == MSGPACK_PROTOCOL:
            self._voice = Packed(self._voice.codec, self._voice.keyed)
        await self._socket.accept(protocol, self._terms.frame_bytes)
        way = direct_outlet(self._socket.scope)
        if way is None:
            async with Sender(self, self._socket.say) as way:
                goodbye = await self._converse(way, first)
        else:
            way.attach(self)
            try:
                goodbye = await self._converse(way, first)
            finally:
                way.attach(None)
            if goodbye is not None and way.paused:  # who takes nothing would not take this either
                way.abort()
                return
        if goodbye is not None:
            await self._socket.close(goodbye.code, goodbye.reason)

    async def _converse(self, way: Outlet, first: Subscribe | None) -> Goodbye | None:
        self._outlet = way
        self._visitors.add(self)
        try:
            async with self._tasks:
                if self._terms.inlet is not None:
                    self._inlet = Inlet(
                        self._terms.inlet, self._voice, way, keyed=self._terms.keyed, keys=self._terms.writable
                    )
                    self._tasks.start("socket publishes", self._watched(self._publish(self._inlet)))
                listening = self._tasks.start("socket listens", self._watched(self._listen(first)))
                goodbye = await self._leaving
                await cancel(listening)
                if self._inlet is not None:
                    await self._inlet.finish(LAST_ANSWERS)
                return goodbye
        finally:
            self._visitors.remove(self)
            self._outlet = None

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever ends one side of the talk ends it all."""
        try:
            await work
        except ClientGone:
            self._leave(None)
        except Goodbye as goodbye:
            self._leave(goodbye)
        except Exception:
            self._leave(Goodbye(FAILED, "the gate failed; its log has the reason"))
            raise

    def _first(self, request: Request) -> Subscribe | None:
        """What the client follows from the start, as its URL says; None when it has to say so itself."""
        has_cursors = self._terms.cursors is not None
        others = [*NAMES, "cursor"] if has_cursors else NAMES
        asked = {name: values for name, values in request.query.items() if name not in others}
        if self._terms.hub is None:
            if request.query:
                raise InvalidParameter("there is nothing to follow here, so the URL has no parameters")
            return None
        if not request.query and any(item.required for item in self._terms.filters):
            return None
        first = Subscribe(
            filter=dict(asked),
            after=request.parameter("after"),
            start=request.parameter("from"),
            cursor=request.parameter("cursor") if has_cursors else None,
        )
        refuse_cursor(first, self._terms)
        selection(self._terms.filters, asked)
        follow_at(first.after, first.start)
        return first

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
        if self._inlet is not None:
            self._inlet.resumed()
        for following in list(self._followed.values()):
            following.resumed()

    def lost(self) -> None:
        """The client is gone. What it said before that is heard, unless it was cut."""
        if self.cut or any(following.cut for following in self._followed.values()):
            self._leave(None)
        self.resumed()

    def _leave(self, goodbye: Goodbye | None) -> None:
        if not self._leaving.done():
            self._leaving.set_result(goodbye)

    # Listening

    async def _listen(self, first: Subscribe | None) -> None:
        if first is not None:
            self._subscribe(first)
        while True:
            frame = await self._socket.next()
            size = len(frame if isinstance(frame, bytes) else frame.encode())
            self._refuse_excess(size)
            await self._hear(frame, size)

    async def _hear(self, frame: str | bytes, size: int) -> None:
        said: Said | None = None
        try:
            said = read_frame(frame)
            await self._do(said, size)
        except HeadgateError as error:
            await self._answer(self._voice.failure(error, **_named(said)))

    def _refuse_excess(self, size: int) -> None:
        if size > self._terms.frame_bytes:
            raise Goodbye(TOO_LARGE, f"a frame may have {self._terms.frame_bytes} bytes")
        now = asyncio.get_running_loop().time()
        self._allowance = min(self._most, self._allowance + (now - self._asked) * self._terms.rate)
        self._asked = now
        if self._allowance < 1:
            raise Goodbye(POLICY, f"{self._terms.rate:g} frames per second are the limit")
        self._allowance -= 1

    async def _do(self, said: Said, size: int) -> None:
        match said:
            case Subscribe():
                self._subscribe(said)
            case Unsubscribe(id=name):
                self._following(name).stop()
                del self._followed[name]
                await self._answer(self._voice.word("unsubscribed", **_named(said)))
            case Ack(id=name, position=position):
                self._following(name).acknowledge(position)
            case Publish() | PublishBytes():
                if self._inlet is None:
                    raise BadRequest("nothing can be published here")
                await self._inlet.take(said, size)

    async def _answer(self, frame: bytes) -> None:
        """Say this, and hear no more until there is room for what is said: answers do not pile up."""
        assert self._outlet is not None
        if self._outlet.paused:
            await self._room.wait()
        self._outlet.write(Payload([frame]))

    # Following

    def _following(self, name: str) -> Subscription:
        if name not in self._followed:
            raise BadRequest(f"there is no subscription {name!r}")
        return self._followed[name]

    def _subscribe(self, asked: Subscribe) -> None:
        if self._terms.hub is None:
            raise BadRequest("there is nothing to follow here")
        if asked.id in self._followed:
            raise BadRequest(f"there is a subscription {asked.id!r} already; give this one another id")
        if len(self._followed) >= MOST_SUBSCRIPTIONS:
            raise BadRequest(f"{MOST_SUBSCRIPTIONS} subscriptions are the limit on one socket")
        refuse_cursor(asked, self._terms)
        values = {name: [v] if isinstance(v, str) else v for name, v in asked.filter.items()}
        wanted = selection(self._terms.filters, values).within(self._terms.readable)
        start = follow_at(asked.after, asked.start)
        assert self._outlet is not None
        way = Named(self._outlet, partial(self._voice.named, name=asked.id)) if asked.id else self._outlet
        following = self._followed[asked.id] = self._subscription(asked.cursor, way)
        beginning = following.begin(self._terms.hub, wanted, start)
        self._tasks.start("socket follows", self._see_through(asked, following, beginning))

    def _subscription(self, cursor: str | None, way: Outlet) -> Subscription:
        if cursor is None:
            return Subscription(self._voice, self._terms.on_slow, way)
        return confirmed(cursor, self._voice, way, self._terms)

    async def _see_through(
        self, asked: Subscribe, following: Subscription, beginning: Coroutine[None, None, None]
    ) -> None:
        try:
            await beginning
            await following.until_over()
        except HeadgateError as error:
            await self._answer(self._voice.failure(error, **_named(asked)))
        finally:
            following.stop()
            if self._followed.get(asked.id) is following:
                del self._followed[asked.id]
            self.cut = self.cut or following.cut
        if following.goodbye is not None:
            self._leave(following.goodbye)

    # Publishing

    async def _publish(self, inlet: Inlet) -> None:
        await inlet.run()
        raise Goodbye(GOING_AWAY, "the stream is closed; come again")


def _named(said: Said | None) -> dict[str, Any]:
    """What tells the client which of its frames is answered."""
    match said:
        case Publish(ref=ref) | PublishBytes(ref=ref):
            return {} if ref is None else {"ref": ref}
        case Subscribe(id=name) | Unsubscribe(id=name) | Ack(id=name):
            return {"id": name} if name else {}
        case None:
            return {}
