"""The frame: a message as the log keeps it, with a checksum that also covers its place."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from zlib import crc32

import msgspec

from headgate.core.message import Headers, Message, StreamId

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, bytes | None, Headers, tuple[str, str] | None, bytes]).decode
Row = tuple[int, object, object, object]  # offset, highest timestamp so far, checksum, frame


def frames(batch: Sequence[Message[bytes]], own: StreamId) -> list[bytes]:
    """The frames of a batch. The stream's own id is left out, as nearly all messages have it."""
    return [
        _encode((m.timestamp, m.key, m.headers, None if m.stream == own else (m.stream.kind, m.stream.name), m.value))
        for m in batch
    ]


def rows(timestamps: Iterable[int], framed: Sequence[bytes], *, first: int, high: int) -> Iterable[Row]:
    """The rows of a batch that starts at offset `first`; `high` is the latest timestamp before it."""
    offsets = range(first, first + len(framed))
    highest = list(accumulate(timestamps, max, initial=high))[1:]
    # The checksum starts from the offset, so a frame that turns up in another place is noticed.
    return zip(offsets, highest, map(crc32, framed, offsets), framed, strict=True)


def message(row: Row, own: StreamId) -> Message[bytes] | None:
    """The message of a row; None when it is not what was written."""
    offset, _, checksum, frame = row
    if not isinstance(frame, bytes) or not isinstance(checksum, int) or crc32(frame, offset & 0xFFFFFFFF) != checksum:
        return None
    timestamp, key, headers, stream, value = _decode(frame)
    named = own if stream is None else StreamId(*stream)
    return Message(value=value, timestamp=timestamp, stream=named, key=key, headers=headers, offset=offset)
