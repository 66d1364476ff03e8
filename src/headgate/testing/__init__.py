"""What a plug-in author's tests import: the contracts that every transport and every store must keep."""

from headgate.testing.store import StoreContract
from headgate.testing.transport import TransportContract

__all__ = ["StoreContract", "TransportContract"]
