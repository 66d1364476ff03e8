"""The talk: one client's WebSocket, what it follows by it and what it publishes."""

from collections.abc import Coroutine
from functools import partial
from typing import Any

from headgate.errors import BadRequest, HeadgateError, InvalidParameter
from headgate.interface.confirmed import confirmed, refuse_cursor
from headgate.interface.exchange import Request
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
from headgate.interface.outlet import Named, Outlet
from headgate.interface.place import NAMES, follow_at
from headgate.interface.socket import GOING_AWAY, Goodbye, Socket
from headgate.interface.subscription import Subscription
from headgate.interface.terms import Terms
from headgate.interface.visit import Visit
from headgate.interface.visitors import Visitors

MOST_SUBSCRIPTIONS = 100
LAST_ANSWERS = 2.0  # seconds for what a client has published when its socket is closed


class Talk(Visit):
    """One client. What it follows writes to it as it comes; what it says is heard one frame after the other."""

    def __init__(self, socket: Socket, terms: Terms, visitors: Visitors) -> None:
        super().__init__(socket, visitors, stall=terms.stall, rate=terms.rate, frame_bytes=terms.frame_bytes)
        self._terms = terms
        self._voice: Voice = Texts(terms.spoken.codec, terms.keyed)
        self._followed: dict[str, Subscription] = {}
        self._inlet: Inlet | None = None
        self._first: Subscribe | None = None

    def __repr__(self) -> str:
        return f"<Talk: {len(self._followed)} subscriptions>"

    async def serve(self, request: Request) -> None:
        """Let the client in, and listen until one of the two goes. May raise what keeps it out."""
        self._first = self._said_by_url(request)
        if self._terms.hub is not None:
            await self._terms.hub.come_up()
        protocol = next((name for name in self._socket.protocols if name in (JSON_PROTOCOL, MSGPACK_PROTOCOL)), None)
        if protocol == MSGPACK_PROTOCOL:
            self._voice = Packed(self._voice.codec, self._voice.keyed)
        await self._stay(protocol)

    def _said_by_url(self, request: Request) -> Subscribe | None:
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

    # What the outlet calls

    def resumed(self) -> None:
        super().resumed()
        if self._inlet is not None:
            self._inlet.resumed()
        for following in list(self._followed.values()):
            following.resumed()

    def lost(self) -> None:
        # What it said before that is heard, unless it was cut.
        if self.cut or any(following.cut for following in self._followed.values()):
            self._leave(None)
        self.resumed()

    # Listening

    def _begin(self, way: Outlet) -> None:
        if self._terms.inlet is not None:
            self._inlet = Inlet(self._terms.inlet, self._voice, way, keyed=self._terms.keyed, keys=self._terms.writable)
            self._tasks.start("socket publishes", self._watched(partial(self._publish, self._inlet)))

    async def _finish(self) -> None:
        if self._inlet is not None:
            await self._inlet.finish(LAST_ANSWERS)

    async def _listen(self) -> None:
        if self._first is not None:
            self._subscribe(self._first)
        await super()._listen()

    async def _hear(self, frame: str | bytes, size: int) -> None:
        said: Said | None = None
        try:
            said = read_frame(frame)
            await self._do(said, size)
        except HeadgateError as error:
            await self._answer(self._voice.failure(error, **_named(said)))

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
