"""The frames of a WebSocket: what a client says and what it is told, in JSON (text) or MessagePack (binary)."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from headgate.core.codec import Codec, json_encode
from headgate.core.message import Message
from headgate.core.window import Gap
from headgate.core.wire import JsonMessage, Timestamp, envelope, message_of
from headgate.errors import BadRequest, HeadgateError

JSON_PROTOCOL, MSGPACK_PROTOCOL = "headgate.json", "headgate.msgpack"

# It stands in each message of its subscription.
Id = Annotated[str, msgspec.Meta(max_length=100)]


class Subscribe(msgspec.Struct, tag="subscribe", forbid_unknown_fields=True):
    """Follow the stream; `id` tells this subscription from others on the same socket."""

    id: Id = ""
    filter: dict[str, str | list[str]] = {}
    after: str | None = None
    start: str | None = msgspec.field(name="from", default=None)
    cursor: str | None = None


class Unsubscribe(msgspec.Struct, tag="unsubscribe", forbid_unknown_fields=True):
    """Follow no longer."""

    id: Id = ""


class Ack(msgspec.Struct, tag="ack", forbid_unknown_fields=True):
    """All that came up to this place was dealt with, and need not come again."""

    position: str
    id: Id = ""


class Publish(JsonMessage, tag="publish", forbid_unknown_fields=True):
    """Publish a message; the answer carries the same `ref`."""

    ref: int | str | None = None


class PublishBytes(msgspec.Struct, tag="publish", forbid_unknown_fields=True):
    """The same in MessagePack: the value is the payload's bytes."""

    value: bytes
    timestamp: Timestamp | None = None
    ref: int | str | None = None
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = []


Said = Subscribe | Unsubscribe | Ack | Publish | PublishBytes
_json = msgspec.json.Decoder(Subscribe | Unsubscribe | Ack | Publish)
_msgpack = msgspec.msgpack.Decoder(Subscribe | Unsubscribe | Ack | PublishBytes)


def read_frame(frame: str | bytes) -> Said:
    """What a client says. May raise `BadRequest`."""
    try:
        said: Said = _json.decode(frame) if isinstance(frame, str) else _msgpack.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        kind = "JSON" if isinstance(frame, str) else "MessagePack"
        raise BadRequest(f"not a {kind} frame that is known here: {error}") from None
    return said


def published(said: Publish | PublishBytes, codec: Codec[Any]) -> Message[bytes]:
    """The message that a client publishes. May raise `CodecError`."""
    if isinstance(said, Publish):
        return message_of(said, codec)
    codec.check(said.value)
    facts: dict[str, Any] = {} if said.timestamp is None else {"timestamp": said.timestamp}
    return Message(value=said.value, key=said.key, headers=tuple(said.headers), **facts)


def is_text(frame: bytes) -> bool:
    """Whether a frame of ours is JSON: an object. In MessagePack no map begins with this byte."""
    return frame[:1] == b"{"


@dataclass(frozen=True, slots=True)
class Texts:
    """Messages as JSON objects."""

    codec: Codec[Any] = field(compare=False)
    keyed: bool = False  # with key and headers

    def frame(self, message: Message[bytes], place: str) -> bytes:
        shown = envelope(message, self.codec, place or None)
        if not self.keyed:
            shown = msgspec.structs.replace(shown, key=None, headers=[], stream=None)
        return b'{"type":"message",' + json_encode(shown)[1:]

    def gap(self, gap: Gap) -> bytes:
        return b'{"type":"gap",' + json_encode(gap)[1:]

    def failure(self, error: HeadgateError, **facts: Any) -> bytes:
        return self.word("error", error=str(error), code=error.code, **facts)

    def word(self, kind: str, **facts: Any) -> bytes:
        """A frame that is no message."""
        return json_encode({"type": kind, **facts})

    def named(self, frame: bytes, name: str) -> bytes:
        """A frame with the id of the subscription that it belongs to."""
        return b'{"id":%b,%b' % (json_encode(name), frame[1:])


@dataclass(frozen=True, slots=True)
class Packed:
    """Messages as MessagePack maps; values, keys and headers are bytes."""

    codec: Codec[Any] = field(compare=False)
    keyed: bool = False

    def frame(self, message: Message[bytes], place: str) -> bytes:
        shown: dict[str, Any] = {"type": "message", "timestamp": message.timestamp, "value": message.value}
        if self.keyed:
            shown |= {"key": message.key, "headers": message.headers}
        return msgspec.msgpack.encode(shown | {"position": place or None})

    def gap(self, gap: Gap) -> bytes:
        return self.word("gap", **msgspec.to_builtins(gap))

    def failure(self, error: HeadgateError, **facts: Any) -> bytes:
        return self.word("error", error=str(error), code=error.code, **facts)

    def word(self, kind: str, **facts: Any) -> bytes:
        """A frame that is no message."""
        return msgspec.msgpack.encode({"type": kind, **facts})

    def named(self, frame: bytes, name: str) -> bytes:
        """A frame with the id of the subscription that it belongs to: a map of fewer than 16 has its size in a byte."""
        return b"%c%b%b%b" % (
            frame[0] + 1,
            msgspec.msgpack.encode("id"),
            msgspec.msgpack.encode(name),
            frame[1:],
        )


Voice = Texts | Packed
