"""The memory transport keeps the contract."""

from headgate.testing import TransportContract
from headgate.transport.memory import MemoryTransport


class TestContract(TransportContract):
    transport_class = MemoryTransport

    def make(self) -> MemoryTransport:
        return MemoryTransport()
