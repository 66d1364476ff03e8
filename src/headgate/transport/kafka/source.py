"""The sources: a thread that consumes, and a bounded buffer from which the loop reads."""

import asyncio
import threading
import time
from collections import deque
from typing import Any

from headgate.core.message import Message
from headgate.core.position import UNKNOWN, At, Batch, Last, Newest, Oldest, Position, Since, Start
from headgate.errors import StreamClosed, TransportError, Unavailable
from headgate.transport.base import StreamSettings
from headgate.transport.bell import Bell, Deadline
from headgate.transport.kafka.client import KafkaError, KafkaException, TopicPartition, client, logger, translated
from headgate.transport.kafka.cluster import Cluster, topic_of
from headgate.transport.kafka.records import message_of

BUFFER = 5000  # messages that may wait to be read
TAKE = 1000  # messages per call of the library
POLL_SECONDS = 0.02  # how long a commit may wait for the thread
RETRY_SECONDS = 0.5
NEW_PARTITIONS_SECONDS = 10.0
HANDOVER_SECONDS = 5.0  # that a reader gets to commit what it holds of a partition that goes to another member
_RESET = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001 - the library's public codes
_NOT_OURS = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError._STATE,  # noqa: SLF001
}
_QUIET = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001


class Consuming:
    """What both kinds of source share: the thread, the buffer, and reading from it."""

    def __init__(self, cluster: Cluster, stream: StreamSettings, settings: dict[str, Any]) -> None:
        self._cluster = cluster
        self._stream = stream
        self._topic = topic_of(stream)
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._bell = Bell()
        self._change = threading.Condition()  # guards what both threads touch
        self._buffer: deque[Message[bytes]] = deque()
        self._given: dict[int, int] = {}  # partition -> the offset after what was given to the reader
        self._commits: deque[tuple[list[Any], asyncio.Future[TransportError | None]]] = deque()
        self._missed = 0
        self._epoch = UNKNOWN
        self._broken: str | None = None  # why the thread ended, if nobody asked it to
        self._settled = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka {self._topic}", daemon=True)
        self.consumer: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._topic}: {len(self._buffer)} buffered>"

    @property
    def closed(self) -> bool:
        """Nobody reads it any longer."""
        return self._closing.is_set()

    async def start(self, seconds: float) -> None:
        """Begin; return when it is clear where to read from, or after so many seconds if the brokers are away."""
        self._thread.start()
        await asyncio.to_thread(self._settled.wait, seconds)

    async def read(self, limit: int = 1000, wait: float | None = None) -> Batch:
        deadline = Deadline(wait)
        while True:
            if self._closing.is_set():
                raise StreamClosed(f"the reader of stream {self._stream.name!r} is closed")
            if self._broken and not self._buffer:
                raise Unavailable(self._broken)
            batch = self._give(limit)
            if batch.messages or batch.missed or deadline.left() == 0:
                return batch
            await self._bell.wait(deadline.left())

    def _give(self, limit: int) -> Batch:
        with self._change:
            messages = [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]
            self._given.update((message.partition, message.offset + 1) for message in messages)
            missed, self._missed = self._missed, 0
            self._change.notify_all()
            return Batch(messages, Position(self._epoch, dict(self._given)), missed)

    def _run(self) -> None:
        try:
            self.consumer = client.Consumer(self._settings)
            self._consume()
            self._serve_commits()
        except Exception as error:  # noqa: BLE001 - the root of a thread
            logger.exception("the consumer of topic %s ended", self._topic)
            self._broken = f"the consumer of topic {self._topic} ended: {error}; open another reader"
        finally:
            if self.consumer is not None:
                self.consumer.close()
            self._fail_commits()
            self._settled.set()
            self._ring()

    def _fail_commits(self) -> None:
        """Nobody is left to do what readers asked for."""
        while self._commits:
            _, future = self._commits.popleft()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, future, Unavailable(self._broken or "the reader is closed"))

    def _consume(self) -> None:
        raise NotImplementedError

    def _records(self) -> list[Any]:
        """What there is: `poll` returns with the first record, where `consume` alone would wait for many."""
        self._serve_commits()
        first = self.consumer.poll(POLL_SECONDS)
        if first is None:
            return []
        return [first, *self.consumer.consume(TAKE, 0)]

    def _room(self) -> bool:
        """Wait until the reader made room; False while it has not. Polling goes on, or the group would expel us."""
        with self._change:
            return len(self._buffer) < BUFFER or self._change.wait_for(
                lambda: len(self._buffer) < BUFFER or self._closing.is_set(), POLL_SECONDS
            )

    def _keep(self, records: list[Any]) -> None:
        """Put good records into the buffer and wake the reader, once."""
        good = [message_of(record, self._stream.id) for record in records if record.error() is None]
        for record in records:
            if record.error() is not None:
                self._stumble(record)
        if good:
            with self._change:
                self._buffer.extend(good)
            self._ring()

    def _ring(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._bell.ring)

    def _stumble(self, record: Any) -> None:
        """An error in place of a record."""
        if record.error().code() in _RESET:
            self._fell_behind(record)
        elif record.error().code() not in _QUIET:
            logger.warning("consuming %s: %s", self._topic, record.error().str())

    def _fell_behind(self, record: Any) -> None:
        """What was to be read next is gone: go on at the oldest and say how many were missed."""
        place = TopicPartition(self._topic, record.partition())
        oldest, newest = self.consumer.get_watermark_offsets(place, timeout=5)
        with self._change:
            wanted = self._next(record.partition(), oldest)
            # Behind what is kept, or beyond its end: a topic made afresh has a new, short life.
            start = oldest if wanted < oldest or wanted > newest else wanted
            self._missed += max(0, start - wanted)
        self.consumer.incremental_unassign([place])
        self.consumer.incremental_assign([TopicPartition(self._topic, record.partition(), start)])
        self._ring()

    def _next(self, partition: int, default: int) -> int:
        """The next offset of a partition, after what waits in the buffer."""
        waiting = [message.offset + 1 for message in self._buffer if message.partition == partition]
        return waiting[-1] if waiting else self._given.get(partition, default)

    async def _commit(self, offsets: dict[int, int]) -> None:
        """Have the thread commit: the library lets nobody else do it while the thread polls."""
        if not offsets:
            return
        if self._closing.is_set():
            raise StreamClosed(f"the reader of stream {self._stream.name!r} is closed")
        if self._broken:
            raise Unavailable(self._broken)
        places = [TopicPartition(self._topic, number, offset) for number, offset in offsets.items()]
        future: asyncio.Future[TransportError | None] = self._loop.create_future()
        with self._change:
            self._commits.append((places, future))
            self._change.notify_all()
        if (error := await future) is not None:
            raise error

    def _serve_commits(self) -> None:
        """Do what readers asked for; runs in the thread."""
        while self._commits:
            places, future = self._commits.popleft()
            error = self._commit_now(places)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, future, error)

    def _commit_now(self, places: list[Any]) -> TransportError | None:
        try:
            self.consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() not in _NOT_OURS:
                return translated(reason, f"topic {self._topic}: what was read cannot be committed")
            # The partitions are another member's by now: it reads on from the last commit that counted.
            logger.info("a commit came too late: %s", reason.str())
        return None

    async def close(self) -> None:
        if not self._closing.is_set():
            self._closing.set()
            with self._change:
                self._change.notify_all()
            self._bell.ring()
        await asyncio.to_thread(self._thread.join)


