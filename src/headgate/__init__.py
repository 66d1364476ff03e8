"""Headgate: the HTTP gate to event streams.

What is listed here is the public API; everything else may change.
"""

from typing import TYPE_CHECKING, Any

from headgate.core.codec import Codec, MessageSerializer
from headgate.core.message import Message, MessageSink, MessageSource, StreamId
from headgate.core.position import Batch, Position, Receipt
from headgate.errors import CodecError, ConfigError, HeadgateError, TransportError
from headgate.runtime.config.view import Config
from headgate.runtime.node import node
from headgate.transport.queue_sink import QueueBasedMessageSink

if TYPE_CHECKING:
    from headgate.app.gate import Gate
    from headgate.client.streams import StreamClient

__version__ = "0.1.0"
__all__ = [
    "Batch",
    "Codec",
    "CodecError",
    "Config",
    "ConfigError",
    "Gate",
    "HeadgateError",
    "Message",
    "MessageSerializer",
    "MessageSink",
    "MessageSource",
    "Position",
    "QueueBasedMessageSink",
    "Receipt",
    "StreamClient",
    "StreamId",
    "TransportError",
    "__version__",
    "node",
]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: a program that only declares nodes needs neither a gate nor an HTTP client.
    if name == "Gate":
        from headgate.app.gate import Gate

        return Gate
    if name == "StreamClient":
        from headgate.client.streams import StreamClient

        return StreamClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
