"""What becomes of a command: its states, which follows on which, and what an answer of a device says of it."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import msgspec


class Status(IntEnum):
    """The states. A later one takes the place of an earlier one, until the device has answered or it was cancelled."""

    ACCEPTED = 0  # kept, and not on the stream yet
    GIVEN_UP = 1  # it could not be published in time; when it turns up on the stream after all, that counts
    PUBLISHED = 2
    DELIVERED = 3
    EXPIRED = 4  # nobody answered in time; a late answer of the device still counts
    ACKNOWLEDGED = 5
    FAILED = 6
    CANCELLED = 7

    @property
    def word(self) -> str:
        """How it is told."""
        return "failed" if self is Status.GIVEN_UP else self.name.lower()

    @property
    def is_final(self) -> bool:
        """Whether nothing is expected any more."""
        return self >= Status.EXPIRED or self is Status.GIVEN_UP


BY_WORD: Mapping[str, Status] = {status.word: status for status in Status}
ANSWERED = Status.ACKNOWLEDGED  # from here on it is settled

_WORDS: Mapping[str, Status] = {
    **dict.fromkeys(("delivered", "sent", "received", "queued", "forwarded"), Status.DELIVERED),
    **dict.fromkeys(
        ("acknowledged", "ack", "acked", "ok", "success", "succeeded", "done", "completed", "executed"),
        Status.ACKNOWLEDGED,
    ),
    **dict.fromkeys(
        ("failed", "failure", "error", "nack", "rejected", "refused", "timeout", "timed_out"), Status.FAILED
    ),
    "expired": Status.EXPIRED,
}
NOT_IN_TIME = "it could not be published in time"
FEEDBACK = "feedback"  # the type of commands that are answers


def answered(status: str | None, payload: Mapping[str, Any] | None) -> Status:
    """What an answer of a device says. One without a word that we know is an acknowledgement: somebody was there."""
    for word in (status, (payload or {}).get("status"), (payload or {}).get("result")):
        if isinstance(word, str) and (found := _WORDS.get(word.strip().lower().replace(" ", "_"))) is not None:
            return found
    return Status.FAILED if payload and (payload.get("error") or payload.get("success") is False) else ANSWERED


class Transition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state that a command came to, and when (seconds since the epoch)."""

    status: str
    at: float
    detail: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Transition).decode
_LONGEST_DETAIL = 500


def line_of(status: Status, at: float, detail: str = "") -> str:
    """A transition as a line of a command's history."""
    return _encode(Transition(status.word, at, detail[:_LONGEST_DETAIL])).decode() + "\n"


def arrivals_of(text: str) -> list[Transition]:
    """The transitions of a history, in the order in which they became known."""
    return [_decode(line) for line in text.split("\n") if line]


def history_of(text: str) -> list[Transition]:
    """The transitions of a history, in the order of time."""
    return sorted(arrivals_of(text), key=lambda transition: (transition.at, BY_WORD[transition.status]))
