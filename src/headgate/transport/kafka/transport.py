"""The kafka transport itself: one producer, and a consumer for each source."""

import asyncio
from typing import Any

from headgate.core.position import Newest, Start
from headgate.errors import Unavailable
from headgate.transport.base import Ability, Delivery, Extent, StreamSettings
from headgate.transport.kafka.client import Options, base_settings, consumer_settings, producer_settings
from headgate.transport.kafka.cluster import Cluster, topic_of
from headgate.transport.kafka.producer import KafkaSink, Producer
from headgate.transport.kafka.source import KafkaQueueSource, KafkaSource

CLOSE_SECONDS = 5.0
SETTLE_SECONDS = 5.0


class KafkaTransport:
    """Streams as topics. What is in `options` goes to librdkafka as it is and is never shown."""

    abilities = frozenset(
        {
            Ability.QUEUE,
            Ability.START_TIME,
            Ability.LAST,
            Ability.RESUME,
            Ability.DURABLE,
            Ability.PARTITIONS,
            Ability.SHARED,
        }
    )

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group_id: str = "headgate",
        options: Options | None = None,
        send_timeout: float = 30.0,
    ) -> None:
        self._base = base_settings(bootstrap_servers, options or {})
        self._group = group_id
        self._send_timeout = send_timeout
        self._made_producer: Producer | None = None
        self._made_cluster: Cluster | None = None
        self._sinks: list[KafkaSink] = []
        self._sources: list[KafkaSource | KafkaQueueSource] = []

    @property
    def _cluster(self) -> Cluster:
        if self._made_cluster is None:
            self._made_cluster = Cluster(self._base)
        return self._made_cluster

    @property
    def _producer(self) -> Producer:
        if self._made_producer is None:
            self._made_producer = Producer(producer_settings(self._base, self._send_timeout), self._send_timeout)
        return self._made_producer

    async def open_sink(self, stream: StreamSettings) -> KafkaSink:
        await self._prepare(stream)
        self._sinks.append(KafkaSink(self._producer, self._cluster, stream))
        return self._sinks[-1]

    async def open_source(
        self, stream: StreamSettings, start: Start, cursor: str | None = None
    ) -> KafkaSource | KafkaQueueSource:
        await self._prepare(stream)
        source = self._source(stream, start, cursor)
        self._sources = [other for other in self._sources if not other.closed]
        self._sources.append(source)
        await source.start(SETTLE_SECONDS if self.trouble() is None else 0)
        return source

    def _source(self, stream: StreamSettings, start: Start, cursor: str | None) -> KafkaSource | KafkaQueueSource:
        if stream.delivery is Delivery.QUEUE:
            return KafkaQueueSource(self._cluster, stream, self._queue_settings(start))
        group = self._group if cursor is None else f"{self._group}.{cursor}"
        return KafkaSource(self._cluster, stream, consumer_settings(self._base, group), start, cursor)

    def _queue_settings(self, start: Start) -> dict[str, Any]:
        reset = "latest" if isinstance(start, Newest) else "earliest"
        group = {"partition.assignment.strategy": "cooperative-sticky", "auto.offset.reset": reset}
        return {**consumer_settings(self._base, self._group), **group}

    async def _prepare(self, stream: StreamSettings) -> None:
        """Make the topic if it is missing and may be made. Brokers that are away are no reason not to open."""
        self._cluster.use(stream)
        if "create" in stream.options:
            try:
                await self._cluster.ask(self._cluster.ensure, stream)
            except Unavailable:
                return

    async def extent(self, stream: StreamSettings) -> Extent:
        self._cluster.use(stream)
        return await self._cluster.ask(self._cluster.extent, topic_of(stream))

    def trouble(self) -> str | None:
        return None if self._made_cluster is None else self._made_cluster.trouble()

    async def close(self) -> None:
        await asyncio.gather(*(source.close() for source in self._sources))
        # The sinks first, so that nothing is sent to a producer that is closing; what they wait for, it settles.
        closing = [sink.close() for sink in self._sinks]
        if self._made_producer is not None:
            closing.append(self._made_producer.close(CLOSE_SECONDS))
        await asyncio.gather(*closing)
        if self._made_cluster is not None:
            await self._made_cluster.close()
