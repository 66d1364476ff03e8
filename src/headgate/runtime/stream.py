"""The stream: a named sequence of messages, with its codec, over whichever transport keeps it."""

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from headgate.core.codec import Codec
from headgate.core.message import UNNAMED, Message
from headgate.core.output import Output
from headgate.core.position import Batch, Position, Receipt, Start
from headgate.errors import StreamClosed, TransportError
from headgate.runtime.stats import StreamStats
from headgate.transport.base import Delivery, Extent, Sink, Source, StreamSettings, Transport

AT_ONCE = 8 * 1024 * 1024  # bytes of messages that a poller is given at once, or one message of any size


class Stream:
    """Publish batches to it, subscribe to read batches from it."""

    def __init__(
        self, settings: StreamSettings, codec: Codec[Any], transport: Transport, *, transport_name: str
    ) -> None:
        self.settings = settings
        self.codec = codec
        self.transport = transport
        self.transport_name = transport_name
        self.output = Output(settings.id, codec)
        self.stats = StreamStats()
        self._sink: Sink | None = None
        self._sources: set[Source] = set()

    def __repr__(self) -> str:
        return f"<Stream {self.name}: {self.stats.published} published, {self.readers} readers>"

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def is_queue(self) -> bool:
        return self.settings.delivery is Delivery.QUEUE

    @property
    def readers(self) -> int:
        return len(self._sources)

    async def open(self) -> None:
        """Make it ready to be published to."""
        self._sink = await self.transport.open_sink(self.settings)

    async def close(self) -> None:
        """Let what is in flight finish; publish nothing more. Who still reads it is told by a `StreamClosed`."""
        if self._sink is not None:
            await self._sink.close()
        for source in list(self._sources):
            await source.close()

    async def publish(self, batch: Sequence[Message[bytes]]) -> Receipt:
        """Publish a batch and return when it is safe. May raise a `TransportError`."""
        if self._sink is None:
            raise StreamClosed(f"stream {self.name!r} is not open")
        named = self._named(batch)
        try:
            receipt = await self._sink.send(named)
        except TransportError:
            self.stats.refused += len(batch)
            raise
        self.stats.published += len(batch)
        self.stats.published_bytes += sum([len(message.value) for message in batch])
        return receipt

    def _named(self, batch: Sequence[Message[bytes]]) -> Sequence[Message[bytes]]:
        own = self.settings.id
        return [m if m.stream is not UNNAMED and m.stream != UNNAMED else replace(m, stream=own) for m in batch]

    def encode(self, values: Iterable[Any]) -> list[Message[bytes]]:
        """Messages of these values; what already is a message keeps its key, headers and time."""
        return self.output.encode(values)

    def decode(self, message: Message[bytes]) -> Message[Any]:
        """The same message with its value decoded. May raise a `CodecError`."""
        return replace(message, value=self.codec.decode(message.value))

    @asynccontextmanager
    async def subscribe(self, start: Start, cursor: str | None = None) -> AsyncIterator["Subscription"]:
        """A reader of this stream, closed when the block is left."""
        source = await self.transport.open_source(self.settings, start, cursor)
        self._sources.add(source)
        try:
            yield Subscription(source, self.stats)
        finally:
            self._sources.discard(source)
            await source.close()

    async def extent(self) -> Extent:
        """How far it reaches now."""
        return await self.transport.extent(self.settings)


class Subscription:
    """One reader of a stream, and its part of the stream's counters."""

    def __init__(self, source: Source, stats: StreamStats) -> None:
        self._source = source
        self._stats = stats

    async def take(self, limit: int = 1000, wait: float | None = None) -> Batch:
        """The next batch; see `Source.read`."""
        batch = await self._source.read(limit, wait)
        self._stats.delivered += len(batch.messages)
        self._stats.missed += batch.missed
        return batch

    async def commit(self, position: Position) -> None:
        """Everything before this place was handed over."""
        await self._source.commit(position)


def fitting(messages: Iterable[Message[bytes]], most: int = AT_ONCE) -> int:
    """How many of these messages have no more bytes than that; at least one."""
    size = 0
    for count, message in enumerate(messages):
        size += len(message.value)
        if size > most and count:
            return count
    return sys.maxsize