def _settle(future: "asyncio.Future[TransportError | None]", error: TransportError | None) -> None:
    if not future.done():
        future.set_result(error)


class KafkaSource(Consuming):
    """A cursor of its own over all partitions."""

    def __init__(
        self, cluster: Cluster, stream: StreamSettings, settings: dict[str, Any], start: Start, cursor: str | None
    ) -> None:
        super().__init__(cluster, stream, settings)
        self._start = start
        self._cursor = cursor

    def _consume(self) -> None:
        while not self._closing.is_set() and not self._assign():
            self._closing.wait(RETRY_SECONDS)
        quiet = 0.0
        while not self._closing.is_set():
            if not self._room():
                self._serve_commits()
                continue
            records = self._records()
            quiet = 0.0 if records else quiet + POLL_SECONDS
            self._keep(records)
            if quiet >= NEW_PARTITIONS_SECONDS:
                quiet = 0.0
                self._add_new_partitions()

    def _assign(self) -> bool:
        """Find out where to begin in each partition and begin there; False when the brokers do not say."""
        try:
            oldest, newest = self._cluster.ends(self._topic)
            if not newest:
                return False
            self._epoch = self._cluster.epoch(self._topic)
            begin = self._begin(oldest, newest)
        except KafkaException as error:
            logger.info("cannot read topic %s yet: %s", self._topic, error.args[0].str())
            return False
        with self._change:
            self._given = begin
        self.consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in begin.items()])
        self._settled.set()
        return True

    def _begin(self, oldest: dict[int, int], newest: dict[int, int]) -> dict[int, int]:
        """The first offset of each partition: where the cursor committed, or what the start means."""
        begin = _offsets(self._start, self._epoch, oldest, newest, self._since)
        if self._cursor is None:
            return begin
        places = [TopicPartition(self._topic, number) for number in newest]
        found = {place.partition: place.offset for place in self.consumer.committed(places, timeout=5)}
        return begin | {number: offset for number, offset in found.items() if offset >= 0}

    def _since(self, timestamp: int) -> dict[int, int]:
        return self._cluster.since(self._topic, timestamp)

    def _add_new_partitions(self) -> None:
        """Partitions that were added are read from their beginning."""
        try:
            added = [number for number in self._cluster.partitions(self._topic) if number not in self._given]
        except KafkaException:
            return  # the probe tells what is wrong
        if added:
            with self._change:
                self._given.update(dict.fromkeys(added, 0))
            self.consumer.incremental_assign([TopicPartition(self._topic, number, 0) for number in added])

    async def commit(self, position: Position) -> None:
        if self._cursor is not None:
            await self._commit(dict(position.offsets))


