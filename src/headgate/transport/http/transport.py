"""The http transport itself: opens sources and sinks on streams of other services."""

from collections.abc import Mapping, Sequence

import msgspec

from headgate.core.addresses import redacted
from headgate.core.position import Position, Start
from headgate.errors import Unavailable
from headgate.transport.base import Ability, Extent, StreamSettings
from headgate.transport.http.guard import parse_networks
from headgate.transport.http.peer import Peer
from headgate.transport.http.sink import HttpSink
from headgate.transport.http.source import NOWHERE, HttpSource


class HttpTransport:
    """Streams of other services, over one pool of connections."""

    abilities = frozenset({Ability.QUEUE, Ability.START_TIME, Ability.LAST, Ability.SHARED})

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        poll_seconds: float = 20.0,
        retry_seconds: float = 1.0,
        answer_bytes: int = 64 * 1024 * 1024,
        headers: Mapping[str, str] | None = None,
        compress: bool = False,
        networks: Sequence[str] = (),
    ) -> None:
        self._peer = Peer(
            timeout=timeout,
            poll_seconds=poll_seconds,
            retry_seconds=retry_seconds,
            answer_bytes=answer_bytes,
            headers=headers or {},
            compress=compress,
            networks=parse_networks(networks),
        )
        self._sources: list[HttpSource] = []
        self._sinks: list[HttpSink] = []

    async def open_sink(self, stream: StreamSettings) -> HttpSink:
        self._sinks.append(HttpSink(self._peer, stream))
        return self._sinks[-1]

    async def open_source(self, stream: StreamSettings, start: Start, cursor: str | None = None) -> HttpSource:
        source = HttpSource(self._peer, stream, start, cursor)
        self._sources = [open_one for open_one in self._sources if not open_one.closed]
        self._sources.append(source)
        await source.settle_start()
        return source

    async def extent(self, stream: StreamSettings) -> Extent:
        listing, _, path = stream.url.rpartition("/streams/")
        if listing and path.endswith("/messages"):
            return await self._listed_extent(f"{listing}/streams", path.removesuffix("/messages"))
        return Extent(NOWHERE, NOWHERE, 0)  # a service of the older kind does not say

    async def _listed_extent(self, url: str, name: str) -> Extent:
        status, _, body = await self._peer.ask("GET", url, stream=name, seconds=self._peer.timeout)
        try:
            rows = msgspec.json.decode(body)["streams"] if status == 200 else []
            row = next(row for row in rows if row["name"] == name and row["messages"] is not None)
            ends = Position.parse(row["oldest"]), Position.parse(row["newest"])
            return Extent(*ends, row["messages"], row["dropped"])
        except (msgspec.MsgspecError, StopIteration, KeyError, TypeError):
            raise Unavailable(
                f"{redacted(url)} does not say how far stream {name!r} reaches (status {status})"
            ) from None

    def trouble(self) -> str | None:
        return "; ".join(self._peer.troubles.values()) or None

    async def close(self) -> None:
        for source in self._sources:
            await source.close()
        for sink in self._sinks:
            await sink.close()
        await self._peer.close()
