"""Sinks over HTTP, without a gate: an app that gives what queues of a program hold, and a server for it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from headgate.core.codec import Codec, MessageSerializer, RawCodec
from headgate.core.message import Message
from headgate.core.position import Batch, Position
from headgate.core.wire import JSON
from headgate.interface.boundary import Boundary
from headgate.interface.exchange import Receive, Request, Response, Scope, Send, json
from headgate.interface.pages import Pages
from headgate.interface.poll import ANSWERS, PARAMETERS, answer_of, compress, patiently, read_poll
from headgate.interface.route import Answer, Route, Router
from headgate.runtime.stats import WebStats
from headgate.transport.bell import Bell, Deadline
from headgate.transport.queue_sink import QueueBasedMessageSink

Sinks = QueueBasedMessageSink[Any] | Mapping[str, QueueBasedMessageSink[Any]]
_ASKED = [parameter for parameter in PARAMETERS if parameter.name in ("limit", "wait")]
_NOWHERE = Position("none", {})


class MessageApp:
    """An ASGI app: `GET /messages` drains a sink, or each path its own, and `/health` tells how much waits there.

    A message that a client did not get because it went away waits for the next. Safe to publish to from any thread.
    """

    def __init__(self, sinks: Sinks, *, title: str = "messages") -> None:
        self._sinks = sinks if isinstance(sinks, Mapping) else {"/messages": sinks}
        self._drained = asyncio.Event()
        self._outlets = {path: _Outlet(sink) for path, sink in self._sinks.items()}
        routes = [_route(path, outlet, self._drained) for path, outlet in self._outlets.items()]
        self._app = Boundary(
            behind=Pages(title, "1", lambda: self._app.router.routes),
            stats=WebStats(),
            request_limit=0,
            clock=time.monotonic,
        )
        self._app.router = Router([*routes, _health(self._sinks)])

    def __repr__(self) -> str:
        return f"<MessageApp: {', '.join(self._sinks)}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await self._app(scope, receive, send)

    def drain(self) -> None:
        """Take nothing new; let those who wait go home."""
        self._app.draining = True
        self._drained.set()
        for outlet in self._outlets.values():
            outlet.close()


async def _live(receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


class _Outlet:
    """One sink, and those who wait for it in the server's loop."""

    def __init__(self, sink: QueueBasedMessageSink[Any]) -> None:
        self.sink = sink
        self.codec = _shown(sink.serializer)
        self._news = Bell()
        self._loop: asyncio.AbstractEventLoop | None = None
        sink.listen(self._tell)

    def _tell(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits in it
                self._loop.call_soon_threadsafe(self._news.ring)

    def close(self) -> None:
        """Hear no more of the sink."""
        self.sink.leave(self._tell)

    async def take(self, limit: int, wait: float) -> Sequence[Message[bytes]]:
        """What waits; something, unless so many seconds pass first."""
        self._loop = asyncio.get_running_loop()
        deadline = Deadline(wait)
        while not (messages := self.sink.take(limit)):
            if deadline.left() == 0 or not await self._news.wait(deadline.left()):
                return self.sink.take(limit)
        return messages


def _route(path: str, outlet: _Outlet, drained: asyncio.Event) -> Route:
    poll = partial(_poll, outlet, drained)
    return Route("GET", path, poll, "Read messages: what is read is gone", "messages", _ASKED, answers=ANSWERS)


async def _poll(outlet: _Outlet, drained: asyncio.Event, request: Request) -> Response:
    # A reader of broadcast streams says where to start; here there is nothing but what waits.
    asked = read_poll(request, [parameter.name for parameter in PARAMETERS if parameter.name != "follow"])
    taking = asyncio.ensure_future(outlet.take(asked.limit, asked.wait))
    try:
        messages = await patiently(request, asked, taking, drained.wait) or ()
        response = answer_of(Batch(messages, _NOWHERE), outlet.codec, asked.media)
        await compress(request, response)
    except BaseException:
        # What was taken on the way to a client that is gone waits for the next.
        if taking.done() and not taking.cancelled() and taking.exception() is None:
            outlet.sink.give_back(taking.result())
        raise
    response.settle = partial(_settle, outlet.sink, messages)
    return response


async def _settle(sink: QueueBasedMessageSink[Any], messages: Sequence[Message[bytes]], delivered: bool) -> None:
    if not delivered:
        sink.give_back(messages)


def _health(sinks: Mapping[str, QueueBasedMessageSink[Any]]) -> Route:
    async def health(_: Request) -> Response:
        sizes = {path: {"queue_size": len(sink)} for path, sink in sinks.items()}
        told = next(iter(sizes.values())) if len(sizes) == 1 else {"endpoints": sizes}
        return json({"status": "healthy", **told})

    answers = [Answer(200, "How much waits", {JSON: {"type": "object"}})]
    return Route("GET", "/health", health, "Is it alive?", "operations", answers=answers, open_while_draining=True)


def _shown(serializer: MessageSerializer[Any]) -> Codec[Any]:
    """How values are shown as JSON: a serializer that cannot say has them in base64."""
    return serializer if hasattr(serializer, "to_json") else RawCodec()  # type: ignore[return-value]
