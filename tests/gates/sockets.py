"""Clients of WebSockets for tests: one that keeps the protocol, and frames for one that does not."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.gates.web import PATIENCE, Raw, raw

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Client:
    """Frames as plain data, text or binary as the gate sends them."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, kind: str, **frame: Any) -> None:
        """Say this; `start` stands for `from`."""
        frame = {"type": kind, **{"from" if name == "start" else name: value for name, value in frame.items()}}
        if self.connection.subprotocol == "headgate.msgpack":
            await self.connection.send(msgspec.msgpack.encode(frame))
        else:
            await self.connection.send(json.dumps(frame))

    async def next(self) -> dict[str, Any]:
        """The next frame. Raises `ConnectionClosed` when the socket is closed."""
        async with asyncio.timeout(PATIENCE):
            frame = await self.connection.recv()
        decoded: dict[str, Any] = json.loads(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame)
        return decoded

    async def take(self, count: int) -> list[dict[str, Any]]:
        """So many frames."""
        return [await self.next() for _ in range(count)]

    async def values(self, count: int) -> list[Any]:
        """The values of so many messages, and nothing else comes in between."""
        return [frame["value"] if frame["type"] == "message" else frame for frame in await self.take(count)]

    async def rest(self) -> tuple[list[dict[str, Any]], int, str]:
        """What still comes, and the code and reason that the gate closes with."""
        frames = []
        with suppress(ConnectionClosed):
            while True:
                frames.append(await self.next())
        received = self.connection.protocol.close_rcvd
        assert received is not None, "closed without a word"
        return frames, received.code, received.reason


@asynccontextmanager
async def talk(url: str, path: str, *, packed: bool = False, **given: Any) -> AsyncIterator[Client]:
    """An open socket."""
    given.setdefault("subprotocols", ["headgate.msgpack" if packed else "headgate.json"])
    # With a limit to its queue, this client does not see that the socket is closed behind what it did not take.
    given = {"proxy": None, "compression": None, "max_size": None, "max_queue": None, **given}
    async with connect(url.replace("http", "ws", 1) + path, **given) as connection:
        yield Client(connection)


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, rsv1: bool = False, masked: bool = True) -> bytes:
    """One frame as a client sends it, or as none should. The mask is zero, so the data can be read in it."""
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    bit = 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, bit | len(data))
    elif len(data) < 65_536:
        head = struct.pack("!BBH", first, bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


def handshake(path: str, **headers: str) -> bytes:
    """A request to open a socket. Names are given with underscores."""
    given = {
        "Host": "gate.localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


@asynccontextmanager
async def raw_socket(url: str, path: str, **headers: str) -> AsyncIterator[Raw]:
    """A socket of bytes, with its handshake behind it."""
    async with raw(url) as connection:
        connection.send(handshake(path, **headers))
        answer = await connection.head()
        assert answer.status == 101, answer
        yield connection


async def read_frame(connection: Raw) -> tuple[int, bytes]:
    """The next frame of the gate's: opcode and data."""
    async with asyncio.timeout(PATIENCE):
        first, second = await connection.reader.readexactly(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await connection.reader.readexactly(2 if size == 126 else 8))
        return first & 0x0F, await connection.reader.readexactly(size)


async def farewell(connection: Raw) -> tuple[int, str]:
    """The code and reason that the gate closes with; after that it sends nothing, and the connection ends."""
    opcode = TEXT
    while opcode != CLOSE:
        opcode, data = await read_frame(connection)
    connection.send(frame(CLOSE, data))
    assert await connection.rest() == b""
    return int.from_bytes(data[:2]), data[2:].decode()
