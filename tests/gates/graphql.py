"""Clients of a graphql interface for tests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.gates.web import PATIENCE

EVENTS = {"Accept": "text/event-stream"}


async def ask(client: httpx2.AsyncClient, query: str, **variables: Any) -> dict[str, Any]:
    """What a query comes to: its data, when there is no error."""
    answer: dict[str, Any] = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
    data: dict[str, Any] = answer if "errors" in answer else answer["data"]
    return data


class Socket:
    """A client of graphql-transport-ws."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, kind: str, **facts: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **facts}))

    async def subscribe(self, name: str, query: str, **variables: Any) -> None:
        await self.say("subscribe", id=name, payload={"query": query, "variables": variables})

    async def next(self) -> dict[str, Any]:
        """What is said next. Raises `ConnectionClosed` when the socket is closed."""
        async with asyncio.timeout(PATIENCE):
            told: dict[str, Any] = json.loads(await self.connection.recv())
            return told

    async def data(self, name: str, count: int) -> list[dict[str, Any]]:
        """The data of the next results, which all are of this subscription."""
        told = [await self.next() for _ in range(count)]
        assert {(frame["id"], frame["type"]) for frame in told} <= {(name, "next")}, told
        return [frame["payload"]["data"] for frame in told]

    async def farewell(self) -> tuple[int, str]:
        """The code and reason that the gate closes with."""
        with suppress(ConnectionClosed):
            while True:
                await self.next()
        received = self.connection.protocol.close_rcvd
        assert received is not None, "closed without a word"
        return received.code, received.reason


@asynccontextmanager
async def socket(url: str, *, greets: bool = True, **given: Any) -> AsyncIterator[Socket]:
    """An open socket, whose client has said that it is there."""
    given = {"subprotocols": ["graphql-transport-ws"], "proxy": None, "max_queue": None, **given}
    async with connect(url.replace("http", "ws", 1) + "/graphql", **given) as connection:
        one = Socket(connection)
        if greets:
            await one.say("connection_init")
            assert (await one.next())["type"] == "connection_ack"
        yield one


async def results(response: httpx2.Response, count: int) -> list[dict[str, Any]]:
    """So many results of a subscription by Server-Sent Events, each with the `id` that it has."""
    found: list[dict[str, Any]] = []
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, text = line.partition(": ")
        event[name] = text
        if not line:
            if event.get("event") == "next":
                found.append({"id": event.get("id"), **json.loads(event["data"])})
            event = {}
        if len(found) == count:
            return found
    return found
