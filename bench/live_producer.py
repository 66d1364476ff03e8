"""The producer of bench/live.py: a gate in a process of its own, that publishes what standard input says.

A line is `COUNT SIZE CODEC PAUSE`: so many messages of so many bytes, in batches, or with so many seconds between two
single ones. The plain endpoint beside the gate is the floor.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import uvicorn
import uvloop

from headgate.app.gate import Gate
from headgate.app.plugins import make_codec
from headgate.app.serve import bind, config_of
from headgate.core.message import Message
from headgate.spec.plan import Plan
from headgate.spec.resolve import plan_text

BATCH, MOST_BYTES = 1000, 8 * 1024 * 1024
STREAMS = """\
streams:
  small: {{codec: raw, retain: {{messages: 200000}}}}
  frames: {{codec: raw, retain: {{messages: 200}}}}
"""
KAFKA = """\
connections: {{kafka: {{bootstrap_servers: "{servers}", options: {{message.max.bytes: 2000000}}}}}}
streams:
  small: {{codec: raw, transport: kafka, topic: "{small}"}}
  frames: {{codec: raw, transport: kafka, topic: "{frames}"}}
"""


def plan(servers: str = "", small: str = "", frames: str = "") -> Plan:
    """The gate's plan: in memory, or on these topics."""
    text = KAFKA if servers else STREAMS
    return plan_text(text.format(servers=servers, small=small, frames=frames))


def body_of(codec: str, size: int) -> bytes:
    """A value of about this size."""
    if codec == "json":
        return b'{"values":"' + b"x" * max(0, size - 13) + b'"}'
    import numpy as np

    data = [{"name": "signal", "axes": ["x"], "dtype": "int32", "data": np.zeros(max(1, size // 4), dtype=np.int32)}]
    value = {"source_name": "m", "timestamp_ns": 1, "data": data}
    return make_codec("da00", {}).encode(value)


async def serve(arguments: list[str]) -> None:
    """Serve, say where, and do what is asked until the input ends."""
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(Gate(plan(*arguments)))
        ports = [await _listen(stack, config_of(gate)), await _listen(stack, _plain())]
        print(*ports, flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            count, size, codec, pause = line.decode().split()
            await _publish(gate, int(count), body_of(codec, int(size)), float(pause))


async def _publish(gate: Gate, count: int, body: bytes, pause: float) -> None:
    stream = gate.streams["frames" if len(body) > 100_000 else "small"]
    if pause:
        for _ in range(count):
            await asyncio.sleep(pause)
            await stream.publish([Message(value=body, timestamp=time.monotonic_ns())])
        return
    batch = [Message(value=body) for _ in range(min(count, BATCH, max(1, MOST_BYTES // len(body))))]
    for _ in range(count // len(batch)):
        await stream.publish(batch)


def _plain() -> uvicorn.Config:
    bodies: dict[str, bytes] = {}

    async def app(scope: Any, _: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        body = bodies.setdefault(scope["path"], os.urandom(int(scope["path"][1:])))
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)


async def _listen(stack: AsyncExitStack, config: uvicorn.Config) -> int:
    sock = bind("127.0.0.1", 0)
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
    running = asyncio.ensure_future(server.serve(sockets=[sock]))

    async def stop() -> None:
        server.should_exit = True
        await running

    stack.push_async_callback(stop)
    port: int = sock.getsockname()[1]
    return port


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1:]))
