"""Reading: messages of the streams of commands and of answers become steps in the book."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from headgate.core.command import HIGHEST_PRIORITY, LATEST, SeenMessage, seen
from headgate.core.command_status import FEEDBACK, Status, answered
from headgate.core.message import Message
from headgate.store.commands import Step

_SECOND = 1_000_000_000
_LONGEST_NAME = 256


def steps(messages: Iterable[Message[bytes]], *, are_answers: bool, oldest: float) -> Iterator[Step]:
    """What messages say of commands. Those from before `oldest`, and what is no command, say nothing."""
    for message in messages:
        at = _bounded(message.timestamp / _SECOND)
        if at >= oldest and (found := seen(message.value)) is not None:
            yield _answer(found, at) if are_answers or found.command_type == FEEDBACK else _published(found, at)


def _published(found: SeenMessage, at: float) -> Step:
    return Step(
        found.request_id,
        Status.PUBLISHED,
        at,
        device_id=_name(found.device_id),
        command_type=_name(found.command_type),
        protocol=_name(found.protocol.lower()),
        accepted=_seconds(found.timestamp) or at,
        expires=_seconds(found.expires_at),
        priority=min(max(found.priority or 0, 0), HIGHEST_PRIORITY),
    )


def _answer(found: SeenMessage, at: float) -> Step:
    return Step(
        found.request_id,
        answered(found.status, found.payload),
        at,
        _detail(found),
        device_id=_name(found.device_id),
    )


def _seconds(moment: datetime | None) -> float | None:
    """Since the epoch. Where others leave the time zone out they mean UTC."""
    if moment is None:
        return None
    return _bounded((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _bounded(seconds: float) -> float:
    """A moment that can be told: others may write any."""
    return min(max(seconds, 0.0), LATEST)


def _name(text: str) -> str:
    """A name that a database takes."""
    return text.replace("\0", "")[:_LONGEST_NAME]


def _detail(found: SeenMessage) -> str:
    payload = found.payload or {}
    words = (found.message, payload.get("message"), payload.get("error"), payload.get("detail"))
    return next((word for word in words if isinstance(word, str) and word), "")
