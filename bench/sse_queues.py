"""The usual design, to be measured beside ours: sse-starlette, and an asyncio.Queue for each client."""

import asyncio
import itertools
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_queues: set[asyncio.Queue[ServerSentEvent]] = set()
_numbers = itertools.count(1)


async def publish(request: Request) -> Response:
    """Each line of the body is an event for every client."""
    lines = (await request.body()).decode().splitlines()
    for line in lines:
        event = ServerSentEvent(line, event="tick", id=str(next(_numbers)))
        for queue in _queues:
            queue.put_nowait(event)
    return JSONResponse({"published": len(lines)})


async def subscribe(_: Request) -> Response:
    """What is published from now on, as it comes."""
    queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
    _queues.add(queue)
    return EventSourceResponse(_events(queue))


async def _events(queue: asyncio.Queue[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    try:
        while True:
            yield await queue.get()
    finally:
        _queues.discard(queue)


app = Starlette(
    routes=[Route("/streams/ticks/messages", publish, methods=["POST"]), Route("/events", subscribe, methods=["GET"])]
)
