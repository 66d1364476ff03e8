"""What every gate tells of itself: `/health`, `/ready`, `/info`, `/metrics` and `/streams`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from headgate.core.scopes import READ, WRITE
from headgate.core.wire import JSON
from headgate.errors import TransportError
from headgate.interface.exchange import Request, Response, json
from headgate.interface.identity.caller import Caller
from headgate.interface.route import Answer, Route
from headgate.interface.visitors import Visitors
from headgate.runtime.groups.supervisor import Supervisor
from headgate.runtime.hub import Hub
from headgate.runtime.replies import Replies
from headgate.runtime.runner import Node
from headgate.runtime.stats import CommandStats, ConfigStats, IngestStats, WebStats
from headgate.runtime.stream import Stream
from headgate.transport.base import Extent

METRICS = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE = 2.0  # seconds for one stream to say how far it reaches


class Ops:
    """The gate's view of itself. What it shows is looked up at each request, so a reload needs no rewiring."""

    def __init__(
        self,
        *,
        info: Callable[[], dict[str, Any]],
        issues: Callable[[], Sequence[str]],
        streams: Mapping[str, Stream],
        nodes: Mapping[str, Node],
        supervisor: Supervisor,
        hubs: Mapping[str, Hub],
        visitors: Visitors,
        polled: Mapping[str, Stream],
        web: WebStats,
        ingest: IngestStats,
        config: ConfigStats,
        commands: Mapping[str, CommandStats],
        replies: Mapping[str, Replies],
        more_health: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._info = info
        self._issues = issues
        self._streams = streams
        self._nodes = nodes
        self._supervisor = supervisor
        self._hubs = hubs
        self._visitors = visitors
        self._polled = polled  # path of a `messages` interface -> its stream
        self._web = web
        self._ingest = ingest
        self._config = config
        self._commands = commands
        self._replies = replies
        self._more_health = more_health

    def routes(self) -> list[Route]:
        """The routes that are always there, also while the gate shuts down."""
        return [
            _route("/health", self.health, "Is the process alive?", "healthy", public=True),
            _route(
                "/ready",
                self.ready,
                "Can it do its work?",
                "ready",
                Answer(503, "Not now; `issues` says why."),
                public=True,
            ),
            _route("/info", self.info, "What runs here?", "name, versions, uptime"),
            _route("/metrics", self.metrics, "Counters in Prometheus form", "counters", media=METRICS),
            _route("/streams", self.list_streams, "The streams, and how far each reaches", "streams", for_all=True),
        ]

    async def health(self, _: Request) -> Response:
        queues = {path: {"queue_size": size} for path, size in await self._queue_sizes()}
        answer: dict[str, Any] = {"status": "healthy", "version": self._info()["version"]}
        if len(queues) == 1:
            answer |= next(iter(queues.values()))
        elif queues:
            answer["endpoints"] = queues
        return json(answer | await self._more_health())

    async def _queue_sizes(self) -> list[tuple[str, int | None]]:
        extents = await _extents(self._polled)
        return [(path, None if isinstance(extent, str) else extent.messages) for path, extent in extents.items()]

    async def ready(self, request: Request) -> Response:
        if issues := self._issues():
            told = {"issues": "; ".join(issues)} if request.caller.known else {}  # they name hosts and files
            return json({"status": "not ready"} | told, 503)
        return json({"status": "ready"})

    async def info(self, _: Request) -> Response:
        return json(self._info())

    async def list_streams(self, request: Request) -> Response:
        streams = {name: stream for name, stream in self._streams.items() if _concerns(request.caller, name)}
        extents = await _extents(streams)
        return json({"streams": [self._row(stream, extents[name]) for name, stream in streams.items()]})

    def _row(self, stream: Stream, extent: Extent | str) -> dict[str, Any]:
        settings, stats = stream.settings, stream.stats
        return {
            "name": stream.name,
            "transport": stream.transport_name,
            "codec": stream.codec.name,
            "delivery": settings.delivery,
            "published": stats.published,
            "refused": stats.refused,
            "delivered": stats.delivered,
            "missed": stats.missed,
            "readers": stream.readers,
            "followers": hub.lanes.followers if (hub := self._hubs.get(stream.name)) else 0,
            **dict(_reach(extent)),
        }

    async def metrics(self, _: Request) -> Response:
        from headgate.interface.metrics import expose  # heavy, and asked for by a scraper only

        extents = await _extents(self._streams)
        drops = {name: extent.dropped for name, extent in extents.items() if isinstance(extent, Extent)}
        body = expose(
            self._streams,
            self._nodes,
            self._supervisor,
            self._hubs,
            self._visitors,
            self._web,
            self._ingest,
            self._config,
            self._commands,
            self._replies,
            drops,
            ready=not self._issues(),
        )
        return Response(200, body, METRICS)


def _route(
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    summary: str,
    meaning: str,
    *answers: Answer,
    media: str = JSON,
    **more: Any,
) -> Route:
    schema = {"type": "object"} if media == JSON else {"type": "string"}
    told = [Answer(200, meaning, {media: schema}), *answers]
    return Route("GET", path, endpoint, summary, "operations", answers=told, open_while_draining=True, **more)


def _concerns(caller: Caller, stream: str) -> bool:
    path = f"/streams/{stream}/messages"
    return any(caller.keys(verb, [path, stream]) is not None for verb in (READ, WRITE))


async def _extents(streams: Mapping[str, Stream]) -> dict[str, Extent | str]:
    """How far each of them reaches. They are asked at once; a reload may change the mapping meanwhile."""
    names, asked = list(streams), [_extent(stream) for stream in streams.values()]
    return dict(zip(names, await asyncio.gather(*asked), strict=True))


async def _extent(stream: Stream) -> Extent | str:
    """How far a stream reaches, or why that cannot be said."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await stream.extent()
    except TransportError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {_PATIENCE:g} s"


def _reach(extent: Extent | str) -> Iterator[tuple[str, Any]]:
    if isinstance(extent, str):
        yield from (("messages", None), ("trouble", extent))
        return
    yield "messages", extent.messages
    yield "dropped", extent.dropped
    yield "oldest", str(extent.oldest)
    yield "newest", str(extent.newest)
