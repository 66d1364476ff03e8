"""The runner: keeps the nodes going, whatever they do."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import CodecError, NodeError, StreamClosed, TransportError
from headgate.runtime.node import Call, Declaration, gather, results
from headgate.runtime.stats import NodeStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks, backoff, cancel, finish_or_cancel

logger = logging.getLogger("headgate.node")
_END = object()  # what a generator that has ended gives


class Node:
    """A declared node with its streams, running."""

    def __init__(self, declaration: Declaration, streams: Mapping[str, Stream]) -> None:
        self.name = declaration.name
        self.declaration = declaration
        self.inputs = [_named(streams, name, declaration) for name in declaration.inputs]
        self.outputs = [_named(streams, name, declaration) for name in declaration.outputs]
        self.stats = NodeStats()
        self._call = Call(declaration)
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopping = asyncio.Event()
        if not self.inputs and not declaration.is_source:
            raise NodeError(f"node {self.name!r} has no input stream; name one in @node or under nodes:")

    def __repr__(self) -> str:
        return f"<Node {self.name}: {self.stats.handled} handled, {self.stats.failed} failed>"

    @property
    def running(self) -> bool:
        """It was started."""
        return bool(self._tasks)

    def start(self, tasks: Tasks) -> None:
        """Begin, with a task for each input."""
        inputs = [None] if self.declaration.is_source else self.inputs
        for stream in inputs:
            name = f"node {self.name}" + (f" < {stream.name}" if stream else "")
            self._tasks.append(tasks.start(name, self._keep_going(stream)))

    async def stop(self, seconds: float) -> None:
        """Take nothing new and finish what is in hand; what takes longer than that is cancelled."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            await cancel(task)

    async def _keep_going(self, stream: Stream | None) -> None:
        attempt = 0
        while not self._stopping.is_set():
            before = self.stats.handled + self.stats.emitted
            try:
                await (self._produce() if stream is None else self._consume(stream))
                return
            except StreamClosed:
                return
            except Exception:
                attempt = 1 if self.stats.handled + self.stats.emitted > before else attempt + 1
                self.stats.failed += 1
                self.stats.restarts += 1
                logger.exception("node failed; it starts again", extra={"node": self.name, "attempt": attempt})
                await asyncio.sleep(backoff(attempt))

    async def _produce(self) -> None:
        async with aclosing(self.declaration.function()) as values:
            # `anext` itself may wait for long: it is what a stop interrupts, and never a batch half sent.
            while not self._stopping.is_set():
                value = await finish_or_cancel(anext(values, _END), self._stopping.wait)
                if value is _END or self._stopping.is_set():
                    return
                await self._send(self._addressed(results(value)))

    async def _consume(self, stream: Stream) -> None:
        async with stream.subscribe(Oldest(), cursor=f"node-{self.name}") as subscription:
            while (batch := await finish_or_cancel(subscription.take(), self._stopping.wait)) is not None:
                await self._handle(stream, batch.messages)
                await subscription.commit(batch.position)

    async def _handle(self, stream: Stream, messages: Sequence[Message[bytes]]) -> None:
        if self._call.takes_batch:
            await self._attempt(stream, messages)
            return
        for message in messages:
            await self._attempt(stream, [message])

    async def _attempt(self, stream: Stream, messages: Sequence[Message[bytes]]) -> None:
        """Call the function; what it raises is counted and logged, and the next message has its turn."""
        try:
            made = self._addressed(await self._run(stream, messages))
        except (CodecError, msgspec.ValidationError) as error:
            self._failed(stream, messages, str(error), trace=False)
        except Exception as error:  # noqa: BLE001 - a user's code must not stop its neighbours
            self._failed(stream, messages, repr(error), trace=True)
        else:
            self.stats.handled += len(messages)
            await self._send(made)

    async def _run(self, stream: Stream, messages: Sequence[Message[bytes]]) -> list[Any]:
        decoded = [stream.decode(message) for message in messages]
        argument = decoded if self._call.takes_batch else self._call.argument(decoded[0])
        if self._call.is_generator:
            return await gather(self._call.function(argument))
        if self._call.is_async:
            return results(await self._call.function(argument))
        return results(await asyncio.to_thread(self._call.function, argument))

    def _failed(self, stream: Stream, messages: Sequence[Message[bytes]], reason: str, *, trace: bool) -> None:
        self.stats.failed += len(messages)
        where = {"partition": messages[0].partition, "offset": messages[0].offset}
        facts = {"node": self.name, "stream": stream.name, "reason": reason, **where}
        logger.error("node could not handle a message", extra=facts, exc_info=trace)

    def _addressed(self, values: list[Any]) -> list[tuple[Stream, list[Message[bytes]]]]:
        """What goes to which stream, in bytes. May raise a `CodecError`."""
        self.stats.emitted += len(values)
        return [(stream, stream.encode(values)) for stream in self.outputs] if values else []

    async def _send(self, addressed: list[tuple[Stream, list[Message[bytes]]]]) -> None:
        for stream, batch in addressed:
            await self._publish(stream, batch)

    async def _publish(self, stream: Stream, batch: list[Message[bytes]]) -> None:
        """Publish, and while the stream is away try again: what a node made is not lost."""
        attempt = 0
        while True:
            try:
                await stream.publish(batch)
                return
            except TransportError as error:
                if not error.retriable or isinstance(error, StreamClosed):
                    raise
                attempt += 1
                if attempt == 1:
                    logger.warning("node waits for its output", extra={"node": self.name, "reason": str(error)})
                await asyncio.sleep(backoff(attempt, most=5.0))


def _named(streams: Mapping[str, Stream], name: str, declaration: Declaration) -> Stream:
    if name not in streams:
        known = ", ".join(sorted(streams)) or "none"
        raise NodeError(f"node {declaration.name!r} names stream {name!r}, but the file declares: {known}")
    return streams[name]
