"""The outlet: where a response that goes on is written, without a task that waits for each client.

Headgate's own server gives each request an outlet that writes to the socket. Under any other ASGI server a
task does the same through `send`.
"""

import asyncio
import zlib
from asyncio import FIRST_COMPLETED as FIRST
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, Self

from headgate.core.lanes import Payload
from headgate.interface.exchange import Scope
from headgate.runtime.tasks import cancel
from headgate.transport.bell import Bell

EXTENSION = "headgate.outlet"


class Writer(Protocol):
    """Who writes to an outlet, and is told what becomes of it."""

    def resumed(self) -> None:
        """There is room again."""
        ...

    def lost(self) -> None:
        """The client is gone."""
        ...


class Outlet(Protocol):
    """A way to one client."""

    @property
    def paused(self) -> bool:
        """Whether the client has not taken what it was sent."""
        ...

    def offer(self, payload: Payload) -> bool:
        """Send this, unless it is paused."""
        ...

    def write(self, payload: Payload) -> None:
        """Send this also when it is paused: words that are no messages."""
        ...

    def attach(self, writer: Writer | None) -> None:
        """Tell this writer when there is room again, and when the client goes."""
        ...

    def abort(self) -> None:
        """Close the connection at once; what was not sent is dropped."""
        ...


class BodyOutlet(Outlet, Protocol):
    """A way to write the body of a response."""

    def keep(self) -> None:
        """The response goes on when its request was served, until it is finished."""
        ...

    def finish(self) -> None:
        """The body ends here."""
        ...


Push = Callable[[Sequence[bytes]], Awaitable[None]]


def direct_outlet(scope: Scope) -> Any:
    """The way to the client's socket, where our own server serves it; None under another."""
    return scope.get("extensions", {}).get(EXTENSION)


class Sender:
    """An outlet on top of plain ASGI, with tasks of its own.

    `push` sends frames, and `gone` returns when the client goes.
    """

    def __init__(self, writer: Writer, push: Push, gone: Callable[[], Awaitable[None]] | None = None) -> None:
        self._writer, self._push, self._gone = writer, push, gone
        self._waiting: list[bytes] = []
        self._change = Bell()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks.append(asyncio.create_task(self._send()))
        if self._gone is not None:
            self._tasks.append(asyncio.create_task(self._watch(self._gone)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """What was written is sent first, if the client takes it."""
        while self._waiting and not any(task.done() for task in self._tasks):
            await asyncio.wait([*self._tasks, ring := asyncio.ensure_future(self._change.wait())], return_when=FIRST)
            await cancel(ring)
        for task in self._tasks:
            await cancel(task)

    @property
    def paused(self) -> bool:
        return bool(self._waiting)

    def offer(self, payload: Payload) -> bool:
        return _offer(self, payload)

    def write(self, payload: Payload) -> None:
        self._waiting += payload.frames
        self._change.ring()

    def attach(self, writer: Writer | None) -> None:
        pass  # it has the one that it was made for

    def keep(self) -> None:
        pass  # the request is served until the response ends

    def finish(self) -> None:
        pass  # whoever serves the request ends the response

    def abort(self) -> None:
        self._waiting.clear()
        self._writer.lost()

    async def _send(self) -> None:
        while True:
            while not self._waiting:
                await self._change.wait()
            frames = list(self._waiting)
            await self._push(frames)
            del self._waiting[: len(frames)]
            self._change.ring()
            if not self._waiting:
                self._writer.resumed()

    async def _watch(self, gone: Callable[[], Awaitable[None]]) -> None:
        await gone()
        self._writer.lost()


def _offer(outlet: Outlet, payload: Payload) -> bool:
    if outlet.paused:
        return False
    outlet.write(payload)
    return True


class Named:
    """A part of an outlet that others use, too: what is written gets a name."""

    def __init__(self, outlet: Outlet, named: Callable[[bytes], bytes]) -> None:
        self._outlet, self._named = outlet, named

    @property
    def paused(self) -> bool:
        return self._outlet.paused

    def offer(self, payload: Payload) -> bool:
        return _offer(self, payload)

    def write(self, payload: Payload) -> None:
        self._outlet.write(Payload([self._named(frame) for frame in payload.frames]))

    def attach(self, writer: Writer | None) -> None:
        self._outlet.attach(writer)

    def abort(self) -> None:
        self._outlet.abort()


class Gzip:
    """An outlet that compresses on its way; a payload can be read as soon as it arrives.

    A small window is enough for what repeats itself from one event to the next, and costs 24 KB a client.
    """

    def __init__(self, outlet: BodyOutlet) -> None:
        self._outlet = outlet
        self._compressor = zlib.compressobj(level=5, wbits=16 + 12, memLevel=4)

    @property
    def paused(self) -> bool:
        return self._outlet.paused

    def offer(self, payload: Payload) -> bool:
        return _offer(self, payload)

    def write(self, payload: Payload) -> None:
        compressed = self._compressor.compress(b"".join(payload.frames))
        self._outlet.write(Payload([compressed, self._compressor.flush(zlib.Z_SYNC_FLUSH)]))

    def attach(self, writer: Writer | None) -> None:
        self._outlet.attach(writer)

    def keep(self) -> None:
        self._outlet.keep()

    def finish(self) -> None:
        self._outlet.write(Payload([self._compressor.flush(zlib.Z_FINISH)]))
        self._outlet.finish()

    def abort(self) -> None:
        self._outlet.abort()
