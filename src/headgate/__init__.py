"""Headgate: the HTTP gate to event streams.

What is listed here is the public API; everything else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headgate.core.codec import Codec, MessageSerializer
from headgate.core.message import Message, MessageSink, MessageSource, StreamId
from headgate.core.position import Batch, Position, Receipt
from headgate.errors import CodecError, ConfigError, HeadgateError, Refusal, TransportError
from headgate.runtime.config.view import Config
from headgate.runtime.node import node
from headgate.transport.queue_sink import QueueBasedMessageSink

if TYPE_CHECKING:
    from headgate.app.expose import MessageServer
    from headgate.app.gate import Gate
    from headgate.client.commands import CommandClient, SyncCommandClient
    from headgate.client.streams import StreamClient
    from headgate.interface.sinks import MessageApp
    from headgate.transport.http.facade import HTTPMessageSource

__version__ = "0.1.0"
__all__ = [
    "Batch",
    "Codec",
    "CodecError",
    "CommandClient",
    "Config",
    "ConfigError",
    "Gate",
    "HTTPMessageSource",
    "HeadgateError",
    "Message",
    "MessageApp",
    "MessageSerializer",
    "MessageServer",
    "MessageSink",
    "MessageSource",
    "Position",
    "QueueBasedMessageSink",
    "Receipt",
    "Refusal",
    "StreamClient",
    "StreamId",
    "SyncCommandClient",
    "TransportError",
    "__version__",
    "node",
]


_LATE = {
    "CommandClient": "headgate.client.commands",
    "Gate": "headgate.app.gate",
    "HTTPMessageSource": "headgate.transport.http.facade",
    "MessageApp": "headgate.interface.sinks",
    "MessageServer": "headgate.app.expose",
    "StreamClient": "headgate.client.streams",
    "SyncCommandClient": "headgate.client.commands",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: a program that only declares nodes needs neither a gate nor an HTTP client.
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
