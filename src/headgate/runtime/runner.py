"""The runner: keeps the nodes going, whatever they do."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import CodecError, NodeError, StreamClosed, TransportError
from headgate.runtime.config.view import defaults_only
from headgate.runtime.node import Call, Configure, Declaration, gather, in_thread, results
from headgate.runtime.stats import NodeStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks, backoff, cancel

logger = logging.getLogger("headgate.node")
_END = object()  # what a generator that has ended gives


class Node:
    """A declared node with its streams, running."""

    def __init__(
        self, declaration: Declaration, streams: Mapping[str, Stream], configure: Configure = defaults_only
    ) -> None:
        self.name = declaration.name
        self.declaration = declaration
        self.inputs = [_named(streams, name, declaration) for name in declaration.inputs]
        self.outputs = [_named(streams, name, declaration) for name in declaration.outputs]
        self.stats = NodeStats()
        self._call = Call(declaration, configure)
        self._tasks: list[asyncio.Task[Any]] = []
        self._idle: set[asyncio.Task[Any]] = set()
        self._stopping = False
        if self.inputs and declaration.is_source:
            raise NodeError(f"node {self.name!r} has no parameter, so it cannot have an input stream")
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
        self._stopping = True
        for task in self._idle:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            await cancel(task)

    async def _keep_going(self, stream: Stream | None) -> None:
        attempt = 0
        while not self._stopping:
            before = self.stats.handled + self.stats.emitted
            try:
                await (self._produce() if stream is None else self._consume(stream))
                return
            except StreamClosed:
                return
            except (Exception, asyncio.CancelledError):
                if _is_cancelled():
                    raise
                attempt = 1 if self.stats.handled + self.stats.emitted > before else attempt + 1
                self.stats.failed += 1
                self.stats.restarts += 1
                logger.exception("node failed; it starts again", extra={"node": self.name, "attempt": attempt})
                with self._interruptible():
                    await asyncio.sleep(backoff(attempt))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Around a wait that a stop cuts short. Everything else is finished first."""
        task = asyncio.current_task()
        assert task is not None
        self._idle.add(task)
        try:
            yield
        finally:
            self._idle.discard(task)

    async def _produce(self) -> None:
        async with aclosing(self._call.function()) as values:
            while not self._stopping:
                with self._interruptible():
                    value = await anext(values, _END)
                if value is _END:
                    return
                await self._emit(results(value))

    async def _emit(self, made: list[Any]) -> None:
        """Publish what a source made; what cannot be written is counted and left out."""
        try:
            addressed = self._addressed(made)
        except CodecError as error:
            self.stats.failed += len(made)
            logger.error("node made what cannot be written", extra={"node": self.name, "reason": str(error)})
        else:
            await self._publish_all(addressed)
            self.stats.emitted += len(made)

    async def _consume(self, stream: Stream) -> None:
        async with stream.subscribe(Oldest(), cursor=f"node-{self.name}") as subscription:
            while not self._stopping:
                with self._interruptible():
                    batch = await subscription.take()
                await self._handle(stream, batch.messages)
                await subscription.commit(batch.position)

    async def _handle(self, stream: Stream, messages: Sequence[Message[bytes]]) -> None:
        readable = self._readable(stream, messages)
        if not self._call.takes_batch:
            for message in readable:
                await self._attempt(stream, [message])
        elif batch := list(readable):
            await self._attempt(stream, batch)

    def _readable(self, stream: Stream, messages: Sequence[Message[bytes]]) -> Iterator[Message[Any]]:
        """The messages as the function wants them; one that cannot be read is counted and left out."""
        for message in messages:
            try:
                yield self._call.converted(stream.decode(message))
            except (CodecError, msgspec.ValidationError) as error:
                self._failed(stream, [message], str(error), trace=False)

    async def _attempt(self, stream: Stream, messages: Sequence[Message[Any]]) -> None:
        """Call the function; what it raises is counted and logged, and the next message has its turn."""
        try:
            made = await self._run(self._call.argument(messages))
            addressed = self._addressed(made)
        except CodecError as error:
            self._failed(stream, messages, str(error), trace=False)
        except (Exception, asyncio.CancelledError) as error:  # a user's code must not stop its neighbours
            if _is_cancelled():
                raise
            self._failed(stream, messages, repr(error), trace=True)
        else:
            await self._publish_all(addressed)
            self.stats.handled += len(messages)
            self.stats.emitted += len(made)

    async def _run(self, argument: Any) -> list[Any]:
        if self._call.is_generator:
            return await gather(self._call.function(argument))
        if self._call.is_async:
            return results(await self._call.function(argument))
        return await asyncio.to_thread(in_thread, self._call.function, argument)

    def _failed(self, stream: Stream, messages: Sequence[Message[Any]], reason: str, *, trace: bool) -> None:
        self.stats.failed += len(messages)
        where = {"partition": messages[0].partition, "offset": messages[0].offset}
        facts = {"node": self.name, "stream": stream.name, "reason": reason, **where}
        logger.error("node could not handle a message", extra=facts, exc_info=trace)

    def _addressed(self, values: list[Any]) -> list[tuple[Stream, list[Message[bytes]]]]:
        """What goes to which stream, in bytes. May raise a `CodecError`."""
        return [(stream, stream.encode(values)) for stream in self.outputs] if values else []

    async def _publish_all(self, addressed: list[tuple[Stream, list[Message[bytes]]]]) -> None:
        for stream, batch in addressed:
            await self._publish(stream, batch)

    async def _publish(self, stream: Stream, batch: list[Message[bytes]]) -> None:
        """Publish, and while the stream does not take it try again: what a node made is not lost."""
        attempt = 0
        while True:
            try:
                await stream.publish(batch)
                return
            except StreamClosed:
                raise
            except TransportError as error:
                attempt += 1
                facts = {"node": self.name, "stream": stream.name, "reason": str(error)}
                if not error.retriable:  # it will not pass by itself, so somebody has to hear of it
                    logger.error("node waits for its output, which refuses what it made", extra=facts)
                elif attempt == 1:
                    logger.warning("node waits for its output", extra=facts)
                await asyncio.sleep(backoff(attempt, most=5.0))


def _is_cancelled() -> bool:
    """This task was cancelled, other than a user's function that let a cancellation of its own escape."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _named(streams: Mapping[str, Stream], name: str, declaration: Declaration) -> Stream:
    if name not in streams:
        known = ", ".join(sorted(streams)) or "none"
        raise NodeError(f"node {declaration.name!r} names stream {name!r}, but the file declares: {known}")
    return streams[name]