def _offsets(start: Start, epoch: str, oldest: dict[int, int], newest: dict[int, int], since: Any) -> dict[int, int]:
    match start:
        case Newest():
            return newest
        case Last(count):
            return {number: max(oldest[number], end - count) for number, end in newest.items()}
        case Since(timestamp):
            found = since(timestamp)
            return {number: found[number] if found.get(number, -1) >= 0 else end for number, end in newest.items()}
        case At(position) if position.epoch == epoch:
            return {number: min(position.offsets.get(number, oldest[number]), end) for number, end in newest.items()}
        case Oldest() | At():
            return oldest


class KafkaQueueSource(Consuming):
    """A member of the consumer group. What it was given is not another's until it is committed or given up."""

    def __init__(self, cluster: Cluster, stream: StreamSettings, settings: dict[str, Any]) -> None:
        super().__init__(cluster, stream, settings)
        self._owned: set[int] = set()
        self._safe: dict[int, int] = {}

    def _consume(self) -> None:
        self.consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not self._closing.is_set():
            if self._room():
                self._keep(self._records())
            else:
                self._paused_poll()

    def _paused_poll(self) -> None:
        """Stay in the group without taking more."""
        self._serve_commits()
        places = self.consumer.assignment()
        self.consumer.pause(places)
        record = self.consumer.poll(0)
        if record is not None:
            self._keep([record])
        self.consumer.resume(places)

    def _assigned(self, _: Any, places: list[Any]) -> None:
        with self._change:
            self._owned |= {place.partition for place in places}
            if self._epoch == UNKNOWN:
                self._epoch = self._known_epoch()
        self._settled.set()

    def _known_epoch(self) -> str:
        try:
            return self._cluster.epoch(self._topic)
        except KafkaException:
            return UNKNOWN

    def _revoked(self, _: Any, places: list[Any]) -> None:
        """Partitions go to another member: give no more of them, and let the reader commit what it has."""
        numbers = {place.partition for place in places}
        deadline = time.monotonic() + HANDOVER_SECONDS
        with self._change:
            self._drop_buffered(numbers)
        while not self._all_committed(numbers) and time.monotonic() < deadline:
            with self._change:
                self._change.wait_for(lambda: self._commits, POLL_SECONDS)
            self._serve_commits()
        self._forget(numbers)

    def _lost(self, _: Any, places: list[Any]) -> None:
        """The group gave them away without asking."""
        numbers = {place.partition for place in places}
        with self._change:
            self._drop_buffered(numbers)
        self._forget(numbers)

    def _commit_now(self, places: list[Any]) -> TransportError | None:
        error = super()._commit_now(places)
        if error is None:
            self._safe.update((place.partition, place.offset) for place in places)
        return error

    def _drop_buffered(self, numbers: set[int]) -> None:
        self._owned -= numbers
        self._buffer = deque(message for message in self._buffer if message.partition not in numbers)

    def _all_committed(self, numbers: set[int]) -> bool:
        return self._closing.is_set() or all(
            self._safe.get(number, 0) >= self._given.get(number, 0) for number in numbers
        )

    def _forget(self, numbers: set[int]) -> None:
        with self._change:
            for number in numbers:
                self._given.pop(number, None)
                self._safe.pop(number, None)

    async def commit(self, position: Position) -> None:
        with self._change:
            mine = {n: o for n, o in position.offsets.items() if n in self._given and o > self._safe.get(n, 0)}
        await self._commit(mine)
