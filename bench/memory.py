"""Memory: publish and read a ring in batches, against appending to and popping from a deque."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from bench.table import Row, median_ratio
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.transport.base import StreamSettings
from headgate.transport.memory import MemoryTransport

BATCH, BATCHES = 1000, 300


def rows() -> list[Row]:
    """Publish and read 1000 messages at a time."""
    batch = [Message(value=b"x" * 100, key=b"machine-7") for _ in range(BATCH)]
    rates: list[float] = []

    def ours() -> float:
        rates.append(_rate(lambda: _publish_and_read(batch)))
        return rates[-1]

    ratio = median_ratio(ours, lambda: _rate(lambda: _deque(batch)))
    note = f"fastest run: {max(rates) / 1e6:.1f}M messages/s through ring and reader"
    return [Row("memory, batches of 1000", "collections.deque", ratio, note)]


def _rate(run: Callable[[], Awaitable[None]]) -> float:
    async def timed() -> float:
        began = time.perf_counter()
        await run()
        return BATCH * BATCHES / (time.perf_counter() - began)

    return asyncio.run(timed())


async def _publish_and_read(batch: list[Message[bytes]]) -> None:
    transport = MemoryTransport()
    stream = StreamSettings("bench", keep_messages=10_000)
    sink = await transport.open_sink(stream)
    source = await transport.open_source(stream, Oldest())
    for _ in range(BATCHES):
        await sink.send(batch)
        await source.read(BATCH)
    await transport.close()


async def _deque(batch: list[Message[bytes]]) -> None:
    queue: deque[Message[bytes]] = deque(maxlen=10_000)
    for _ in range(BATCHES):
        queue.extend(batch)
        [queue.popleft() for _ in range(BATCH)]
