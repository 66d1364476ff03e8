"""Polling over HTTP: what a broadcast stream has after a place, now or as soon as something comes."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from headgate.core.codec import Codec
from headgate.core.match import EVERYTHING
from headgate.core.position import At, Batch, Oldest, Position, Start
from headgate.core.wire import BINARY, JSON, NDJSON, envelopes, pack
from headgate.errors import BadRequest, NotAcceptable
from headgate.interface.accept import preferred, wants_gzip
from headgate.interface.exchange import PROBLEM, Request, Response
from headgate.interface.feed import Asked, Feed, Manners
from headgate.interface.place import PARAMETERS as PLACES
from headgate.interface.place import start_of
from headgate.interface.rendering import Lines
from headgate.interface.route import Answer, Parameter, Route
from headgate.interface.visitors import Visitors
from headgate.runtime.hub import Hub
from headgate.runtime.stream import AT_ONCE, Stream, Subscription
from headgate.runtime.tasks import finish_or_cancel
from headgate.transport.base import Ability

LIMIT, MOST, MOST_WAIT = 1000, 10_000, 60.0
_WORTH_COMPRESSING = 1024  # bytes
FIRST, STEP = 16, 250  # messages per read, of which the first shows how large they are
Value = TypeVar("Value")
Drained = Callable[[], Awaitable[object]]
Waiting = Callable[[Awaitable[Batch | None]], Awaitable[Batch | None]]  # None: there is no more time to wait


@dataclass(frozen=True, slots=True)
class Poll:
    """What a poller asked for."""

    start: Start
    limit: int
    wait: float
    media: str
    follow: bool


def poll_route(path: str, hub: Hub, visitors: Visitors, drained: Drained) -> Route:
    """`GET path`: read this hub's stream. `drained` returns when the gate shuts down and nobody may wait longer."""

    async def poll(request: Request) -> Response:
        asked = read_poll(request, [parameter.name for parameter in PARAMETERS])
        if asked.follow:
            return await _follow(request, asked, hub, visitors)
        return await _read(request, asked, hub, drained)

    return Route(
        "GET",
        path,
        poll,
        stream=hub.stream.name,
        keyed=True,
        summary=f"Read {hub.stream.name}",
        tag="streams",
        parameters=PARAMETERS,
        answers=ANSWERS,
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


async def _read(request: Request, asked: Poll, hub: Hub, drained: Drained) -> Response:
    async def wait(work: Awaitable[Batch | None]) -> Batch | None:
        return await patiently(request, asked, work, drained)

    batch = await _at_hand(asked, hub, wait) or await _from_stream(asked, hub.stream, wait)
    if request.keys.patterns:
        allowed = [message for message in batch.messages if request.keys.fit(message.key)]
        batch = Batch(allowed, batch.position, batch.missed)
    response = answer_of(batch, hub.stream.codec, asked.media)
    response.headers["Headgate-Position"] = str(batch.position)
    await compress(request, response)
    if batch.missed or _is_of_another_life(asked.start, batch.position):
        response.headers["Headgate-Missed"] = str(batch.missed or "unknown")
    return response


async def _at_hand(asked: Poll, hub: Hub, wait: Waiting) -> Batch | None:
    """What comes after a place, if the hub has it, and a reader of its own would cost too much for one poll."""
    if not isinstance(asked.start, At) or Ability.PARTITIONS not in hub.stream.transport.abilities:
        return None
    place = asked.start.position
    return await wait(hub.read(place, asked.limit, asked.wait)) or await hub.read(place, asked.limit, 0)


async def _from_stream(asked: Poll, stream: Stream, wait: Waiting) -> Batch:
    async with stream.subscribe(asked.start) as subscription:
        return await _gather(subscription, asked, wait)


async def patiently(request: Request, asked: Poll, work: Awaitable[Value], drained: Drained) -> Value | None:
    """Wait for `work` while the client is there and the gate is not shutting down."""
    if not asked.wait:
        return await work
    result: Value | None = await request.unless_gone(finish_or_cancel(work, drained))
    return result


async def _gather(subscription: Subscription, asked: Poll, wait: Waiting) -> Batch:
    """Wait for something, then take what is there up to the limits."""
    batch = await wait(subscription.take(min(asked.limit, FIRST), asked.wait))
    batch = batch or await subscription.take(min(asked.limit, FIRST), wait=0)
    messages, missed, size = list(batch.messages), batch.missed, _size(batch)
    while batch.messages and (step := _step(asked.limit - len(messages), AT_ONCE - size, size / len(messages))) > 0:
        batch = await subscription.take(step, wait=0)
        messages += batch.messages
        missed, size = missed + batch.missed, size + _size(batch)
    return Batch(messages, batch.position, missed)


def _step(left: int, room: int, each: float) -> int:
    """How many messages to read next, when they are as large as those that came."""
    return min(left, STEP, int(room / max(1.0, each)))


def _size(batch: Batch) -> int:
    return sum([len(message.value) for message in batch.messages])


def _is_of_another_life(start: Start, position: Position) -> bool:
    return isinstance(start, At) and start.position.epoch != position.epoch


async def _follow(request: Request, asked: Poll, hub: Hub, visitors: Visitors) -> Response:
    if asked.media == BINARY:
        raise NotAcceptable(f"a stream is followed as {NDJSON}")
    await hub.come_up()
    feed = Feed(Lines(hub.stream.codec), Manners(), Asked(hub, EVERYTHING.within(request.keys), asked.start, visitors))
    return Response(content_type=NDJSON, headers={"Cache-Control": "no-store"}, live=feed.serve)


async def compress(request: Request, response: Response) -> None:
    """Compress a body for a client that asks for it, where that is worth it."""
    if len(response.body) < _WORTH_COMPRESSING or not wants_gzip(request.header("accept-encoding")):
        return
    # In a thread, for that of megabytes takes longer than others may wait.
    response.body = await asyncio.to_thread(gzip.compress, response.body, 1)
    response.headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


def answer_of(batch: Batch, codec: Codec[Any], media: str) -> Response:
    """The response that a batch makes; 204 where there is nothing in it."""
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
ANSWERS = [
    Answer(200, "Messages, and in Headgate-Position the place after them.", _CONTENT),
    Answer(204, "There is nothing now."),
    Answer(400, "A parameter is wrong."),
    Answer(406, "The client accepts no form that messages have."),
    Answer(503, "The stream cannot be reached."),
]
PARAMETERS = [
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
