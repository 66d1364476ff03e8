"""The kafka transport keeps the contract, on a real broker."""

from dataclasses import replace

import pytest

from headgate.testing import TransportContract
from headgate.transport.base import StreamSettings
from headgate.transport.kafka import KafkaTransport
from tests.services.kafka import KafkaBroker


class TestContract(TransportContract):
    transport_class = KafkaTransport

    @pytest.fixture(autouse=True)
    def _broker(self, kafka: KafkaBroker) -> None:
        self.broker = kafka

    def make(self) -> KafkaTransport:
        return KafkaTransport(bootstrap_servers=self.broker.bootstrap, group_id=self.group)

    async def prepare(self, stream: StreamSettings) -> StreamSettings:
        self.group = stream.name
        return replace(stream, topic=self.broker.create_topic(partitions=3))
