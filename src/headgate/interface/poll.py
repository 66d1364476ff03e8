"""Polling over HTTP: what a stream has after a place, now or as soon as something comes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from headgate.core.codec import Codec, encode_json
from headgate.core.position import At, Batch, Oldest, Position, Start
from headgate.core.wire import BINARY, JSON, NDJSON, envelopes, pack
from headgate.errors import BadRequest, NotAcceptable, TransportError
from headgate.interface.accept import preferred
from headgate.interface.exchange import PROBLEM, Request, Response
from headgate.interface.place import PARAMETERS as PLACES
from headgate.interface.place import start_of
from headgate.interface.route import Answer, Parameter, Route
from headgate.runtime.pickup import Parcel, Pickup
from headgate.runtime.stream import Stream, Subscription
from headgate.runtime.tasks import finish_or_cancel

logger = logging.getLogger("headgate.web")
LIMIT, MOST, MOST_WAIT, MOST_BYTES = 1000, 10_000, 60.0, 8 * 1024 * 1024
STEP = 250  # messages per read, so that large messages do not pile up beyond MOST_BYTES
Value = TypeVar("Value")
Drained = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Poll:
    """What a poller asked for."""

    start: Start
    limit: int
    wait: float
    media: str
    follow: bool


def poll_route(path: str, stream: Stream, pickup: Pickup | None, drained: Drained) -> Route:
    """`GET path`: read this stream. `drained` returns when the gate shuts down and nobody may wait longer."""

    parameters = _PARAMETERS if pickup is None else [p for p in _PARAMETERS if p.name in ("limit", "wait")]

    async def poll(request: Request) -> Response:
        asked = read_poll(request, [parameter.name for parameter in parameters])
        if pickup is not None:
            return await _pick_up(request, asked, stream, pickup, drained)
        if asked.follow:
            return _follow(asked, stream, drained)
        return await _read(request, asked, stream, drained)

    return Route(
        "GET",
        path,
        poll,
        summary=f"Read {stream.name}" + (": what is read is gone" if stream.is_queue else ""),
        tag="streams",
        parameters=parameters,
        answers=[
            Answer(200, "Messages, and in Headgate-Position the place after them.", _CONTENT),
            Answer(204, "There is nothing now."),
            Answer(400, "A parameter is wrong."),
            Answer(406, "The client accepts no form that messages have."),
            Answer(503, "The stream cannot be reached."),
        ],
    )


def read_poll(request: Request, known: Collection[str]) -> Poll:
    """The parameters of a poll, checked. A queue knows fewer: it has no places to start at."""
    if unknown := request.query.keys() - set(known):
        where = "" if "after" in known else " of a queue"
        raise BadRequest(f"query parameter {min(unknown)[:80]!r}{where} is unknown; there are {', '.join(known)}")
    follow = _flag(request.parameter("follow"), "follow")
    if follow and request.query.keys() & {"limit", "wait"}:
        raise BadRequest("follow goes on until you leave; limit and wait are for polls without it")
    return Poll(
        start=start_of(request, Oldest()),
        limit=_limit(request.parameter("limit")),
        wait=_number(request.parameter("wait"), "wait", default=0, least=0, most=MOST_WAIT),
        media=_accepted(request.header("accept")),
        follow=follow,
    )


def _limit(text: str | None) -> int:
    number = _number(text, "limit", default=LIMIT, least=1, most=MOST)
    if number != int(number):
        raise BadRequest(f"limit must be a whole number, not {text!r:.80}")
    return int(number)


def _number(text: str | None, name: str, *, default: float, least: float, most: float) -> float:
    try:
        number = float((text or str(default)).removesuffix("s"))
    except ValueError:
        raise BadRequest(f"{name} must be a number, not {text!r:.80}") from None
    if not least <= number <= most:
        raise BadRequest(f"{name} must be between {least:g} and {most:g}, not {text!r:.80}")
    return number


def _flag(text: str | None, name: str) -> bool:
    if text not in (None, "true", "false"):
        raise BadRequest(f"{name} is true or false, not {text!r:.80}")
    return text == "true"


def _accepted(accept: str | None) -> str:
    for media in preferred(accept or "*/*"):
        if media in (JSON, NDJSON, BINARY):
            return media
        if media in ("*/*", "application/*", PROBLEM):
            return JSON
    raise NotAcceptable(f"messages come as {JSON}, {NDJSON} or {BINARY}")


async def _read(request: Request, asked: Poll, stream: Stream, drained: Drained) -> Response:
    async with stream.subscribe(asked.start) as subscription:
        batch = await _gather(subscription, asked, lambda work: _patiently(request, asked, work, drained))
    response = _messages(batch, stream.codec, asked.media)
    response.headers["Headgate-Position"] = str(batch.position)
    if batch.missed or _is_of_another_life(asked.start, batch.position):
        response.headers["Headgate-Missed"] = str(batch.missed or "unknown")
    return response


async def _patiently(request: Request, asked: Poll, work: Awaitable[Value], drained: Drained) -> Value | None:
    """Wait for `work` while the client is there and the gate is not shutting down."""
    if not asked.wait:
        return await work
    result: Value | None = await request.unless_gone(finish_or_cancel(work, drained))
    return result


async def _gather(subscription: Subscription, asked: Poll, patiently: Callable[..., Awaitable[Batch | None]]) -> Batch:
    """Wait for something, then take what is there up to the limits."""
    batch = await patiently(subscription.take(min(asked.limit, STEP), asked.wait))
    batch = batch or await subscription.take(min(asked.limit, STEP), wait=0)
    messages, missed, size = list(batch.messages), batch.missed, _size(batch)
    while batch.messages and len(messages) < asked.limit and size < MOST_BYTES:
        batch = await subscription.take(min(asked.limit - len(messages), STEP), wait=0)
        messages += batch.messages
        missed, size = missed + batch.missed, size + _size(batch)
    return Batch(messages, batch.position, missed)


def _size(batch: Batch) -> int:
    return sum([len(message.value) for message in batch.messages])


def _is_of_another_life(start: Start, position: Position) -> bool:
    return isinstance(start, At) and start.position.epoch != position.epoch


async def _pick_up(request: Request, asked: Poll, stream: Stream, pickup: Pickup, drained: Drained) -> Response:
    taking = asyncio.ensure_future(pickup.take(asked.limit, asked.wait))
    try:
        parcel = await _patiently(request, asked, asyncio.shield(taking), drained)
    except BaseException:
        _abandon(taking, pickup)
        raise
    if parcel is None:
        _abandon(taking, pickup)
        return Response(204)
    response = _messages(Batch(parcel.messages, parcel.position), stream.codec, asked.media)
    response.settle = partial(_settle, pickup, parcel)
    return response


async def _settle(pickup: Pickup, parcel: Parcel, delivered: bool) -> None:
    if delivered:
        await pickup.delivered(parcel)
    else:
        pickup.give_back(parcel)


def _abandon(taking: "asyncio.Task[Parcel]", pickup: Pickup) -> None:
    """The client or the gate goes: a parcel that was on its way to them is the next poller's."""

    def give_back(task: "asyncio.Task[Parcel]") -> None:
        if not task.cancelled() and task.exception() is None:
            pickup.give_back(task.result())

    taking.cancel()
    taking.add_done_callback(give_back)


