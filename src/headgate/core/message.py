"""The message: what moves through streams, and the two protocols of whoever hands it on."""

import time
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")

Headers = tuple[tuple[str, bytes], ...]


class StreamId(msgspec.Struct, frozen=True, order=True, gc=False):
    """What a message says of where it came from: a kind of data and a name within it."""

    kind: str
    name: str


UNNAMED = StreamId("", "")


# gc=False: a message never refers back to itself, and a full ring must not slow the collector down.
class Message(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """One message. On the wire `value` is bytes (`Message[bytes]`); a codec gives it a type.

    `timestamp` counts nanoseconds since the epoch, UTC. `partition` and `offset` say where a stream
    keeps the message; the stream fills them in. Messages sort by timestamp.
    """

    value: T
    timestamp: int = msgspec.field(default_factory=time.time_ns)
    stream: StreamId = UNNAMED
    key: bytes | None = None
    headers: Headers = ()
    partition: int = 0
    offset: int = -1

    def answer(self, value: Any) -> "Message[Any]":
        """A message that answers this one: with its key, and for whoever waits for a reply to it."""
        return Message(value=value, key=self.key, headers=self.headers)

    def __lt__(self, other: "Message[T]") -> bool:
        return self.timestamp < other.timestamp


class MessageSource(Protocol[T]):
    """Where messages come from. Gives what there is now, never waits, never raises for a dead peer."""

    def get_messages(self) -> "Sequence[Message[T]]": ...


class MessageSink(Protocol[T]):
    """Where messages go. Takes a batch; may raise a `TransportError` when it cannot keep it."""

    def publish_messages(self, messages: "Sequence[Message[T]]") -> None: ...
