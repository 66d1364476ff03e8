"""Publishing over HTTP: one message, a JSON array, lines or the binary form into a stream."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec.structs import replace

from headgate.core.codec import Codec
from headgate.core.message import Message
from headgate.core.position import Receipt
from headgate.core.scopes import Keys
from headgate.core.wire import BINARY, ENVELOPES, JSON, NDJSON, check_time, lines, read_envelopes, read_values, unpack
from headgate.errors import BodyTooLarge, CodecError, Forbidden, Unavailable, UnsupportedMedia
from headgate.interface.exchange import Request, Response, json
from headgate.interface.route import Answer, Parameter, Route
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import finish_or_cancel
from headgate.transport.base import Overflow

TEXT = "text/plain"
BYTES = "application/octet-stream"
Parsed = Sequence[Message[bytes] | CodecError]
MOST = 50_000  # messages in one request
_ERRORS_SHOWN = 100


def publish_route(path: str, stream: Stream, drained: Callable[[], Awaitable[object]]) -> Route:
    """`POST path`: publish to this stream. `drained` returns when nobody may wait longer for room in it."""

    async def publish(request: Request) -> Response:
        return await _publish(request, stream, drained)

    return Route(
        "POST",
        path,
        publish,
        stream=stream.name,
        keyed=True,
        summary=f"Publish to {stream.name}",
        tag="streams",
        parameters=[Parameter("key", "The key of messages that bring none.", {"type": "string"})],
        body={media: {} for media in (JSON, NDJSON, ENVELOPES, BINARY, TEXT, BYTES)},
        answers=[
            Answer(200, "All messages are kept.", {JSON: _PUBLISHED}),
            Answer(207, "Some messages are kept; `errors` names the others.", {JSON: _PUBLISHED}),
            Answer(400, "Nothing was published: no message could be read.", {JSON: _PUBLISHED}),
            Answer(413, "The body is over the limit."),
            Answer(415, "The body is of a type that is not read here."),
            Answer(429, "The stream is full."),
            Answer(503, "The stream cannot be reached; nothing is acknowledged."),
            Answer(507, "The disk is full; nothing is acknowledged."),
        ],
    )


async def _publish(request: Request, stream: Stream, drained: Callable[[], Awaitable[object]]) -> Response:
    key = request.parameter("key")
    read = _reader(request.header("content-type"), stream.codec)
    parsed = _with_key(_bounded(read(await request.body(), stream.codec)), key)
    good = [item for item in parsed if isinstance(item, Message)]
    _permit(good, request.keys)
    receipt = await _keep(request, stream, good, drained) if good else None
    return _answer(parsed, receipt)


def _permit(messages: Sequence[Message[bytes]], keys: Keys) -> None:
    """Refuse a batch of which somebody may not publish all: of it nothing is published."""
    if keys.patterns and (others := sum(not keys.fit(message.key) for message in messages)):
        raise Forbidden(f"{others} of {len(messages)} messages have keys other than {', '.join(keys.patterns)}")


def _bounded(parsed: Parsed) -> Parsed:
    """A megabyte can hold half a million messages: too many for one turn of the loop and one answer."""
    if len(parsed) > MOST:
        raise BodyTooLarge(f"{len(parsed)} messages are over the limit of {MOST} in one request; send smaller batches")
    return parsed


async def _keep(
    request: Request, stream: Stream, good: list[Message[bytes]], drained: Callable[[], Awaitable[object]]
) -> Receipt:
    if stream.settings.overflow is not Overflow.BLOCK:
        return await stream.publish(good)
    # It may wait for room without end: not for a client that is gone, and not while the gate shuts down.
    receipt: Receipt | None = await request.unless_gone(finish_or_cancel(stream.publish(good), drained))
    if receipt is None:
        raise Unavailable(f"the gate is shutting down, and stream {stream.name!r} has not had room for all of this")
    return receipt


def _reader(content_type: str | None, codec: Codec[Any]) -> Callable[[bytes, Codec[Any]], Parsed]:
    own, media = (text.split(";")[0].strip().lower() for text in (codec.content_type, content_type or ""))
    if not media or media == own:
        return _READERS.get(own, _from_bytes)  # a plug-in's own type is its bytes
    if media not in _READERS:
        known = ", ".join(_READERS)
        raise UnsupportedMedia(f"a body of type {media[:100]!r} is not read here; set Content-Type to one of {known}")
    return _READERS[media]


def _with_key(parsed: Parsed, key: str | None) -> Parsed:
    if key is None:
        return parsed
    named = key.encode()
    return [replace(m, key=named) if isinstance(m, Message) and m.key is None else m for m in parsed]


def _answer(parsed: Parsed, receipt: Receipt | None) -> Response:
    places = [str(place) for place in receipt.positions()] if receipt else []
    failed = [(index, error) for index, error in enumerate(parsed) if isinstance(error, CodecError)]
    answer: dict[str, Any] = {
        "published": len(places),
        "failed": len(failed),
        "position": places[-1] if places else None,
        "positions": places,
    }
    if failed:
        answer["errors"] = [{"index": index, "message": str(error)} for index, error in failed[:_ERRORS_SHOWN]]
    if failed and not places:
        answer |= {"error": f"message {failed[0][0]}: {failed[0][1]}", "type": CodecError.code}
    return json(answer, 200 if not failed else 207 if places else 400)


def _from_json(body: bytes, codec: Codec[Any]) -> Parsed:
    return [_value(text, codec.from_json) for text in read_values(body)]


def _from_ndjson(body: bytes, codec: Codec[Any]) -> Parsed:
    return [_value(text, codec.from_json) for text in lines(body)]


def _from_text(body: bytes, codec: Codec[Any]) -> Parsed:
    return [_checked(Message(value=line), codec) for line in lines(body)]


def _from_bytes(body: bytes, codec: Codec[Any]) -> Parsed:
    return [_checked(Message(value=body), codec)]


def _from_binary(body: bytes, codec: Codec[Any]) -> Parsed:
    return [_dated(_checked(message, codec)) for message in unpack(body)]


def _from_envelopes(body: bytes, codec: Codec[Any]) -> Parsed:
    return [_dated(item) for item in read_envelopes(body, codec)]


def _dated(item: Message[bytes] | CodecError) -> Message[bytes] | CodecError:
    try:
        if isinstance(item, Message):
            check_time(item.timestamp)
    except CodecError as error:
        return error
    return item


def _value(text: bytes, convert: Callable[[bytes], bytes]) -> Message[bytes] | CodecError:
    try:
        return Message(value=convert(text))
    except CodecError as error:
        return error


def _checked(message: Message[bytes], codec: Codec[Any]) -> Message[bytes] | CodecError:
    try:
        codec.check(message.value)
    except CodecError as error:
        return error
    return message


_READERS: dict[str, Callable[[bytes, Codec[Any]], Parsed]] = {
    JSON: _from_json,
    NDJSON: _from_ndjson,
    ENVELOPES: _from_envelopes,
    BINARY: _from_binary,
    TEXT: _from_text,
    BYTES: _from_bytes,
    "application/msgpack": _from_bytes,
}

_PUBLISHED: dict[str, Any] = {
    "type": "object",
    "required": ["published", "failed", "position", "positions"],
    "properties": {
        "published": {"type": "integer", "description": "How many messages are kept."},
        "failed": {"type": "integer", "description": "How many could not be read."},
        "position": {"type": ["string", "null"], "description": "The place after the last of them."},
        "positions": {"type": "array", "items": {"type": "string"}, "description": "The place after each."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"index": {"type": "integer"}, "message": {"type": "string"}},
            },
        },
    },
}
