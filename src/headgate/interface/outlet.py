"""The outlet: where a response that goes on is written, without a task that waits for each client.

Headgate's own server gives each request an outlet that writes to the socket. Under any other ASGI server a
task does the same through `send`.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from headgate.core.lanes import Payload
from headgate.interface.exchange import Scope
from headgate.runtime.tasks import cancel

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

    def write(self, payload: Payload) -> None:
        """Send this. Does not wait: look at `paused` first."""
        ...

    def attach(self, writer: Writer | None) -> None:
        """Tell this writer when there is room again, and when the client goes."""
        ...

    def abort(self) -> None:
        """Close the connection at once; what was not sent is dropped."""
        ...


Push = Callable[[Sequence[bytes]], Awaitable[None]]


@asynccontextmanager
async def outlet(
    scope: Scope, writer: Writer, push: Push, gone: Callable[[], Awaitable[None]] | None = None
) -> AsyncGenerator[Outlet, None]:
    """The way to a client. Under another server `push` sends frames, and `gone` returns when the client goes."""
    direct: Outlet | None = scope.get("extensions", {}).get(EXTENSION)
    if direct is not None:
        direct.attach(writer)
        try:
            yield direct
        finally:
            direct.attach(None)
        return
    sender = _Sender(push, writer)
    tasks = [asyncio.ensure_future(sender.send())]
    if gone is not None:
        tasks.append(asyncio.ensure_future(sender.watch(gone)))
    try:
        yield sender
    finally:
        for task in tasks:
            await cancel(task)


class _Sender:
    """An outlet on top of plain ASGI."""

    def __init__(self, push: Push, writer: Writer) -> None:
        self._push, self._writer = push, writer
        self._waiting: list[bytes] = []
        self._some = asyncio.Event()

    @property
    def paused(self) -> bool:
        return self._some.is_set()

    def write(self, payload: Payload) -> None:
        self._waiting += payload.frames
        self._some.set()

    def attach(self, writer: Writer | None) -> None:
        pass

    def abort(self) -> None:
        self._writer.lost()

    async def send(self) -> None:
        """Send what was written, all that there is at a time."""
        while True:
            await self._some.wait()
            frames, self._waiting = self._waiting, []
            await self._push(frames)
            if not self._waiting:
                self._some.clear()
                self._writer.resumed()

    async def watch(self, gone: Callable[[], Awaitable[None]]) -> None:
        """Notice when the client goes."""
        await gone()
        self._writer.lost()


class Named:
    """A part of an outlet that others use, too: what is written gets a name."""

    def __init__(self, outlet: Outlet, named: Callable[[bytes], bytes]) -> None:
        self._outlet, self._named = outlet, named

    @property
    def paused(self) -> bool:
        return self._outlet.paused

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

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._compressor = zlib.compressobj(level=5, wbits=16 + 12, memLevel=4)

    @property
    def paused(self) -> bool:
        return self._outlet.paused

    def write(self, payload: Payload) -> None:
        compressed = self._compressor.compress(b"".join(payload.frames))
        self._outlet.write(Payload([compressed, self._compressor.flush(zlib.Z_SYNC_FLUSH)]))

    def finish(self) -> None:
        """Write what ends the compressed body."""
        self._outlet.write(Payload([self._compressor.flush(zlib.Z_FINISH)]))

    def attach(self, writer: Writer | None) -> None:
        self._outlet.attach(writer)

    def abort(self) -> None:
        self._outlet.abort()
