"""A connection that carries frames: greeted, believed frame by frame, and given up when the other side stalls."""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Collection
from typing import Protocol, cast

from headgate.core.frames import Opener, Sealer, Splitter
from headgate.core.greeting import LIMIT, NONCE, Client, Rules
from headgate.errors import FrameMalformed, FrameRefused, HeadgateError, LinkLost
from headgate.transport.bell import Bell

GREETING_SECONDS = 5.0  # until both sides have said who they are
BUFFER = 4 * 2**20  # bytes that wait to be sent before senders have to wait


class Ends(Protocol):
    """Whoever a link belongs to. Both are called in the loop and must not raise."""

    def frame(self, link: "Link", kind: int, payload: bytes, /) -> None:
        """A frame came that is believed."""
        ...

    def ended(self, link: "Link", reason: HeadgateError | None, /) -> None:
        """Nothing comes any more; the reason is None when one of the two closed it."""
        ...


class Link(asyncio.Protocol):
    """One side of a connection. It is done with the other side at the first frame that is not believed."""

    def __init__(self, rules: Rules, owner: Ends) -> None:
        self.rules = rules
        self.name = ""  # of who connected
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter(LIMIT)
        self._greet: Callable[[bytes], None] | None = None
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._transport: asyncio.Transport | None = None
        self._reason: HeadgateError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._writable = Bell()
        self._paused = False
        self._believed = False  # the other side has the secret
        self.closed = False
        self.heard_at = time.monotonic()

    def __repr__(self) -> str:
        return f"<Link {self.name or '?'}{': closed' if self.closed else ''}>"

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's are like them, but none of them
        self._transport = transport
        if self.closed:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=BUFFER)
        _without_delay(transport)
        self._give_up_in(GREETING_SECONDS, "the other side did not say who it is")

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        try:
            for frame in self._splitter.feed(data):
                self._take(frame)
                if self.closed:
                    return
            self._watch()
        except HeadgateError as error:
            self.abort(error)

    def eof_received(self) -> bool:
        try:
            self._splitter.end()
        except FrameRefused as error:
            self._reason = self._reason or error
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.closed = True
        self._writable.ring()
        self._owner.ended(self, self._reason or (LinkLost(str(error)) if error else None))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._writable.ring()

    # Both sides

    def greeted_by(self, greet: Callable[[bytes], None]) -> None:
        """Until there is a session, frames go there."""
        self._greet = greet

    def converse(self, sealer: Sealer, opener: Opener) -> None:
        """From here on frames are those of a session."""
        self._sealer, self._opener, self._greet = sealer, opener, None
        self._splitter.limit = self.rules.limit

    def belong_to(self, owner: Ends) -> None:
        """From here on it is theirs."""
        self._owner = owner

    def _take(self, frame: bytes) -> None:
        if self._opener is not None:
            kind, payload = self._opener.open(frame, now=time.monotonic_ns())
            self.believe()
            self._owner.frame(self, kind, payload)
        elif self._greet is not None:
            self._greet(frame)
        else:
            raise FrameMalformed("a frame came before it was its turn")

    def believe(self) -> None:
        """The other side has shown that it has the secret, and owes nothing."""
        self._believed = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch(self) -> None:
        """A frame that has begun has to come to its end, too."""
        if not self._believed:
            return
        if not self._splitter:
            self.believe()
        elif self._deadline is None:
            self._give_up_in(self.rules.ttl, "a frame was begun and not ended")

    def _give_up_in(self, seconds: float, why: str) -> None:
        self._deadline = self._loop.call_later(seconds, lambda: self.abort(LinkLost(f"{why} within {seconds:g} s")))

    def write(self, frame: bytes) -> None:
        """Send bytes that are a frame already."""
        if self._transport is not None and not self.closed:
            self._transport.write(frame)

    def send(self, kind: int, payload: bytes) -> None:
        """Send a frame. What it holds may be lost when the link ends. May raise `FrameTooLarge` or `LinkLost`."""
        if self.closed or self._sealer is None:
            raise LinkLost("the link is closed")
        self.write(self._sealer.seal(kind, payload, now=time.monotonic_ns()))

    async def room(self) -> None:
        """Return when what was sent is on its way. A side that reads nothing for too long is given up."""
        while self._paused and not self.closed:
            if not await self._writable.wait(self.rules.ttl):
                self.abort(LinkLost(f"the other side read nothing for {self.rules.ttl:g} s"))

    def abort(self, reason: HeadgateError) -> None:
        """End it now, and say why."""
        if not self.closed:
            self._reason = self._reason or reason
            self.closed = True
            if self._transport is not None:
                self._transport.abort()

    def close(self) -> None:
        """End it when what was sent is on its way."""
        if self._transport is not None and not self.closed:
            self._transport.close()


def _without_delay(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def connect(
    host: str, port: int, rules: Rules, name: str, owner: Ends, kinds: Collection[int], *, first: tuple[int, bytes]
) -> Link:
    """A link to a server, which hears `first` of us. May raise `LinkLost`, `FrameRefused` or `VersionMismatch`."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    client = Client(rules, name, secrets.token_bytes(NONCE))
    try:
        _, link = await loop.create_connection(lambda: Link(rules, _Greeting(owner, ready)), host, port)
    except OSError as error:
        raise LinkLost(f"nobody answers at {host}:{port}: {error}") from None
    link.name = name

    def welcomed(frame: bytes) -> None:
        link.converse(*client.welcomed(frame, tuple(kinds), now=time.monotonic_ns()))
        link.believe()
        link.send(*first)
        if not ready.done():
            ready.set_result(None)

    link.greeted_by(welcomed)
    link.write(client.hello(now=time.monotonic_ns()))
    try:
        await ready
    except BaseException:
        link.abort(LinkLost("the greeting was not ended"))
        raise
    return link


class _Greeting:
    """Stands between a link and its owner until the greeting is over."""

    def __init__(self, owner: Ends, ready: asyncio.Future[None]) -> None:
        self._owner, self._ready = owner, ready

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        self._owner.frame(link, kind, payload)

    def ended(self, link: Link, reason: HeadgateError | None) -> None:
        if self._ready.done():
            self._owner.ended(link, reason)
        else:
            self._ready.set_exception(reason or LinkLost("the other side refused the greeting"))
