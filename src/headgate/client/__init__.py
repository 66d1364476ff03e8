"""Clients of a running gate."""

from headgate.client.commands import CommandClient, SyncCommandClient
from headgate.client.streams import StreamClient

__all__ = ["CommandClient", "StreamClient", "SyncCommandClient"]
