"""What a plug-in author's tests import: the contract that every transport must keep."""

from headgate.testing.transport import TransportContract

__all__ = ["TransportContract"]
