"""The record: a message as Kafka keeps it.

Kafka keeps milliseconds, so a timestamp loses what is below. The stream's own id is not written; another one
travels in the header `headgate-stream` as kind/name.
"""

from typing import Any

from headgate.core.message import Headers, Message, StreamId

ORIGIN = "headgate-stream"
_MILLISECOND = 1_000_000


def headers_of(message: Message[bytes], own: StreamId) -> list[tuple[str, bytes]] | None:
    """What is written beside key and value; None for nothing. A `ValueError` for a name that cannot be one."""
    for name, _ in message.headers:
        _check(name)
    if message.stream == own:
        return list(message.headers) or None
    return [*message.headers, (ORIGIN, f"{message.stream.kind}/{message.stream.name}".encode())]


def _check(name: str) -> None:
    # A lone surrogate, which UTF-8 refuses, crashes the library; a NUL ends the name, and nobody hears of it.
    if b"\0" in str.encode(name):
        raise ValueError(f"the header {name!r} has a NUL in its name")


def milliseconds(message: Message[bytes]) -> int:
    """The timestamp, as Kafka counts."""
    return max(0, message.timestamp // _MILLISECOND)


def message_of(record: Any, own: StreamId) -> Message[bytes]:
    """The message of a record. A null value, a tombstone, is empty bytes."""
    headers = record.headers()
    stream, kept = (own, ()) if headers is None else _split(headers, own)
    _, timestamp = record.timestamp()
    return Message(
        value=record.value() or b"",
        key=record.key(),
        timestamp=max(0, timestamp) * _MILLISECOND,
        stream=stream,
        headers=kept,
        partition=record.partition(),
        offset=record.offset(),
    )


def _split(headers: list[tuple[str, bytes | None]], own: StreamId) -> tuple[StreamId, Headers]:
    kept = tuple((name, value or b"") for name, value in headers if name != ORIGIN)
    origin = next((value for name, value in headers if name == ORIGIN and value), None)
    if origin is None:
        return own, kept
    kind, _, name = origin.decode("utf-8", "replace").partition("/")
    return StreamId(kind, name), kept
