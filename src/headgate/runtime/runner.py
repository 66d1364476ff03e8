"""The runner: keeps the nodes going, whatever they do."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from headgate.core.message import Message
from headgate.errors import CodecError, NodeError, StreamClosed, StreamFull, TransportError
from headgate.runtime.call import Configure, results
from headgate.runtime.config.view import defaults_only
from headgate.runtime.consumer import Consumer
from headgate.runtime.node import Declaration
from headgate.runtime.stats import NodeStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Idle, Tasks, backoff, cancel, is_cancelled
from headgate.runtime.work import Inline, Runs, Work

logger = logging.getLogger("headgate.node")
_END = object()  # what a generator that has ended gives


class Node:
    """A declared node with its streams, running. `runs` says where its function is called; here by default."""

    def __init__(
        self,
        declaration: Declaration,
        streams: Mapping[str, Stream],
        runs: Callable[[Work], Runs] = Inline,
        configure: Configure = defaults_only,
        *,
        workers: int = 1,
    ) -> None:
        self.name = declaration.name
        self.declaration = declaration
        self.inputs = [_named(streams, name, declaration) for name in declaration.inputs]
        self.outputs = [_named(streams, name, declaration) for name in declaration.outputs]
        letters = declaration.manners.dead_letters
        self.dead_letters = None if letters is None else _named(streams, letters, declaration)
        self.stats = NodeStats()
        self.workers = workers
        self.concurrency = declaration.manners.concurrency or workers
        self._tasks: list[asyncio.Task[Any]] = []
        self._idle = Idle()
        self._stopping = False
        _refuse_impossible(declaration)
        self.work = work_of(declaration, streams, configure)
        self._runs = runs(self.work)

    def __repr__(self) -> str:
        return f"<Node {self.name}: {self.stats.handled} handled, {self.stats.failed} failed>"

    @property
    def running(self) -> bool:
        """It was started."""
        return bool(self._tasks)

    @property
    def stopping(self) -> bool:
        """It takes nothing new."""
        return self._stopping

    @property
    def streams(self) -> list[str]:
        """The names of all streams that it touches."""
        letters = [] if self.dead_letters is None else [self.dead_letters]
        return [stream.name for stream in (*self.inputs, *self.outputs, *letters)]

    def start(self, tasks: Tasks) -> None:
        """Begin, with a task for each input."""
        inputs = [None] if self.declaration.is_source else self.inputs
        for stream in inputs:
            name = f"node {self.name}" + (f" < {stream.name}" if stream else "")
            self._tasks.append(tasks.start(name, self._keep_going(stream)))

    async def stop(self, seconds: float) -> None:
        """Take nothing new and finish what is in hand; what takes longer than that is cancelled."""
        self._stopping = True
        self._idle.interrupt()
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
                if is_cancelled():
                    raise
                attempt = 1 if self.stats.handled + self.stats.emitted > before else attempt + 1
                self.stats.failed += 1
                self.stats.restarts += 1
                logger.exception("node failed; it starts again", extra={"node": self.name, "attempt": attempt})
                with self._idle:
                    await asyncio.sleep(backoff(attempt))

    async def _consume(self, stream: Stream) -> None:
        await Consumer(self, stream, self._runs, self._idle).run()

    async def _produce(self) -> None:
        async with aclosing(self.work.function()) as values:
            while not self._stopping:
                with self._idle:
                    value = await anext(values, _END)
                if value is _END:
                    return
                await self._emit(results(value))

    async def _emit(self, made: list[Any]) -> None:
        """Publish what a source made; what cannot be written is counted and left out."""
        try:
            encoded = [stream.encode(made) for stream in self.outputs]
        except CodecError as error:
            self.stats.failed += len(made)
            logger.error("node made what cannot be written", extra={"node": self.name, "reason": str(error)})
        else:
            for stream, batch in zip(self.outputs, encoded, strict=True):
                await self.publish(stream, batch)
            self.stats.emitted += len(made)

    async def publish(self, stream: Stream, batch: list[Message[bytes]]) -> None:
        """Publish, and while the stream does not take it try again: what a node made is not lost."""
        attempt = 0
        while batch:
            try:
                await stream.publish(batch)
                return
            except StreamClosed:
                raise
            except TransportError as error:
                if isinstance(error, StreamFull) and len(batch) > 1:  # it may be more than the stream ever keeps
                    half = len(batch) // 2
                    await self.publish(stream, batch[:half])
                    batch = batch[half:]
                    continue
                attempt += 1
                facts = {"node": self.name, "stream": stream.name, "reason": str(error)}
                if not error.retriable:  # it will not pass by itself, so somebody has to hear of it
                    logger.error("node waits for its output, which refuses what it made", extra=facts)
                elif attempt == 1:
                    logger.warning("node waits for its output", extra=facts)
                await asyncio.sleep(backoff(attempt, most=5.0))


def work_of(declaration: Declaration, streams: Mapping[str, Stream], configure: Configure = defaults_only) -> Work:
    """What is to be done for a node, between the codecs of its streams."""
    inputs = {name: streams[name].codec for name in declaration.inputs}
    return Work(declaration, inputs, [streams[name].output for name in declaration.outputs], configure)


def _refuse_impossible(declaration: Declaration) -> None:
    name, letters = declaration.name, declaration.manners.dead_letters
    if declaration.inputs and declaration.is_source:
        raise NodeError(f"node {name!r} has no parameter, so it cannot have an input stream")
    if not declaration.inputs and not declaration.is_source:
        raise NodeError(f"node {name!r} has no input stream; name one in @node or under nodes:")
    if letters in declaration.inputs:
        raise NodeError(f"node {name!r} reads {letters!r}, so its dead letters must go to another stream")


def _named(streams: Mapping[str, Stream], name: str, declaration: Declaration) -> Stream:
    if name not in streams:
        known = ", ".join(sorted(streams)) or "none"
        raise NodeError(f"node {declaration.name!r} names stream {name!r}, but the file declares: {known}")
    return streams[name]