def _follow(asked: Poll, stream: Stream, drained: Drained) -> Response:
    if asked.media == BINARY:
        raise NotAcceptable(f"a stream is followed as {NDJSON}")
    return Response(content_type=NDJSON, chunks=_lines(asked, stream, drained), headers={"Cache-Control": "no-store"})


async def _lines(asked: Poll, stream: Stream, drained: Drained) -> AsyncGenerator[bytes, None]:
    start = asked.start
    try:
        async with stream.subscribe(start) as subscription:
            while (batch := await finish_or_cancel(subscription.take(STEP), drained)) is not None:
                if batch.missed or _is_of_another_life(start, batch.position):
                    yield b"%b\n" % encode_json({"gap": {"missed": batch.missed or "unknown"}})
                start = At(batch.position)
                if batch.messages:
                    yield b"\n".join([*envelopes(batch.messages, stream.codec, batch.position), b""])
    except TransportError as error:
        # The status went out long ago: the last line says why it is the last, and the client may ask again.
        logger.warning("a follower was sent away", extra={"stream": stream.name, "reason": str(error)})
        yield b"%b\n" % encode_json({"error": str(error), "type": error.code})


def _messages(batch: Batch, codec: Codec[Any], media: str) -> Response:
    if not batch.messages:
        return Response(204)
    if media == BINARY:
        return Response(200, pack(batch.messages), BINARY)
    objects = envelopes(batch.messages, codec, batch.position)
    if media == NDJSON:
        return Response(200, b"\n".join([*objects, b""]), NDJSON)
    return Response(200, b"[" + b",".join(objects) + b"]", JSON)


_MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["timestamp", "stream", "value"],
    "properties": {
        "timestamp": {"type": "integer", "description": "Nanoseconds since the epoch, UTC."},
        "stream": {
            "type": "object",
            "properties": {"kind": {"type": "string"}, "name": {"type": "string"}},
        },
        "value": {"description": "The value; base64 where `encoding` says so."},
        "key": {"description": "The key: a string, or an object with its base64."},
        "headers": {"type": "array", "description": "Pairs of name and value."},
        "position": {"type": "string", "description": "The place after this message."},
        "encoding": {"type": "string", "enum": ["base64"]},
    },
}
_CONTENT: dict[str, dict[str, Any]] = {
    JSON: {"type": "array", "items": _MESSAGE},
    NDJSON: {"type": "string"},
    BINARY: {"type": "string", "format": "binary"},
}
_PARAMETERS = [
    *PLACES,
    Parameter(
        "limit",
        "At most so many messages.",
        {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
    ),
    Parameter(
        "wait",
        "Wait so many seconds for the first message.",
        {"type": "number", "minimum": 0, "maximum": MOST_WAIT, "default": 0},
    ),
    Parameter("follow", "Keep the answer open: a line for each message.", {"type": "boolean", "default": False}),
]
