"""Streams in memory for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from headgate.app.plugins import make_codec
from headgate.core.position import Oldest
from headgate.runtime.stream import Stream
from headgate.testing.transport import PATIENCE
from headgate.transport.base import StreamSettings
from headgate.transport.memory import MemoryTransport


@asynccontextmanager
async def streams(*names: str, codec: str = "json", **settings: Any) -> AsyncIterator[dict[str, Stream]]:
    """Open streams of these names."""
    transport = MemoryTransport()
    made = {
        name: Stream(StreamSettings(name, **settings), make_codec(codec, {}), transport, transport_name="memory")
        for name in names
    }
    for stream in made.values():
        await stream.open()
    try:
        yield made
    finally:
        await transport.close()


async def published(stream: Stream, count: int) -> list[Any]:
    """The values of the first `count` messages of a stream, once they are there."""
    import asyncio

    values: list[Any] = []
    async with asyncio.timeout(PATIENCE), stream.subscribe(Oldest()) as subscription:
        while len(values) < count:
            values += [
                stream.decode(message).value for message in (await subscription.take(count - len(values))).messages
            ]
    return values
