"""The answer: what a peer said to a poll, understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.codec import JsonCodec
from headgate.core.message import Message
from headgate.core.position import Position
from headgate.core.wire import BINARY, JSON, read_envelopes, unpack
from headgate.errors import BadRequest, CodecError, PositionError

ACCEPT = f"{BINARY}, {JSON};q=0.5"
_JSON = JsonCodec()


class Garbage(Exception):
    """This is no answer to a poll. Says what it was."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Messages, the place after them where the peer has places, and what never came."""

    messages: Sequence[Message[bytes]]
    bad: Sequence[CodecError]
    position: Position | None
    missed: int


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Understand an answer, or raise `Garbage`. A message that cannot be read takes no other with it."""
    if status not in (200, 204):
        raise Garbage(f"answered {status}: {body[:200].decode('utf-8', 'replace')}")
    try:
        read = _messages(headers, body) if status == 200 else []
        text = headers.get("headgate-position")
        position = None if text is None else Position.parse(text)
    except (BadRequest, PositionError) as error:
        raise Garbage(f"answered garbage: {error}") from None
    missed = headers.get("headgate-missed", "0")
    return Answer(
        [item for item in read if isinstance(item, Message)],
        [item for item in read if isinstance(item, CodecError)],
        position,
        int(missed) if missed.isdigit() else 0,
    )


def _messages(headers: Mapping[str, str], body: bytes) -> Sequence[Message[bytes] | CodecError]:
    if headers.get("content-type", "").startswith(BINARY):
        return unpack(body)
    return read_envelopes(body, _JSON)


class Pace:
    """How long to wait before the next poll.

    A peer that holds a poll until there is something is asked again at once; one that answers at once, though there is
    nothing, is asked less and less often while that stays so.
    """

    def __init__(self, *, first: float = 0.01, most: float = 1.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def after(self, *, found: bool, asked: float, took: float) -> float:
        """Seconds to wait after a poll that might have waited for `asked` seconds and `took` so many."""
        if found or took >= asked / 2:
            self._next = self._first
            return 0.0
        pause, self._next = self._next, min(2 * self._next, self._most)
        return pause
