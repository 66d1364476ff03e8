"""The talk: one client's WebSocket, what it follows by it and what it publishes."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from functools import partial
from itertools import repeat

from headgate.core.lanes import Payload
from headgate.core.message import Message
from headgate.core.position import Position
from headgate.errors import BadRequest, CodecError, HeadgateError, InvalidParameter, TransportError
from headgate.interface.exchange import ClientGone, Request
from headgate.interface.filter import selection
from headgate.interface.following import Following
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
    published,
    read_frame,
)
from headgate.interface.outlet import Named, Outlet, Sender, direct_outlet
from headgate.interface.place import NAMES, follow_at
from headgate.interface.socket import FAILED, GOING_AWAY, POLICY, TOO_LARGE, Goodbye, Socket
from headgate.interface.terms import Terms
from headgate.interface.visitors import Stall, Visitors
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.transport.bell import Bell

MOST_SUBSCRIPTIONS = 100
MOST_UNPUBLISHED = 1000  # frames that a client may be ahead of what is acknowledged


class Subscription(Following):
    """One way in which a client follows."""

    def __init__(self, voice: Texts | Packed, on_slow: str, way: Outlet) -> None:
        super().__init__(voice, on_slow)
        self._voice, self._way = voice, way

    async def opened(self, place: str) -> None:
        self.outlet = self._way
        self.write(self._voice.word("subscribed", **({"position": place} if place else {})))
        self.wake()


class Talk:
    """One client. What it follows writes to it as it comes; what it says is heard one frame after the other."""

    def __init__(self, socket: Socket, terms: Terms, visitors: Visitors) -> None:
        self.since = 0.0
        self.cut = False
        self._socket, self._terms, self._visitors = socket, terms, visitors
        self._voice: Texts | Packed = Texts(terms.spoken.codec, terms.keyed)
        self._followed: dict[str, Following] = {}
        self._outlet: Outlet | None = None
        self._tasks = Tasks()
        self._leaving: asyncio.Future[Goodbye | None] = asyncio.get_running_loop().create_future()
        self._stall = Stall(terms.stall)
        self._unpublished: list[Publish | PublishBytes] = []
        self._change = Bell()
        self._allowance, self._asked = terms.rate, asyncio.get_running_loop().time()

    async def serve(self, request: Request) -> None:
        """Let the client in, and listen until one of the two goes. May raise what keeps it out."""
        first = self._first(request)
        if self._terms.hub is not None:
            await self._terms.hub.come_up()
        protocol = next((name for name in self._socket.protocols if name in (JSON_PROTOCOL, MSGPACK_PROTOCOL)), None)
        if protocol == MSGPACK_PROTOCOL:
            self._voice = Packed(self._voice.codec, self._voice.keyed)
        await self._socket.accept(protocol)
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
        if goodbye is not None:
            await self._socket.close(goodbye.code, goodbye.reason)

    async def _converse(self, way: Outlet, first: Subscribe | None) -> Goodbye | None:
        self._outlet = way
        self._visitors.add(self)
        try:
            async with self._tasks:
                self._tasks.start("socket publishes", self._publish_all())
                self._tasks.start("socket listens", self._listen(first))
                return await self._leaving
        finally:
            self._visitors.remove(self)
            self._outlet = None

    def _first(self, request: Request) -> Subscribe | None:
        """What the client follows from the start, as its URL says; None when it has to say so itself."""
        asked = {name: values for name, values in request.query.items() if name not in NAMES}
        if self._terms.hub is None:
            if request.query:
                raise InvalidParameter("there is nothing to follow here, so the URL has no parameters")
            return None
        if not request.query and any(item.required for item in self._terms.filters):
            return None
        first = Subscribe(filter=dict(asked), after=request.parameter("after"), start=request.parameter("from"))
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
        self._change.ring()
        for following in list(self._followed.values()):
            following.resumed()

    def lost(self) -> None:
        """The client is gone."""
        self._leave(None)

    def _leave(self, goodbye: Goodbye | None) -> None:
        if not self._leaving.done():
            self._leaving.set_result(goodbye)

    # Listening

    async def _listen(self, first: Subscribe | None) -> None:
        try:
            if first is not None:
                self._subscribe(first)
            while True:
                await self._hear(await self._socket.next())
        except ClientGone:
            self._leave(None)
        except Goodbye as goodbye:
            self._leave(goodbye)
        except Exception:
            self._leave(Goodbye(FAILED, "the gate failed; its log has the reason"))
            raise

    async def _hear(self, frame: str | bytes) -> None:
        self._refuse_excess(len(frame))
        try:
            said = read_frame(frame)
            if isinstance(said, Publish | PublishBytes):
                await self._publish(said)
            else:
                self._do(said)
        except HeadgateError as error:
            self._say(self._voice.failure(error))

    def _refuse_excess(self, size: int) -> None:
        if size > self._terms.frame_bytes:
            raise Goodbye(TOO_LARGE, f"a frame may have {self._terms.frame_bytes} bytes")
        now = asyncio.get_running_loop().time()
        self._allowance = min(self._terms.rate, self._allowance + (now - self._asked) * self._terms.rate)
        self._asked = now
        if self._allowance < 1:
            raise Goodbye(POLICY, f"{self._terms.rate:g} frames per second are the limit")
        self._allowance -= 1

    def _do(self, said: Said) -> None:
        match said:
            case Subscribe():
                self._subscribe(said)
            case Unsubscribe(id=name):
                self._following(name).stop()
            case Ack():
                raise BadRequest("this subscription has no cursor: there is nothing to acknowledge")

    def _say(self, frame: bytes) -> None:
        if self._outlet is not None:
            self._outlet.write(Payload([frame]))

    # Following

    def _following(self, name: str) -> Following:
        if name not in self._followed:
            raise BadRequest(f"there is no subscription {name[:80]!r}")
        return self._followed[name]

    def _subscribe(self, asked: Subscribe) -> None:
        if self._terms.hub is None:
            raise BadRequest("there is nothing to follow here")
        if asked.id in self._followed:
            raise BadRequest(f"there is a subscription {asked.id[:80]!r} already; give this one another id")
        if len(self._followed) >= MOST_SUBSCRIPTIONS:
            raise BadRequest(f"{MOST_SUBSCRIPTIONS} subscriptions are the limit on one socket")
        values = {name: [v] if isinstance(v, str) else v for name, v in asked.filter.items()}
        wanted = selection(self._terms.filters, values)
        start = follow_at(asked.after, asked.start)
        assert self._outlet is not None
        way = Named(self._outlet, partial(self._voice.named, name=asked.id)) if asked.id else self._outlet
        following = self._followed[asked.id] = Subscription(self._voice, self._terms.on_slow, way)
        beginning = following.begin(self._terms.hub, wanted, start)
        self._tasks.start("socket follows", self._see_through(asked.id, following, beginning))

    async def _see_through(self, name: str, following: Following, beginning: Coroutine[None, None, None]) -> None:
        try:
            await beginning
            await following.until_over()
        except HeadgateError as error:
            self._say(self._voice.failure(error))
        finally:
            following.stop()
            del self._followed[name]
            self.cut = self.cut or following.cut
        if following.closed:
            self._leave(Goodbye(GOING_AWAY, "the stream is closed; come again"))

    # Publishing

    async def _publish(self, said: Publish | PublishBytes) -> None:
        if self._terms.inlet is None:
            raise BadRequest("nothing can be published here")
        while len(self._unpublished) >= MOST_UNPUBLISHED:
            await self._change.wait()
        self._unpublished.append(said)
        self._change.ring()

    async def _publish_all(self) -> None:
        """Publish what was said, all that came during the last publishing at once."""
        while True:
            while not self._unpublished or (self._outlet is not None and self._outlet.paused):
                await self._change.wait()
            said, self._unpublished = self._unpublished, []
            self._change.ring()
            for frame in await self._publish_batch(said):
                self._say(frame)

    async def _publish_batch(self, said: Sequence[Publish | PublishBytes]) -> list[bytes]:
        """The answer to each, in their order."""
        inlet = self._terms.inlet
        assert inlet is not None
        parsed = [self._parsed(item, inlet) for item in said]
        good = [item for item in parsed if isinstance(item, Message)]
        kept: Iterator[Position | TransportError]
        try:
            kept = (await inlet.publish(good)).positions() if good else iter(())
        except TransportError as error:
            kept = repeat(error)
        return [
            self._answer(item.ref, next(kept) if isinstance(result, Message) else result)
            for item, result in zip(said, parsed, strict=True)
        ]

    def _parsed(self, said: Publish | PublishBytes, inlet: Stream) -> Message[bytes] | HeadgateError:
        if (said.key is None) is self._terms.keyed:
            return BadRequest("a message needs a key here" if self._terms.keyed else "messages have no keys here")
        try:
            return published(said, inlet.codec)
        except CodecError as error:
            return error

    def _answer(self, ref: int | str | None, result: Position | HeadgateError) -> bytes:
        facts = {} if ref is None else {"ref": ref}
        if isinstance(result, Position):
            return self._voice.word("ack", position=str(result), **facts)
        return self._voice.word("error", error=str(result), code=result.code, **facts)
