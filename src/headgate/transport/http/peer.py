"""The peers: the services that streams are read from, how they are asked, and what is wrong with them."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from headgate.core.addresses import redacted
from headgate.core.message import Message
from headgate.core.position import Position
from headgate.errors import Unavailable
from headgate.transport.http.guard import Network, guarded_async

logger = logging.getLogger("headgate.transport.http")
_BODY_SECONDS = 30.0  # for an answer that has begun to come


class _TooLong(Exception):
    pass


class TooLong(Unavailable):
    """The answer was cut: it was longer than this service takes."""


class Peer:
    """All that the sources and sinks of one transport share."""

    def __init__(
        self,
        *,
        timeout: float,
        poll_seconds: float,
        retry_seconds: float,
        answer_bytes: int,
        headers: Mapping[str, str],
        compress: bool,
        networks: Sequence[Network],
    ) -> None:
        self.timeout = timeout
        self.poll_seconds = poll_seconds
        self.retry_seconds = retry_seconds
        self._answer_bytes = answer_bytes
        # A redirect could lead anywhere, so none is followed.
        self._client = httpx2.AsyncClient(
            timeout=timeout,
            headers={"Accept-Encoding": "gzip" if compress else "identity", **headers},
            follow_redirects=False,
            trust_env=False,
            transport=guarded_async(networks),
        )
        self.troubles: dict[str, str] = {}
        self._cursors: dict[tuple[str, str], Position] = {}
        self._returned: dict[str, deque[Message[bytes]]] = {}

    async def ask(
        self, method: str, url: str, *, stream: str, seconds: float, **request: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request. Raises `Unavailable` for a peer that cannot be reached or answers without end."""
        try:
            # The client's own timeout is one for each piece, and a body may come in pieces without end.
            async with asyncio.timeout(seconds + _BODY_SECONDS):
                async with self._client.stream(method, url, timeout=seconds, **request) as answer:
                    return answer.status_code, answer.headers, await self._bounded(answer)
        except _TooLong:
            raise TooLong(
                str(self.ill(stream, f"{redacted(url)} answers with more than {self._answer_bytes} bytes"))
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise self.ill(stream, f"{redacted(url)} does not answer: {str(error) or type(error).__name__}") from None

    async def _bounded(self, answer: httpx2.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in answer.aiter_bytes():
            if (size := size + len(chunk)) > self._answer_bytes:
                raise _TooLong
            chunks.append(chunk)
        return b"".join(chunks)

    def ill(self, stream: str, reason: str) -> Unavailable:
        """Note what is wrong with a stream's peer; the first time it is logged, too."""
        if self.troubles.get(stream) != reason:
            logger.warning("peer in trouble", extra={"stream": stream, "reason": reason})
        self.troubles[stream] = reason
        return Unavailable(reason)

    def well(self, stream: str) -> None:
        """The stream's peer answered as it should."""
        if self.troubles.pop(stream, None) is not None:
            logger.info("peer is well again", extra={"stream": stream})

    def position_of(self, stream: str, cursor: str | None) -> Position | None:
        """Where a named cursor last committed."""
        return None if cursor is None else self._cursors.get((stream, cursor))

    def keep_position(self, stream: str, cursor: str, position: Position) -> None:
        """A named cursor committed."""
        self._cursors[stream, cursor] = position

    def returned(self, stream: str) -> deque[Message[bytes]]:
        """What readers of a queue took from the peer and did not commit."""
        return self._returned.setdefault(stream, deque())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
