"""Links for tests: an owner that notes what came, and somebody who speaks bytes."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from headgate.core.frames import Opener, Sealer
from headgate.core.greeting import NONCE, Client, Rules
from headgate.errors import HeadgateError
from headgate.transport.link import Link, LinkServer

SECRET = b"a secret of thirty-two bytes ..."
TALK = 10  # the one kind of frame that is taken
PATIENCE = 10.0


class Noted:
    """Notes what came over its links, and how they ended."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.links: list[Link] = []
        self.ends: list[HeadgateError | None] = []
        self.changed = asyncio.Event()

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))
        if link not in self.links:
            self.links.append(link)
        self.changed.set()

    def ended(self, link: Link, reason: HeadgateError | None) -> None:
        self.ends.append(reason)
        self.changed.set()

    async def until(self, count: int = 0, ends: int = 0) -> None:
        """Return when so many frames came and so many links ended."""
        async with asyncio.timeout(PATIENCE):
            while len(self.frames) < count or len(self.ends) < ends:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def listening(**given: Any) -> AsyncIterator[tuple[LinkServer, Noted]]:
    """A server whose links are all noted."""
    owner = Noted()
    server = LinkServer(Rules(SECRET, **given), [TALK], lambda name: owner if name == "ours" else None)
    await server.start("127.0.0.1", 0)
    try:
        yield server, owner
    finally:
        await server.close()


class Attacker:
    """A socket that knows how to greet, and then sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.sealer: Sealer | None = None
        self.opener: Opener | None = None

    async def greet(self, rules: Rules, name: str = "ours", nonce: bytes = b"n" * NONCE) -> None:
        """Become what looks like one of ours."""
        client = Client(rules, name, nonce)
        self.writer.write(client.hello(now=time.monotonic_ns()))
        self.sealer, self.opener = client.welcomed(await self.frame(), (TALK,), now=time.monotonic_ns())

    async def frame(self) -> bytes:
        """What the server sends next."""
        async with asyncio.timeout(PATIENCE):
            [length] = struct.unpack(">I", await self.reader.readexactly(4))
            return await self.reader.readexactly(length)

    def seal(self, payload: bytes = b"hello", kind: int = TALK, late: float = 0.0) -> bytes:
        """A good frame, made some seconds ago."""
        assert self.sealer is not None
        return self.sealer.seal(kind, payload, now=time.monotonic_ns() - round(late * 1e9))

    async def is_cut_off(self) -> bool:
        """The server closes the connection."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        return True


@asynccontextmanager
async def attacker(server: LinkServer) -> AsyncIterator[Attacker]:
    """A connection to a server."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield Attacker(reader, writer)
    finally:
        writer.transport.abort()
