"""The reply: how a message that answers another says so, through any number of nodes and whatever carries it.

A request has a correlation id and says whom to reply to. What is made of it carries both on. When something goes
wrong on the way, a message that tells of it takes the place of the reply, and nodes hand it on untouched.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from headgate.core.codec import Codec
from headgate.core.message import Headers, Message
from headgate.errors import CodecError

CORRELATION, REPLY_TO, TRACE, DEADLINE, ERROR = "correlation-id", "reply-to", "traceparent", "deadline", "reply-error"
_CARRIED = (CORRELATION, REPLY_TO, TRACE, DEADLINE)


class ReplyError(msgspec.Struct, frozen=True):
    """Why there is no reply."""

    status: int  # as HTTP has them
    type: str
    error: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ReplyError).decode


def header(message: Message[Any], name: str) -> bytes | None:
    """A header of a message, if it has it."""
    for found, value in message.headers:
        if found == name:
            return value
    return None


def wants_reply(message: Message[Any]) -> bool:
    """Whether somebody waits for what is made of a message."""
    return header(message, REPLY_TO) is not None


def is_over(message: Message[Any], now: float) -> bool:
    """Whether nobody waits any longer for what is made of a message. `now` is in seconds since the epoch."""
    text = header(message, DEADLINE)
    return text is not None and text.isdigit() and int(text[:20]) < now * 1000


def carried(message: Message[Any]) -> Headers:
    """What is made of a message carries these headers on."""
    return tuple(pair for pair in message.headers if pair[0] in _CARRIED)


def answering(made: Sequence[Message[bytes]], headers: Headers) -> list[Message[bytes]]:
    """The same messages with these headers, where they do not say otherwise."""
    return [_with(message, headers) for message in made]


def _with(message: Message[bytes], headers: Headers) -> Message[bytes]:
    own = {name for name, _ in message.headers}
    more = tuple(pair for pair in headers if pair[0] not in own)
    return msgspec.structs.replace(message, headers=message.headers + more)


def failure(message: Message[Any], error: ReplyError, codec: Codec[Any]) -> Message[bytes]:
    """What takes the place of the reply to a message."""
    try:
        value = codec.from_json(b"null")
    except CodecError:
        value = b""
    return Message(value=value, key=message.key, headers=(*carried(message), (ERROR, _encode(error))))


def failed(message: Message[Any]) -> ReplyError | None:
    """Why there is no reply, when this takes its place."""
    text = header(message, ERROR)
    if text is None:
        return None
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ReplyError(500, "internal", "the reply tells of an error that cannot be read")
