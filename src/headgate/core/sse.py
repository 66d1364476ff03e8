"""Server-Sent Events: how events, comments and the word on when to come again look on the wire."""

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")

COMMENT = b":\n\n"


def event(data: bytes, *, name: bytes = b"", place: bytes = b"") -> bytes:
    """One event. Data of several lines takes a field for each; its bytes are not changed otherwise.

    `name` and `place` are lines, without CR, LF and NUL: the one comes from the configuration, whose grammar
    sees to that, and the other is a position.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    head = b"event: %b\n" % name if name else b""
    return b"%bid: %b\ndata: %b\n\n" % (head, place, data) if place else b"%bdata: %b\n\n" % (head, data)


def place_at(place: bytes) -> bytes:
    """Tell the client where it is without an event: it asks for what comes after when it connects again."""
    return b"id: %b\n\n" % place


def retry(milliseconds: int) -> bytes:
    """How long the client is to wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds
