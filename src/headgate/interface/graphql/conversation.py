"""The conversation: queries and subscriptions of one client over a WebSocket, by graphql-transport-ws."""

import asyncio
from functools import partial
from typing import Any

import msgspec
from graphql import OperationType

from headgate.core.codec import json_encode
from headgate.errors import HeadgateError, TooMuch
from headgate.interface.call.routes import trace_of
from headgate.interface.exchange import Request
from headgate.interface.following import Following
from headgate.interface.graphql.context import Context
from headgate.interface.graphql.results import Results, refusal_of, result_of
from headgate.interface.graphql.service import Asked, Operation, QueryRefused
from headgate.interface.graphql.terms import Terms
from headgate.interface.outlet import Named, Outlet
from headgate.interface.socket import GOING_AWAY, Goodbye, Socket
from headgate.interface.visit import Visit
from headgate.interface.websocket import Door, refuse_strangers

PROTOCOL = "graphql-transport-ws"
PATIENCE = 10.0  # seconds until a client has said that it is there
BAD, UNAUTHORIZED, NOT_ACCEPTABLE, TOO_LATE, SAID_TWICE, NOT_FREE = 4400, 4401, 4406, 4408, 4429, 4409
_LONGEST_ID = 100


class Init(msgspec.Struct, tag="connection_init"):
    """The client is there."""

    payload: Any = None


class Subscribe(msgspec.Struct, tag="subscribe"):
    """The client asks something."""

    id: str
    payload: Asked


class Complete(msgspec.Struct, tag="complete"):
    """It wants no more of it."""

    id: str


class Ping(msgspec.Struct, tag="ping"):
    """It wants a sign of life."""

    payload: Any = None


class Pong(msgspec.Struct, tag="pong"):
    """It gives one."""

    payload: Any = None


_said = msgspec.json.Decoder(Init | Subscribe | Complete | Ping | Pong, strict=True)


def graphql_door(terms: Terms) -> Door:
    """What serves the WebSockets of an interface. It may raise, before it accepts, what keeps a client out."""

    async def enter(request: Request, socket: Socket) -> None:
        refuse_strangers(request, terms.origins)
        await Conversation(request, socket, terms).serve()

    return enter


class _Followed(Following):
    """One subscription."""

    def __init__(self, results: Results, on_slow: str, way: Outlet) -> None:
        super().__init__(results, on_slow)
        self._way = way

    async def opened(self, place: str) -> None:  # noqa: ARG002 - the protocol has no word for it
        if not self.over:
            self.outlet = self._way
            self.wake()

    def stop(self) -> None:
        super().stop()
        self.outlet = None


class Conversation(Visit):
    """One client, and what it has asked that is not complete."""

    def __init__(self, request: Request, socket: Socket, terms: Terms) -> None:
        super().__init__(socket, terms.visitors, stall=terms.stall, rate=terms.rate, frame_bytes=terms.frame_bytes)
        self._terms = terms
        self._context = Context(request.caller, terms.path, terms.drained, trace_of(request))
        self._open: dict[str, asyncio.Task[Any]] = {}
        self._followed: set[_Followed] = set()
        self._greeted = False

    def __repr__(self) -> str:
        return f"<Conversation: {len(self._open)} open>"

    async def serve(self) -> None:
        """Let the client in, and listen until one of the two goes."""
        speaks = PROTOCOL in self._socket.protocols
        if not speaks:
            self._leave(Goodbye(NOT_ACCEPTABLE, f"the subprotocol that is spoken here is {PROTOCOL}"))
        await self._stay(PROTOCOL if speaks else None)

    def _begin(self, way: Outlet) -> None:  # noqa: ARG002
        self._tasks.start("socket waits for its client", self._watched(self._expect_greeting))

    async def _expect_greeting(self) -> None:
        await asyncio.sleep(PATIENCE)
        if not self._greeted:
            raise Goodbye(TOO_LATE, "Connection initialisation timeout")

    def resumed(self) -> None:
        super().resumed()
        for following in list(self._followed):
            following.resumed()

    # Listening

    async def _hear(self, frame: str | bytes, size: int) -> None:  # noqa: ARG002
        try:
            said = _said.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Goodbye(BAD, f"not a message of {PROTOCOL}: {error}") from None
        match said:
            case Init():
                await self._greet()
            case Ping():
                await self._say("pong")
            case Subscribe():
                await self._ask(said)
            case Complete(id=name) if name in self._open:
                self._open.pop(name).cancel()

    async def _greet(self) -> None:
        if self._greeted:
            raise Goodbye(SAID_TWICE, "Too many initialisation requests")
        self._greeted = True
        await self._say("connection_ack")

    async def _ask(self, said: Subscribe) -> None:
        if not self._greeted:
            raise Goodbye(UNAUTHORIZED, "Unauthorized: say connection_init first")
        if not 0 < len(said.id) <= _LONGEST_ID:
            raise Goodbye(BAD, f"an id has 1 to {_LONGEST_ID} characters")
        if said.id in self._open:
            raise Goodbye(NOT_FREE, f"Subscriber for {said.id} already exists")
        try:
            if len(self._open) >= self._terms.subscriptions:
                raise TooMuch(f"{self._terms.subscriptions} subscriptions and queries at once are the limit here")
            operation = self._terms.service.prepare(said.payload)
        except HeadgateError as error:
            await self._refuse(said.id, [refusal_of(error)])
        except QueryRefused as refused:
            await self._refuse(said.id, refused.errors)
        else:
            self._open[said.id] = self._tasks.start(
                "socket asks", self._watched(partial(self._see_through, said.id, operation))
            )

    async def _see_through(self, name: str, operation: Operation) -> None:
        try:
            if operation.kind is OperationType.SUBSCRIPTION:
                await self._follow(name, operation)
            else:
                await self._carry_out(name, operation)
        except HeadgateError as error:
            await self._refuse(name, [refusal_of(error)])
        except QueryRefused as refused:
            await self._refuse(name, refused.errors)
        finally:
            if self._open.get(name) is asyncio.current_task():
                del self._open[name]

    async def _carry_out(self, name: str, operation: Operation) -> None:
        result = await self._terms.service.carry_out(operation, self._context)
        await self._answer(_next(json_encode(result_of(result)), json_encode(name)))
        await self._say("complete", id=name)

    async def _follow(self, name: str, operation: Operation) -> None:
        wanted, results = self._terms.service.follow(operation, self._context)
        assert self._outlet is not None
        way = Named(self._outlet, partial(_next, name=json_encode(name)))
        following = _Followed(results, self._terms.on_slow, way)
        self._followed.add(following)
        try:
            await following.begin(wanted.hub, wanted.selection, wanted.start)
            await following.until_over()
        finally:
            following.stop()
            self._followed.discard(following)
            self.cut = self.cut or following.cut
        if following.closed:
            raise Goodbye(GOING_AWAY, "the stream is closed; come again")

    async def _refuse(self, name: str, errors: list[dict[str, Any]]) -> None:
        await self._say("error", id=name, payload=errors)

    async def _say(self, kind: str, **facts: Any) -> None:
        await self._answer(json_encode({"type": kind, **facts}))


def _next(result: bytes, name: bytes) -> bytes:
    return b'{"id":%b,"type":"next","payload":%b}' % (name, result)
