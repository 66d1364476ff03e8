"""The replies: who waits for an answer to a request, and what came of it. The first outcome counts."""

import asyncio
import logging
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

from headgate.core.message import Headers, Message
from headgate.core.position import Newest
from headgate.core.reply import CORRELATION, REPLY_TO, header
from headgate.errors import Overloaded, StreamClosed, TransportError
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import backoff
from headgate.transport.bell import Bell

logger = logging.getLogger("headgate.replies")
MOST_WAITING = 10_000
_REMEMBERED = 1000  # requests that were answered, to tell a second answer from a late one
_BEGINS_SECONDS = 0.05


@dataclass(slots=True)
class ReplyStats:
    """What became of those who waited."""

    registered: int = 0
    completed: int = 0
    cancelled: int = 0
    expired: int = 0
    duplicate_terminal: int = 0
    late_reply_drop: int = 0


class Waiter:
    """One who waits. Leaving the block, it is forgotten, whatever came of it."""

    __slots__ = ("_replies", "id", "outcome", "reply")

    def __init__(self, replies: "Replies", correlation: str) -> None:
        self._replies = replies
        self.id = correlation
        self.reply: asyncio.Future[Message[bytes] | None] = asyncio.get_running_loop().create_future()
        self.outcome = "cancelled"  # unless something else comes of it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.forget(self)

    async def wait(self, seconds: float, *, last: bool = True) -> Message[bytes] | None:
        """The reply, or None when there is none in that time. It may be waited for again unless this is the `last`."""
        # No `asyncio.wait` and no task: it is what every request waits for.
        timer = asyncio.get_running_loop().call_later(seconds, self._not_yet)
        try:
            reply = await self.reply
        finally:
            timer.cancel()
        if reply is not None or last:
            self.outcome = "completed" if reply is not None else "expired"
        return reply

    def _not_yet(self) -> None:
        if not self.reply.done():
            waiting, self.reply = self.reply, asyncio.get_running_loop().create_future()
            waiting.set_result(None)


class Replies:
    """Those who wait for replies that come on one stream. Each gate reads all of it and takes its own."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.stats = ReplyStats()
        self.trouble: str | None = "it has not begun to read"
        self._address = secrets.token_hex(8).encode()
        self._waiting: dict[bytes, Waiter] = {}
        self._answered: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._begun = Bell()

    def __repr__(self) -> str:
        return f"<Replies on {self.stream.name}: {self.in_flight} waited for>"

    @property
    def in_flight(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def register(self) -> Waiter:
        """Somebody waits from now on. Raises `Overloaded` when there are too many."""
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded(f"{len(self._waiting)} requests wait for their replies; come again in a moment")
        waiter = Waiter(self, secrets.token_hex(12))
        self._waiting[waiter.id.encode()] = waiter
        self.stats.registered += 1
        return waiter

    def headers(self, waiter: Waiter) -> Headers:
        """What a request carries, so that the reply finds the one who waits."""
        return ((CORRELATION, waiter.id.encode()), (REPLY_TO, self._address))

    def forget(self, waiter: Waiter) -> None:
        """This one waits no longer."""
        correlation = waiter.id.encode()
        if self._waiting.pop(correlation, None) is not None:
            setattr(self.stats, waiter.outcome, getattr(self.stats, waiter.outcome) + 1)
            if waiter.outcome == "completed":
                self._answered.append(correlation)

    async def ready(self, seconds: float) -> None:
        """Return when replies are being read. Raises an `Unavailable` when they cannot be in that time."""
        while self.trouble is not None:
            if not await self._begun.wait(seconds):
                raise TransportError(f"replies cannot be read: {self.trouble}")

    async def run(self) -> None:
        """Read the stream for as long as it is open."""
        attempt = 0
        while True:
            try:
                async with self.stream.subscribe(Newest()) as subscription:
                    while True:
                        batch = await subscription.take(1000, wait=None if self.trouble is None else _BEGINS_SECONDS)
                        if self.trouble is not None and batch.position.is_known:
                            self.trouble, attempt = None, 0
                            self._begun.ring()
                        for message in batch.messages:
                            self._deliver(message)
            except StreamClosed:
                return
            except TransportError as error:
                attempt += 1
                if self.trouble is None:
                    logger.warning("replies cannot be read", extra={"stream": self.stream.name, "reason": str(error)})
                self.trouble = str(error)
                await asyncio.sleep(backoff(attempt, most=2.0))

    def _deliver(self, message: Message[bytes]) -> None:
        correlation = header(message, CORRELATION)
        if correlation is None or header(message, REPLY_TO) != self._address:
            return  # another gate's
        waiter = self._waiting.get(correlation)
        if waiter is None:
            if correlation in self._answered:
                self.stats.duplicate_terminal += 1
            else:
                self.stats.late_reply_drop += 1
        elif waiter.reply.done():
            self.stats.duplicate_terminal += 1
        else:
            waiter.reply.set_result(message)

    def facts(self) -> dict[str, Any]:
        """The counters by their names."""
        return {name: getattr(self.stats, name) for name in ReplyStats.__slots__} | {"in_flight": self.in_flight}
