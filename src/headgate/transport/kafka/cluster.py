"""The cluster: its topics, how far they reach, and whether it can be relied on just now."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import TopicCollection

from headgate.core.position import Position
from headgate.errors import Unavailable
from headgate.transport.base import Extent, StreamSettings
from headgate.transport.kafka.client import (
    AdminClient,
    KafkaError,
    KafkaException,
    NewTopic,
    OffsetSpec,
    TopicPartition,
    logger,
    translated,
)

Value = TypeVar("Value")
PATIENCE = 5.0  # seconds for the brokers to answer a question
_PROBE_SECONDS = 2.0
_URL_SAFE = str.maketrans("+/", "-_", "=")


class Cluster:
    """Asks the brokers. Everything here may take seconds, so the loop calls it through `ask`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._admin = AdminClient(dict(settings))
        self._topics: dict[str, StreamSettings] = {}  # those in use
        self._epochs: dict[str, str] = {}
        self._down: str | None = None
        self._missing: dict[str, str] = {}
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._probe, name="kafka probe", daemon=True)
        self._thread.start()

    def trouble(self) -> str | None:
        """Why the cluster cannot be relied on."""
        return self._down or "; ".join(self._missing.values()) or None

    async def ask(self, question: Callable[..., Value], *arguments: Any) -> Value:
        """Run a question in a thread; `Unavailable` when the brokers do not answer."""
        try:
            return await asyncio.to_thread(question, *arguments)
        except KafkaException as error:
            raise translated(error.args[0], "Kafka does not answer") from None

    def use(self, stream: StreamSettings) -> None:
        """This topic is relied on from now on: the probe looks after it, and makes it if it may."""
        self._topics[topic_of(stream)] = stream
        self._wake.set()

    def _probe(self) -> None:
        while not self._closed:
            self._look()
            self._wake.wait(_PROBE_SECONDS)
            self._wake.clear()

    def _look(self) -> None:
        try:
            there = self._admin.list_topics(timeout=PATIENCE).topics
        except KafkaException as error:
            self._tell(f"the brokers do not answer: {error.args[0].str()}")
            return
        self._tell(None)
        missing = {name: stream for name, stream in self._topics.items() if name not in there}
        self._missing = {name: reason for name, stream in missing.items() if (reason := self._make(name, stream))}
        for name in self._epochs.keys() - missing.keys():
            self._refresh_epoch(name)

    def _tell(self, reason: str | None) -> None:
        if (reason is None) != (self._down is None):
            logger.warning(reason or "the brokers answer again")
        self._down = reason

    def _make(self, name: str, stream: StreamSettings) -> str | None:
        """Make a missing topic, if its stream says so; otherwise say what to do."""
        wanted = stream.options.get("create")
        if wanted is None:
            return f"topic {name!r} does not exist; make it, or say `create: {{partitions: ..}}` on the stream"
        settings = {"cleanup.policy": "compact"} if wanted.get("compact") else {}
        topic = NewTopic(name, wanted["partitions"], wanted["replication"], config=settings)
        try:
            self._admin.create_topics([topic])[name].result(PATIENCE)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                return f"topic {name!r} cannot be made: {error.args[0].str()}"
        return None

    def ensure(self, stream: StreamSettings) -> None:
        """Make the topic now, if it is missing and may be made."""
        name = topic_of(stream)
        if name not in self._admin.list_topics(timeout=PATIENCE).topics:
            self._make(name, stream)

    def epoch(self, topic: str) -> str:
        """The topic's own id: one that was made afresh has another."""
        if topic not in self._epochs:
            [future] = self._admin.describe_topics(TopicCollection([topic]), request_timeout=PATIENCE).values()
            # As text it is base64, of which two characters have no place in a position.
            self._epochs[topic] = str(future.result(PATIENCE + 1).topic_id).translate(_URL_SAFE)
        return self._epochs[topic]

    def _refresh_epoch(self, topic: str) -> None:
        """A topic may be made afresh at any time."""
        was = self._epochs.pop(topic)
        try:
            self.epoch(topic)
        except KafkaException:
            self._epochs[topic] = was

    async def known_epoch(self, topic: str) -> str:
        """The same, for the loop: from memory, or asked for once. Brokers that are away make it `unknown`."""
        if topic in self._epochs:
            return self._epochs[topic]
        try:
            return await self.ask(self.epoch, topic)
        except Unavailable:
            return "unknown"

    def partitions(self, topic: str) -> list[int]:
        """The numbers of a topic's partitions; none when it does not exist."""
        metadata = self._admin.list_topics(timeout=PATIENCE).topics.get(topic)
        return sorted(metadata.partitions) if metadata is not None else []

    def ends(self, topic: str) -> tuple[dict[int, int], dict[int, int]]:
        """The oldest and the newest offset of each partition."""
        numbers = self.partitions(topic)
        return self._offsets(topic, numbers, OffsetSpec.earliest()), self._offsets(topic, numbers, OffsetSpec.latest())

    def since(self, topic: str, timestamp: int) -> dict[int, int]:
        """The first offset in each partition with this timestamp (ns) or a later one; -1 for none."""
        milliseconds = -(-timestamp // 1_000_000)
        return self._offsets(topic, self.partitions(topic), OffsetSpec.for_timestamp(milliseconds))

    def _offsets(self, topic: str, partitions: list[int], spec: Any) -> dict[int, int]:
        asked = {TopicPartition(topic, number): spec for number in partitions}
        if not asked:
            return {}
        answers = self._admin.list_offsets(asked, request_timeout=PATIENCE)
        return {place.partition: future.result(PATIENCE + 1).offset for place, future in answers.items()}

    def extent(self, topic: str) -> Extent:
        """How far a topic reaches."""
        oldest, newest = self.ends(topic)
        if not newest:
            raise Unavailable(self._missing.get(topic, f"topic {topic!r} does not exist"))
        epoch = self.epoch(topic)
        count = sum(newest[number] - oldest[number] for number in newest)
        return Extent(Position(epoch, oldest), Position(epoch, newest), count)

    async def close(self) -> None:
        """End the probe."""
        self._closed = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join)


def topic_of(stream: StreamSettings) -> str:
    """The topic's name."""
    return stream.topic or stream.name
