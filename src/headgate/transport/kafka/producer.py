"""The producer: one for the transport, and the thread that takes its acknowledgements."""

import asyncio
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from headgate.core.message import Message
from headgate.core.position import Receipt
from headgate.errors import StreamClosed, TransportError, Unavailable
from headgate.transport.base import StreamSettings
from headgate.transport.bell import Bell
from headgate.transport.kafka.client import client, translated
from headgate.transport.kafka.cluster import Cluster, topic_of
from headgate.transport.kafka.records import headers_of, milliseconds

_POLL_SECONDS = 0.2
_FULL_PAUSE = 0.005  # seconds until a full local queue is tried again
_NOT_A_RECORD = (TypeError, ValueError, OverflowError)  # the library cannot make a record of it


class Parcel:
    """A batch on its way: how far it is handed over, and how many of its messages are acknowledged."""

    __slots__ = (
        "_done",
        "_left",
        "batch",
        "deadline",
        "error",
        "failed",
        "future",
        "handed",
        "loop",
        "offsets",
        "partitions",
        "stream",
    )

    def __init__(
        self, stream: StreamSettings, batch: Sequence[Message[bytes]], seconds: float, done: "list[Parcel]"
    ) -> None:
        self.stream = stream
        self.batch = batch
        self.loop = asyncio.get_running_loop()
        self.deadline = self.loop.time() + seconds
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.handed = 0
        self.offsets = [-1] * len(batch)
        self.partitions = [0] * len(batch)
        self.error: TransportError | None = None  # the first one
        self.failed: dict[int, TransportError] = {}
        self._left = len(batch)
        self._done = done

    def delivered(self, index: int, error: Any, record: Any) -> None:
        """One message's report; runs in the poll thread."""
        if error is None:
            self.offsets[index] = record.offset()
            self.partitions[index] = record.partition()
        else:
            self.fail(index, error)
        self._left -= 1  # as `arrived` does: this runs for every message
        if self._left == 0:
            self._done.append(self)

    def fail(self, index: int, error: Any) -> None:
        """One message did not make it."""
        self.refuse(index, translated(error, f"message {index} of {len(self.batch)} was not acknowledged"))

    def refuse(self, index: int, error: TransportError) -> None:
        """One message did not make it, for a reason that we know."""
        self.error = self.error or error
        self.failed[index] = error

    def arrived(self, count: int) -> None:
        """So many are settled, one way or the other."""
        self._left -= count
        if self._left == 0:
            self._done.append(self)


class Producer:
    """Sends batches and completes their futures, all those of one poll together.

    No timer makes a message wait. What all tasks send within one turn of the loop is handed over in one go, and what
    comes while requests are under way shares the next one.
    """

    def __init__(self, settings: Mapping[str, Any], send_timeout: float) -> None:
        self.handle = client.Producer(dict(settings))
        self._send_timeout = send_timeout
        self._waiting: deque[Parcel] = deque()  # to be handed over, in order
        self._scheduled = False
        self._done: list[Parcel] = []
        self._refused: list[tuple[Parcel, int]] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka acknowledgements", daemon=True)
        self._thread.start()

    async def send(self, stream: StreamSettings, batch: Sequence[Message[bytes]]) -> Parcel:
        """Send a batch, which is not empty, and return when all of it is acknowledged."""
        parcel = Parcel(stream, batch, self._send_timeout, self._done)
        self._waiting.append(parcel)
        if not self._scheduled:
            self._scheduled = True
            parcel.loop.call_soon(self._hand_over)
        await parcel.future
        if parcel.error is not None:
            if len(parcel.failed) < len(batch):
                parcel.error.failed = parcel.failed
            raise parcel.error
        return parcel

    def _hand_over(self) -> None:
        """Hand over what waits. A full local queue is tried again, no longer than a send may take."""
        self._scheduled = False
        while self._waiting:
            parcel = self._waiting[0]
            if not self._produce(parcel):
                if parcel.loop.time() < parcel.deadline:
                    self._scheduled = True
                    parcel.loop.call_later(_FULL_PAUSE, self._hand_over)
                    return
                self._give_up(parcel)
            self._waiting.popleft()

    def _produce(self, parcel: Parcel) -> bool:
        """Hand over the rest of a parcel; False when the local queue is full."""
        produce: Any = self.handle.produce
        topic, own, batch, delivered = topic_of(parcel.stream), parcel.stream.id, parcel.batch, parcel.delivered
        for index in range(parcel.handed, len(batch)):
            message = batch[index]
            try:
                produce(
                    topic,
                    message.value,
                    message.key,
                    on_delivery=partial(delivered, index),
                    timestamp=milliseconds(message),
                    headers=headers_of(message, own),
                )
            except BufferError:
                parcel.handed = index
                return False
            except client.KafkaException as error:
                parcel.fail(index, error.args[0])
                self._settled_here(parcel, 1)
            except _NOT_A_RECORD as error:  # its sender is told, and the others' messages go on
                parcel.refuse(index, TransportError(f"message {index} of {len(batch)}: {error}"))
                self._settled_here(parcel, 1)
        return True

    def _give_up(self, parcel: Parcel) -> None:
        full = Unavailable("the local queue to Kafka stayed full; the brokers do not keep up or are away")
        for index in range(parcel.handed, len(parcel.batch)):
            parcel.refuse(index, full)
        self._settled_here(parcel, len(parcel.batch) - parcel.handed)

    def _settled_here(self, parcel: Parcel, count: int) -> None:
        # Left to the poll thread, which does all the counting, so that no lock is needed.
        self._refused.append((parcel, count))

    def _poll(self) -> None:
        while not self._closing.is_set() or len(self.handle):
            self.handle.poll(_POLL_SECONDS)
            self._report()
        self._report()  # what was refused while the last poll ended

    def _report(self) -> None:
        while self._refused:
            parcel, count = self._refused.pop()
            parcel.arrived(count)
        done, self._done[:] = list(self._done), []
        for loop in {parcel.loop for parcel in done}:
            loop.call_soon_threadsafe(_complete, [parcel.future for parcel in done if parcel.loop is loop])

    async def close(self, seconds: float) -> None:
        """Let what is in flight be acknowledged; what is not by then fails. Then end the thread."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        if self._waiting:
            await asyncio.wait([parcel.future for parcel in self._waiting], timeout=seconds)
        while self._waiting:
            self._give_up(self._waiting.popleft())
        self._closing.set()
        await asyncio.to_thread(self._thread.join, max(0.0, deadline - loop.time()))
        if self._thread.is_alive():
            self.handle.purge()
            await asyncio.to_thread(self._thread.join)


def _complete(futures: list["asyncio.Future[None]"]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class KafkaSink:
    """Puts batches into a topic."""

    def __init__(self, producer: Producer, cluster: Cluster, stream: StreamSettings) -> None:
        self._producer = producer
        self._cluster = cluster
        self._stream = stream
        self._sending = 0
        self._idle = Bell()
        self._closed = False

    async def send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        if self._closed:
            raise StreamClosed(f"stream {self._stream.name!r} is closed")
        if not batch:
            return Receipt("", ())
        self._sending += 1
        try:
            parcel = await self._producer.send(self._stream, batch)
            epoch = await self._cluster.known_epoch(topic_of(self._stream))
            return Receipt(epoch, parcel.offsets, parcel.partitions)
        finally:
            self._sending -= 1
            self._idle.ring()

    async def close(self) -> None:
        self._closed = True
        while self._sending:
            await self._idle.wait()
