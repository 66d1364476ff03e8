"""What became of commands: `GET {path}/{request_id}/status`, its events, the list, and `DELETE`."""

import re
from collections.abc import Mapping
from datetime import datetime

from headgate.core.codec import encode_json
from headgate.core.command import COMMAND_ID
from headgate.core.command_status import BY_WORD, Status, arrivals_of
from headgate.core.sse import COMMENT, event, retry
from headgate.errors import BadRequest, HeadgateError, InvalidParameter, NotFound, TooLate, TransportError
from headgate.interface.command import answers
from headgate.interface.command.office import Office
from headgate.interface.command.push import MOST_WAIT
from headgate.interface.exchange import ClientGone, Event, Request, Response, Send, json
from headgate.runtime.command.book import Book
from headgate.runtime.tasks import finish_or_cancel
from headgate.store.commands import CommandQuery, CommandRow

EVENTS = "text/event-stream"
_PING_SECONDS = 15.0
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|m)?", re.ASCII)
_UNITS: Mapping[str | None, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_MOST_LISTED = 1000
_LONGEST_NUMBER = 18  # digits
_LISTED = ("device_id", "command_type", "status", "since", "until", "limit", "cursor")


def _book(office: Office) -> Book:
    if office.desk.book is None:
        raise NotFound("this interface keeps no status of commands: its configuration says track: false")
    return office.desk.book


async def status(request: Request, office: Office) -> Response:
    """The status of a command; with `wait`, when it is settled, or as it is when the time is over."""
    book, request_id = _book(office), request.values["request_id"]
    _check_names(request, ("wait",))
    seconds = _seconds(request.parameter("wait"))
    try:
        row = await _row(book, request_id)
        if seconds and not row.status.is_final:
            await _settled(request, office, book, row, seconds)
            row = await _row(book, request_id)
    except TransportError as error:
        return json(answers.unknown(request_id, str(error)))
    return json(answers.told(row))


async def _row(book: Book, request_id: str) -> CommandRow:
    row = await book.find(request_id) if COMMAND_ID.fullmatch(request_id) else None
    if row is None:
        raise NotFound(f"there is no command {request_id[:128]!r}; it may be older than what is kept")
    return row


async def _settled(request: Request, office: Office, book: Book, row: CommandRow, seconds: float) -> None:
    waiting = book.news.wait(row.request_id, Status.EXPIRED, seconds)
    await request.unless_gone(finish_or_cancel(waiting, office.drained))


async def events(request: Request, office: Office) -> Response:
    """The transitions of a command, as they come. They end with it; who asks again after the end gets a 204."""
    book, request_id = _book(office), request.values["request_id"]
    row = await _row(book, request_id)
    last = request.header("last-event-id") or request.parameter("after") or "0"
    if not (last.isascii() and last.isdecimal() and len(last) <= _LONGEST_NUMBER):
        raise BadRequest(f"{last[:80]!r} is not the id of an event: they are counted from 1")
    if row.status.is_final and len(arrivals_of(row.history)) <= int(last):
        return Response(204)

    async def serve(request: Request, start: Event, send: Send) -> None:
        await send(start)
        await _tell(request, office, book, row, int(last), send)

    return Response(content_type=EVENTS, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, live=serve)


async def _tell(request: Request, office: Office, book: Book, row: CommandRow, told: int, send: Send) -> None:
    frames = [retry(1000)]
    while True:
        history = arrivals_of(row.history)  # their numbers stay as they are
        for number, step in enumerate(history[told:], told + 1):
            frames.append(event(encode_json(answers.step(step)), name=step.status.encode(), place=str(number).encode()))
        told = max(told, len(history))
        await _send(send, frames or [COMMENT])
        if row.status.is_final or (news := await _next(request, office, book, row)) is None:
            await send({"type": "http.response.body", "body": b""})
            return
        row, frames = news, []


async def _send(send: Send, frames: list[bytes]) -> None:
    await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})


async def _next(request: Request, office: Office, book: Book, row: CommandRow) -> CommandRow | None:
    """The row after something came of it, or some time; None when the gate shuts down or the client is gone."""
    waiting = book.news.wait(row.request_id, Status(row.status + 1), _PING_SECONDS)
    try:
        done = await request.unless_gone(finish_or_cancel(_done(waiting), office.drained))
        return (await book.find(row.request_id) or row) if done else None
    except ClientGone:
        return None
    except HeadgateError:
        return row  # the database is away: it may be back at the next look


async def _done(waiting: object) -> bool:
    await waiting  # type: ignore[misc]
    return True


async def listing(request: Request, office: Office) -> Response:
    """A page of commands, the newest first."""
    book = _book(office)
    _check_names(request, _LISTED)
    limit = _number(request, "limit", 100, _MOST_LISTED)
    word = request.parameter("status")
    if word is not None and word not in BY_WORD:
        raise InvalidParameter(f"status must be one of {', '.join(BY_WORD)}, not {word[:80]!r}")
    query = CommandQuery(
        book.scope,
        _text(request, "device_id"),
        _text(request, "command_type"),
        tuple(status for status in Status if status.word == word),
        _moment(request, "since"),
        _moment(request, "until"),
        None if request.parameter("cursor") is None else _number(request, "cursor", 0, 10**_LONGEST_NUMBER),
        limit + 1,
    )
    rows = await book.list(query)
    following = str(rows[limit - 1].number) if len(rows) > limit else None
    return json({"commands": [answers.told(row) for row in rows[:limit]], "next_cursor": following})


async def cancel(request: Request, office: Office) -> Response:
    """Cancel a command that is not published yet."""
    book, request_id = _book(office), request.values["request_id"]
    row = await book.cancel(request_id) if COMMAND_ID.fullmatch(request_id) else None
    if row is None:
        row = await _row(book, request_id)
    if row.status is not Status.CANCELLED:
        raise TooLate(f"the command is {row.status.word} already; it cannot be cancelled any more")
    return json(answers.told(row))


def _check_names(request: Request, known: tuple[str, ...]) -> None:
    if unknown := request.query.keys() - set(known):
        raise InvalidParameter(f"{min(unknown)[:80]!r} is unknown here; there are {', '.join(known)}")


def _seconds(text: str | None) -> float:
    if text is None:
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidParameter(f"wait must be a time like 10s or 500ms, not {text[:80]!r}")
    return min(float(match[1]) * _UNITS[match[2]], MOST_WAIT)


def _text(request: Request, name: str) -> str | None:
    text = request.parameter(name)
    if text is not None and "\0" in text:
        raise InvalidParameter(f"{name} must not hold a NUL")
    return text


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.parameter(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER and 1 <= int(text) <= most):
        raise InvalidParameter(f"{name} must be a number from 1 to {most}, not {text[:80]!r}")
    return int(text)


def _moment(request: Request, name: str) -> float | None:
    text = request.parameter(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign in a query string arrives as a space
    except ValueError:
        raise InvalidParameter(f"{name} must be an RFC 3339 time, not {text[:80]!r}") from None
    if moment.tzinfo is None:
        raise InvalidParameter(f"{name} has no time zone; append Z for UTC")
    return moment.timestamp()
