"""The audit: who changed something, and who was refused, as messages of a stream."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from headgate.core.codec import encode_json
from headgate.core.message import Message
from headgate.errors import HeadgateError
from headgate.interface.exchange import Request
from headgate.interface.policy import address_of
from headgate.runtime.stream import Stream
from headgate.transport.bell import Bell

logger = logging.getLogger("headgate.audit")
_READING = ("GET", "HEAD", "OPTIONS")
_REFUSED = (401, 403, 421, 429)
MOST = 10_000  # entries that wait to be kept
_AGAIN = 1.0  # second after which a stream that is away is tried again


class Audit:
    """Notes what concerns it, and keeps that in a stream. Nobody's request waits for it.

    An entry has no query and no body: there may be secrets in them.
    """

    def __init__(self, stream: Stream, now: Callable[[], float] = time.time) -> None:
        self._stream, self._now = stream, now
        self._waiting: list[Message[bytes]] = []
        self._change = Bell()

    def __repr__(self) -> str:
        return f"<Audit in {self._stream.name}: {len(self._waiting)} waiting>"

    @property
    def waits(self) -> bool:
        """Whether there is something that is not kept yet."""
        return bool(self._waiting)

    def note(self, request: Request, route: str, status: int) -> bool:
        """A request was answered; False when there was no room to say so."""
        if request.method in _READING and status not in _REFUSED:
            return True
        if len(self._waiting) >= MOST:
            return False
        entry: dict[str, Any] = {
            "time": self._now(),
            "caller": request.caller.name,
            "address": address_of(request),
            "method": request.method[:20],
            "path": request.path[:500],
            "route": route,
            "status": status,
            "request_id": request.id,
        }
        self._waiting.append(Message(value=encode_json(entry), key=request.caller.name.encode()))
        self._change.ring()
        return True

    async def run(self) -> None:
        """Keep what is noted, for as long as this runs."""
        while True:
            while not self._waiting:
                await self._change.wait()
            if not await self.flush():
                await asyncio.sleep(_AGAIN)

    async def flush(self) -> bool:
        """Keep what waits; False when the stream does not take it, and then it goes on waiting."""
        batch = self._waiting[:1000]
        try:
            if batch:
                await self._stream.publish(batch)
        except HeadgateError as error:
            logger.error("the audit waits: %s", error)
            return False
        del self._waiting[: len(batch)]
        return True
