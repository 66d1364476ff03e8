"""A flood: requests over so many connections, each with one in flight, by a client that costs little itself."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import uvloop

_READ = 1024 * 1024
_UNTOLD = b"content-length:"


class _Client(asyncio.Protocol):
    """One connection: sends the next request when the one before was answered."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[None]", status: int = 200) -> None:
        self._requests, self._done = requests, done
        self._start = b"HTTP/1.1 %d" % status
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = int(self._received[:head].lower().split(_UNTOLD)[1].split(b"\r\n")[0])
        if len(self._received) < head + 4 + length:
            return
        if not self._received.startswith(self._start):
            self._fail(RuntimeError(self._received.decode(errors="replace")))
            return
        self._received = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or RuntimeError("the server closed a connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif not self._done.done():
            self._done.set_result(None)
            self._transport.close()

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
            self._transport.close()


def flood(
    port: int,
    path: str,
    bodies: list[bytes],
    in_flight: int,
    media: str = "text/plain",
    *,
    more: bytes = b"",
    status: int = 200,
) -> float:
    """Requests per second; every one must be answered with this status. `more` are lines of the head."""
    requests = iter([_request(path, body, media, more) for body in bodies])

    async def run() -> float:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(in_flight)]
        for end in ends:
            await loop.create_connection(lambda end=end: _Client(requests, end, status), "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.gather(*ends)
        return len(bodies) / (time.perf_counter() - began)

    return uvloop.run(run())


def latencies(
    port: int, path: str, body: bytes, rate: float, count: int, media: str, connections: int = 64
) -> list[float]:
    """How long so many requests take that come at a rate, each counted from when it should have been sent."""
    request = _request(path, body, media)

    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        seconds: list[float] = []
        due = asyncio.Queue[float]()

        async def serve() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while (at := await due.get()) >= 0:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(_UNTOLD)[1].split(b"\r\n")[0]))
                seconds.append(loop.time() - at)
            writer.close()

        serving = [loop.create_task(serve()) for _ in range(connections)]
        began = loop.time() + 0.2
        for number in range(count):
            at = began + number / rate
            await asyncio.sleep(max(0.0, at - loop.time()))
            due.put_nowait(at)
        for _ in serving:
            due.put_nowait(-1.0)
        await asyncio.gather(*serving)
        return seconds

    return uvloop.run(run())


def _request(path: str, body: bytes, media: str = "text/plain", more: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


def send_file(port: int, path: str, file: Path) -> bytes:
    """Send a file as one request, and give what was answered, with its head."""
    with socket.create_connection(("127.0.0.1", port)) as connection, file.open("rb") as body:
        connection.sendall(_request(path, b"").replace(b"Length: 0", b"Length: %d" % file.stat().st_size))
        connection.sendfile(body)
        return _answer(connection)


def pour(port: int, path: str, chunks: Iterable[bytes]) -> bytes:
    """Send a body in chunks while the answer is read, and give the end of that."""
    end = b""

    def drain() -> None:
        nonlocal end
        while data := connection.recv(_READ):
            end = (end + data)[-4000:]

    with socket.create_connection(("127.0.0.1", port)) as connection:
        answered = threading.Thread(target=drain)
        answered.start()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        for chunk in chunks:
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        connection.sendall(b"0\r\n\r\n")
        answered.join()
    return end


def _answer(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(_UNTOLD)[1].split(b"\r\n")[0])
    parts, size = [body], len(body)
    while size < length:
        parts.append(_more(connection))
        size += len(parts[-1])
    return head + b"\r\n\r\n" + b"".join(parts)


def _more(connection: socket.socket) -> bytes:
    if data := connection.recv(_READ):
        return data
    raise RuntimeError("the server closed the connection")
