"""A reader of Server-Sent Events, written by the rules of the HTML standard alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.gates.web import PATIENCE


@dataclass(frozen=True)
class Event:
    """What a browser would hand to its page."""

    name: str
    data: str
    last_id: str


class Parser:
    """Lines in, events out."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self.comments = 0
        self._name = ""
        self._data: list[str] = []

    def line(self, line: str) -> Event | None:
        if line == "":
            return self._dispatch()
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field and colon:
            self.comments += 1
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self.last_id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        return Event(name, "\n".join(data), self.last_id) if data else None


class Events:
    """An open response, event by event."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.parser = Parser()
        self._lines = self._split()

    async def _split(self) -> AsyncIterator[str]:
        rest = ""
        async for text in self.response.aiter_text():
            *lines, rest = (rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
            for line in lines:
                yield line

    async def next(self) -> Event:
        """The next event. Raises `StopAsyncIteration` when the response ends."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = self.parser.line(await anext(self._lines))
                if event is not None:
                    return event

    async def take(self, count: int) -> list[Event]:
        """So many events."""
        return [await self.next() for _ in range(count)]

    async def until(self, sign: str) -> None:
        """Read on until the parser has this: `last_id`, `retry` or `comments`."""
        async with asyncio.timeout(PATIENCE):
            while not getattr(self.parser, sign):
                self.parser.line(await anext(self._lines))

    async def rest(self) -> list[Event]:
        """What comes until the response ends."""
        events = []
        try:
            while True:
                events.append(await self.next())
        except StopAsyncIteration:
            return events


@asynccontextmanager
async def follow(
    client: httpx2.AsyncClient,
    path: str,
    after: str | None = None,
    headers: dict[str, str] | None = None,
    **params: Any,
) -> AsyncIterator[Events]:
    """Follow a stream, after the last event that somebody had if that is given; ready when the block begins."""
    headers = {"Accept": "text/event-stream", **(headers or {})}
    if after is not None:
        headers["Last-Event-ID"] = after
    timeout = httpx2.Timeout(PATIENCE, read=None)
    async with client.stream("GET", path, params=params or None, headers=headers, timeout=timeout) as response:
        assert response.status_code == 200, await response.aread()
        events = Events(response)
        await events.until("retry")
        if after is None and not {"from", "after"} & {*params, *httpx2.URL(path).params}:
            await events.until("last_id")
        yield events
