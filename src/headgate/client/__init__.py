"""Clients of a running gate."""

from headgate.client.streams import StreamClient

__all__ = ["StreamClient"]
