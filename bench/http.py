"""HTTP: publishing to and reading from a gate over loopback, against an ASGI endpoint that does nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import httptools  # noqa: F401 - both sides must be served by the same parser
import uvicorn

from bench.table import Row, median_ratio
from headgate.app.gate import Gate
from headgate.app.serve import bind
from headgate.spec.resolve import plan_text

REQUESTS, IN_FLIGHT, BATCH = 3000, 32, 1000
BODY = b'{"id":"Zact","value":"0.25"}'
LINES = b"\n".join([BODY] * BATCH)


def rows() -> list[Row]:
    """One message per request, and a thousand lines per request."""
    return asyncio.run(_rows())


async def _rows() -> list[Row]:
    async with Gate(plan_text("streams: {assets: {}}")) as gate, _served(gate.app) as ours, _served(_nothing) as floor:
        single = await _ratio(lambda: _single(ours), lambda: _single(floor))
        many = await _ratio(lambda: _lines(ours), lambda: _single(ours))
    return [
        Row("http publish, one message", "ASGI that reads and answers", single, "32 connections, one process"),
        Row("http publish, 1000 lines a request", "one message a request", many, "messages/s; each is checked as JSON"),
    ]


async def _ratio(ours: Callable[[], Awaitable[float]], floor: Callable[[], Awaitable[float]]) -> float:
    loop = asyncio.get_running_loop()

    def rate(flood: Callable[[], Awaitable[float]]) -> Callable[[], float]:
        return lambda: asyncio.run_coroutine_threadsafe(_awaited(flood), loop).result()

    return await asyncio.to_thread(median_ratio, rate(ours), rate(floor), 5)


async def _awaited(flood: Callable[[], Awaitable[float]]) -> float:
    return await flood()


async def _single(port: int) -> float:
    return await _flood(port, BODY, "application/json", REQUESTS)


async def _lines(port: int) -> float:
    return BATCH * await _flood(port, LINES, "application/x-ndjson", REQUESTS // 10)


async def _flood(port: int, body: bytes, media: str, requests: int) -> float:
    """Requests per second over so many connections, each with one request in flight."""
    head = f"POST /streams/assets/messages HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\nContent-Length: {len(body)}"
    request = head.encode() + b"\r\n\r\n" + body
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, request, requests // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    return requests / (time.perf_counter() - began)


async def _client(port: int, request: bytes, count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


@asynccontextmanager
async def _served(app: Any) -> Any:
    sock = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False))
    server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
    running = asyncio.ensure_future(server.serve(sockets=[sock]))
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def _nothing(_: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
