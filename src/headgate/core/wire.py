"""The wire: how a list of messages looks in an HTTP body, in JSON, NDJSON and binary form.

JSON:   [{"timestamp": ns, "stream": {"kind": .., "name": ..}, "value": .., "key"?, "headers"?, "position"?}]
NDJSON: the same objects, one a line.
Binary: MessagePack; an array of [timestamp, kind, name, key, headers, partition, offset, value].

What JSON cannot hold is base64: a value with `"encoding": "base64"` beside it, a key or a header as
`{"base64": ".."}`.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headgate.core.codec import Codec, decode_base64
from headgate.core.message import Headers, Message, StreamId
from headgate.core.position import Position
from headgate.errors import BadRequest, CodecError

JSON = "application/json"
NDJSON = "application/x-ndjson"
BINARY = "application/vnd.headgate.messages+msgpack"
ENVELOPES = "application/vnd.headgate.messages+json"


_OVERHEAD = 64  # bytes that a message takes beside its value and key

_TIMESTAMPS = range(-(2**63), 2**63)  # what every transport can keep


class Base64(msgspec.Struct, rename={"text": "base64"}):
    """Bytes that are no text."""

    text: str


Text = str | Base64


class JsonMessage(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message as a JSON object."""

    timestamp: int | None = None
    stream: StreamId | None = None
    value: msgspec.Raw
    key: Text | None = None
    headers: list[tuple[str, Text]] = []
    position: str | None = None
    encoding: str | None = None


class _Frame(msgspec.Struct, array_like=True):
    """A message as an array."""

    timestamp: int
    kind: str
    name: str
    key: bytes | None
    headers: Headers
    partition: int
    offset: int
    value: bytes


_frames = msgspec.msgpack.Decoder(list[_Frame])
_envelopes = msgspec.json.Decoder(list[JsonMessage])
_envelope = msgspec.json.Decoder(JsonMessage)
_values = msgspec.json.Decoder(list[msgspec.Raw])
_encoder = msgspec.json.Encoder()


def pack(messages: Iterable[Message[bytes]]) -> bytes:
    """Messages in binary form."""
    return msgspec.msgpack.encode(
        [
            _Frame(m.timestamp, m.stream.kind, m.stream.name, m.key, m.headers, m.partition, m.offset, m.value)
            for m in messages
        ]
    )


def pieces(batch: Sequence[Message[bytes]], size: int) -> Iterator[tuple[int, Sequence[Message[bytes]]]]:
    """A batch in pieces of about `size` bytes, each with the index of its first message."""
    first = weight = 0
    for index, message in enumerate(batch):
        more = len(message.value) + len(message.key or b"") + _OVERHEAD
        if index > first and weight + more > size:
            yield first, batch[first:index]
            first, weight = index, 0
        weight += more
    if batch:
        yield first, batch[first:]


def unpack(body: bytes) -> list[Message[bytes]]:
    """The messages of a binary body."""
    try:
        frames = _frames.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"not a binary message batch: {error}") from None
    return [
        Message(
            value=f.value,
            timestamp=f.timestamp,
            stream=StreamId(f.kind, f.name),
            key=f.key,
            headers=f.headers,
            partition=f.partition,
            offset=f.offset,
        )
        for f in frames
    ]


def envelopes(messages: Sequence[Message[bytes]], codec: Codec[Any], after: Position | None = None) -> list[bytes]:
    """Each message as a JSON object; when `after`, the place after the last, is given, with the place after it."""
    known: Iterable[str | None] = [None] * len(messages) if after is None else places(messages, after)
    return [_encoder.encode(envelope(message, codec, place)) for message, place in zip(messages, known, strict=True)]


def places(messages: Sequence[Message[bytes]], after: Position) -> list[str]:
    """The place after each message, found by walking back from the place after the last."""
    found: list[str] = []
    offsets = dict(after.offsets)
    for message in reversed(messages):
        found.append(str(Position(after.epoch, offsets)))
        offsets[message.partition] = message.offset
    return found[::-1]


def envelope(message: Message[bytes], codec: Codec[Any], position: str | None) -> JsonMessage:
    """A message as the JSON object that stands for it; a value that its codec refuses is shown in base64."""
    value, encoding = json_value(message.value, codec)
    return JsonMessage(
        timestamp=message.timestamp,
        stream=message.stream,
        value=msgspec.Raw(value),
        key=None if message.key is None else _text(message.key),
        headers=[(name, _text(data)) for name, data in message.headers],
        position=position,
        encoding=encoding,
    )


def json_value(body: bytes, codec: Codec[Any]) -> tuple[bytes, str | None]:
    """A value as JSON text on one line, and "base64" where that is what the text is."""
    try:
        text = codec.to_json(body)
    except CodecError:
        return b'"' + base64.b64encode(body) + b'"', "base64"
    if b"\n" in text or b"\r" in text:  # between tokens only, as JSON has it: an envelope is one line
        text = text.translate(_ONE_LINE)
    return text, "base64" if codec.json_is_base64 else None


_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def read_envelopes(body: bytes, codec: Codec[Any]) -> list[Message[bytes] | CodecError]:
    """The messages of a JSON array of objects, or of one object; what is wrong with one stands in its place."""
    try:
        items = _envelopes.decode(body) if body.lstrip()[:1] == b"[" else [_envelope.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"not a batch of messages: {error}") from None
    return [_attempt(item, codec) for item in items]


def _attempt(item: JsonMessage, codec: Codec[Any]) -> Message[bytes] | CodecError:
    try:
        return message_of(item, codec)
    except CodecError as error:
        return error


def message_of(item: JsonMessage, codec: Codec[Any]) -> Message[bytes]:
    """The message that a JSON object stands for. May raise `CodecError`."""
    facts: dict[str, Any] = {"value": _body(item, codec), "headers": _headers(item)}
    if item.timestamp is not None:
        check_time(item.timestamp)
        facts["timestamp"] = item.timestamp
    if item.stream is not None:
        facts["stream"] = item.stream
    if item.key is not None:
        facts["key"] = _bytes(item.key)
    return Message(**facts)


def check_time(timestamp: int) -> None:
    """Refuse a time that no transport can keep, by a `CodecError`."""
    if timestamp not in _TIMESTAMPS:
        raise CodecError("a timestamp is a number of nanoseconds since the epoch, in 64 bits")


def _body(item: JsonMessage, codec: Codec[Any]) -> bytes:
    text = bytes(item.value)
    if item.encoding is None:
        return codec.from_json(text)
    if item.encoding != "base64":
        raise CodecError(f'encoding {item.encoding!r} is unknown; leave it out or say "base64"')
    try:
        body = decode_base64(msgspec.json.decode(text, type=str))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CodecError(f"a base64 value is a string: {error}") from None
    codec.check(body)
    return body


def _headers(item: JsonMessage) -> Headers:
    return tuple((name, _bytes(value)) for name, value in item.headers)


def read_values(body: bytes) -> list[bytes]:
    """The JSON texts of an array's items, or the one text that the body is."""
    try:
        if body.lstrip()[:1] == b"[":
            return [bytes(item) for item in _values.decode(body)]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(f"not JSON: {error}") from None
    return [body]


def lines(body: bytes) -> list[bytes]:
    """The lines of a body that say something; Windows line ends and a missing last newline are fine."""
    return [line for raw in body.split(b"\n") if (line := raw.removesuffix(b"\r"))]


def _text(data: bytes) -> Text:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Base64(base64.b64encode(data).decode())


def _bytes(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else decode_base64(text.text)
