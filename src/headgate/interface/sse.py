"""Server-Sent Events: `GET` follows a stream, from where the client was for as long as it stays."""

from collections.abc import Collection, Sequence
from typing import Any

from headgate.core.wire import NDJSON
from headgate.errors import NotAcceptable
from headgate.interface import place
from headgate.interface.accept import preferred, wants_gzip
from headgate.interface.exchange import PROBLEM, Request, Response
from headgate.interface.feed import Asked, Feed, Manners
from headgate.interface.filter import Filter, selection
from headgate.interface.rendering import Events, Lines, LiveRendering
from headgate.interface.route import Answer, Parameter, Route
from headgate.interface.visitors import Visitors
from headgate.runtime.hub import Hub

EVENTS = "text/event-stream"


def sse_route(
    path: str,
    hub: Hub,
    visitors: Visitors,
    events: Events,
    filters: Sequence[Filter],
    manners: Manners,
    *,
    compress: bool,
    origins: Collection[str],
) -> Route:
    """`GET path`: follow this hub's stream."""

    async def follow(request: Request) -> Response:
        wanted = selection(filters, request.query, place.NAMES).within(request.keys)
        start = place.follow_from(request)
        rendering, media = _accepted(request.header("accept"), events)
        await hub.come_up()
        compressed = compress and wants_gzip(request.header("accept-encoding"))
        feed = Feed(rendering, manners, Asked(hub, wanted, start, visitors, compressed))
        return Response(content_type=media, headers=headers_of(request, origins, compressed), live=feed.serve)

    return Route(
        "GET",
        path,
        follow,
        stream=hub.stream.name,
        keyed=True,
        summary=f"Follow {hub.stream.name}",
        tag="streams",
        parameters=[*(item.parameter() for item in filters), *place.FOLLOWED, _LAST],
        answers=[
            Answer(200, "Events as they come: see the documentation for gaps and resuming.", _CONTENT),
            Answer(400, "The place to start at is none."),
            Answer(406, "The client accepts no form that events have."),
            Answer(422, "A parameter is missing, unknown or wrong; the message names it."),
            Answer(503, "The stream cannot be read just now."),
        ],
    )


def _accepted(accept: str | None, events: Events) -> tuple[LiveRendering, str]:
    for media in preferred(accept or "*/*"):
        if media in (EVENTS, "text/*", "*/*", PROBLEM):
            return events, EVENTS
        if media == NDJSON:
            return Lines(events.codec), NDJSON
    raise NotAcceptable(f"events come as {EVENTS} or {NDJSON}")


def _allowed(request: Request, origins: Collection[str]) -> str | None:
    """The site of the page that asks, if its browser may let it read the answer though it is another's."""
    origin = request.header("origin")
    return origin if origin in origins else None


def headers_of(request: Request, origins: Collection[str], compressed: bool = False) -> dict[str, str]:
    """The headers of a response that goes on."""
    origin = _allowed(request, origins)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept, Accept-Encoding, Origin"}
    if compressed:
        headers["Content-Encoding"] = "gzip"
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
    return headers


_CONTENT: dict[str, dict[str, Any]] = {EVENTS: {"type": "string"}, NDJSON: {"type": "string"}}
_LAST = Parameter("Last-Event-ID", "The same as `after`, and goes before it.", {"type": "string"}, place="header")
