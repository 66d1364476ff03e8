"""Clients for tests: one that speaks HTTP, and one that only speaks bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from headgate.spec.plan import Plan
from tests.gates.inside import Serving, serving

PATIENCE = 10.0  # seconds until a test that waits in vain says so


@asynccontextmanager
async def web(config: str | Plan, **given: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, Serving]]:
    """A served gate, and a client whose paths are the gate's."""
    async with serving(config, **given) as served, client_of(served.url) as client:
        yield client, served


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that knows nothing of proxies and gives up after a while."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        yield client


async def eventually(fact: Callable[[], object]) -> None:
    """Return when this is so."""
    async with asyncio.timeout(PATIENCE):
        while not fact():
            await asyncio.sleep(0.002)


@dataclass
class Answer:
    """A response, byte for byte."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for other, value in self.headers if other == name]


class Raw:
    """A connection of bytes: what no polite client would send, and leaving when no polite client would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Answer:
        """The status and headers of the next response."""
        async with asyncio.timeout(PATIENCE):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip().split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return Answer(int(first.split()[1]), [(name.lower(), value) for name, value in pairs], b"")

    async def answer(self) -> Answer:
        """The next response that says how long it is."""
        answer = await self.head()
        async with asyncio.timeout(PATIENCE):
            answer.body = await self.reader.readexactly(int((answer.all("content-length") or ["0"])[0]))
        return answer

    async def rest(self) -> bytes:
        """All that comes until the other side closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def leave(self) -> None:
        """Go without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    """A connection to where a gate answers."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
