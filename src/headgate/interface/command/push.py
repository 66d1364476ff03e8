"""`POST {path}` and `POST {path}/batch`: commands come in."""

import hashlib
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime

from headgate.core.command import commands_of
from headgate.core.command_status import Status
from headgate.core.wire import JSON
from headgate.errors import HeadgateError, InvalidCommand, TransportError, UnsupportedMedia
from headgate.interface.command import answers
from headgate.interface.command.office import Office
from headgate.interface.exchange import Request, Response
from headgate.interface.idempotency import key_of
from headgate.runtime.command.book import Book
from headgate.runtime.command.desk import Order, Pushed
from headgate.runtime.tasks import finish_or_cancel

MOST_WAIT = 60.0  # seconds
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.ASCII)
logger = logging.getLogger("headgate.commands")


async def push(request: Request, office: Office) -> Response:
    """One command. Raises a `HeadgateError`."""

    async def asked() -> tuple[bytes, str | None]:
        return await _body(request), key_of(request)

    outcome = await hand_in(asked(), office)
    if (seconds := _preferred_wait(request)) and office.desk.book is not None:
        return await _when_settled(request, office, office.desk.book, outcome, seconds)
    return answers.pushed(outcome, office.path)


async def hand_in(asked: Awaitable[tuple[bytes, str | None]], office: Office) -> Pushed:
    """Publish a command, or keep it for later: its JSON text, and what key it has. Raises a `HeadgateError`."""
    began = time.monotonic()
    try:
        order = _order(*await asked, office, datetime.now(UTC))
        [outcome] = await office.desk.push([order])
        if isinstance(outcome, HeadgateError):
            raise outcome
    except HeadgateError as error:
        _note_failure(office, error)
        raise
    finally:
        office.desk.stats.durations.count(time.monotonic() - began)
    _note_success(office, outcome)
    return outcome


def _preferred_wait(request: Request) -> float:
    """How many seconds the client would rather wait for the device: `Prefer: wait=10`."""
    prefer = request.header("prefer")
    found = None if prefer is None else _WAIT.search(prefer)
    return 0.0 if found is None else min(float(found[1]), MOST_WAIT)


async def _when_settled(request: Request, office: Office, book: Book, outcome: Pushed, seconds: float) -> Response:
    """The answer when the device has given its own, or the time is over."""
    waiting = book.news.wait(outcome.request_id, Status.EXPIRED, seconds)
    await request.unless_gone(finish_or_cancel(waiting, office.drained))
    try:
        row = await book.find(outcome.request_id)
    except HeadgateError:
        row = None  # the command is published all the same
    return answers.settled(outcome, row, office.path)


async def push_batch(request: Request, office: Office) -> Response:
    """Many commands, each with an outcome of its own. Raises a `HeadgateError` for what is no batch."""
    began = time.monotonic()
    try:
        texts = commands_of(await _body(request), office.most_commands)
        key, now = key_of(request), datetime.now(UTC)
        parsed = [
            _parsed(bytes(text), None if key is None else f"{key}\n{at}", office, now) for at, text in enumerate(texts)
        ]
        outcomes = await _pushed(parsed, office)
    except HeadgateError as error:
        _note_failure(office, error)
        raise
    finally:
        office.desk.stats.durations.count(time.monotonic() - began)
    for outcome in outcomes:
        if isinstance(outcome, Pushed):
            _note_success(office, outcome)
        else:
            _note_failure(office, outcome)
    return answers.batch(outcomes, [_id_of(item, outcome) for item, outcome in zip(parsed, outcomes, strict=True)])


async def _body(request: Request) -> bytes:
    media = request.header("content-type")
    if media is not None and media.split(";")[0].strip().lower() != JSON:
        raise UnsupportedMedia(f"commands come as {JSON}, not as {media[:100]!r}")
    return await request.body()


async def _pushed(parsed: Sequence[Order | InvalidCommand], office: Office) -> list[Pushed | HeadgateError]:
    good = [item for item in parsed if isinstance(item, Order)]
    outcomes = iter(await office.desk.push(good) if good else ())
    return [next(outcomes) if isinstance(item, Order) else item for item in parsed]


def _parsed(text: bytes, key: str | None, office: Office, now: datetime) -> Order | InvalidCommand:
    try:
        return _order(text, key, office, now)
    except InvalidCommand as error:
        return error


def _order(text: bytes, key: str | None, office: Office, now: datetime) -> Order:
    request = office.catalog.read(text, now, again=key is not None)
    known = key is not None or request.request_id is not None
    return Order(request, key, hashlib.sha256(text).hexdigest() if known else None)


def _id_of(item: Order | InvalidCommand, outcome: Pushed | HeadgateError) -> str:
    """What a result is known by; one that was refused without an id gets one that nothing else has."""
    if isinstance(outcome, Pushed):
        return outcome.request_id
    return (isinstance(item, Order) and item.request.request_id) or str(uuid.uuid4())


def _note_success(office: Office, outcome: Pushed) -> None:
    office.desk.stats.sent += 1
    if logger.isEnabledFor(logging.INFO):
        facts = {
            "device_id": outcome.device_id,
            "command_type": outcome.command_type,
            "request_id": outcome.request_id,
        }
        logger.info("Command processed", extra=facts)


def _note_failure(office: Office, error: HeadgateError) -> None:
    office.desk.stats.fail(str(error), time.time())
    if isinstance(error, TransportError):  # what a client did wrong is told to the client
        logger.warning("Command failed", extra={"path": office.path, "reason": str(error)})
