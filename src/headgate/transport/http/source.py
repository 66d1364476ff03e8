"""Reading from another service by polling it, each poll from where the last one ended."""

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime

from headgate.core.addresses import redacted
from headgate.core.message import Message
from headgate.core.position import At, Batch, Last, Newest, Oldest, Position, Since, Start
from headgate.errors import StreamClosed, Unavailable
from headgate.transport.base import Delivery, StreamSettings
from headgate.transport.bell import Bell, Deadline
from headgate.transport.http.answer import ACCEPT, Answer, Garbage, Pace, read_answer
from headgate.transport.http.peer import Peer, TooLong

logger = logging.getLogger("headgate.transport.http")
MOST = 10_000  # messages in one answer, as gates have it
NOWHERE = Position("none", {})


class HttpSource:
    """A reader of the peer's stream. The request under way is its own: a reader that gives up loses nothing."""

    def __init__(self, peer: Peer, stream: StreamSettings, start: Start, cursor: str | None) -> None:
        self._peer = peer
        self._stream = stream
        self._cursor = cursor
        past = peer.position_of(stream.name, cursor)
        self._start: Start = At(past) if past else start
        self._fetched_to = self._start.position if isinstance(self._start, At) else NOWHERE
        self._drains = stream.delivery is Delivery.QUEUE
        self._pending: deque[Message[bytes]] = deque()  # fetched, not given yet
        self._uncommitted: list[Message[bytes]] = []
        self._missed = 0
        self._asking: asyncio.Task[None] | None = None
        self._pace = Pace()
        self._most = MOST  # messages in one answer
        self._closing = Bell()
        self.closed = False

    def __repr__(self) -> str:
        return f"<HttpSource {self._stream.name} at {self._place()}>"

    async def settle_start(self) -> None:
        """`newest` means now, so the peer is asked now; one that is dead is asked again by reading."""
        if isinstance(self._start, Newest) and not self._drains:
            await self._ask(limit=1, wait=0)

    async def read(self, limit: int = 1000, wait: float | None = None) -> Batch:
        deadline = Deadline(wait)
        self._refuse_closed()
        self._take_returned()
        while not self._pending and not self._missed:
            await self._poll(limit, deadline)
            self._refuse_closed()
            if deadline.left() == 0:
                break
        return self._give(limit)

    def _refuse_closed(self) -> None:
        if self.closed:
            raise StreamClosed(f"the reader of stream {self._stream.name!r} is closed")

    def _take_returned(self) -> None:
        returned = self._peer.returned(self._stream.name)
        while self._drains and returned:
            self._pending.append(returned.popleft())

    def _give(self, limit: int) -> Batch:
        messages = [self._pending.popleft() for _ in range(min(limit, len(self._pending)))]
        if self._drains:
            self._uncommitted += messages
        missed, self._missed = self._missed, 0
        return Batch(messages, self._place(), missed)

    def _place(self) -> Position:
        """The place before what is fetched but not given."""
        offsets = dict(self._fetched_to.offsets)
        for message in reversed(self._pending):
            offsets[message.partition] = message.offset
        return Position(self._fetched_to.epoch, offsets)

    async def _poll(self, limit: int, deadline: Deadline) -> None:
        """Wait for the request under way, or make one; no longer than the deadline or until close."""
        if self._asking is None:
            left = deadline.left()
            most = self._peer.poll_seconds
            self._asking = asyncio.ensure_future(self._ask(limit, most if left is None else min(left, most)))
        # A request without wait still takes a round trip, so a reader that does not wait gives it that.
        patience = deadline.left() or self._peer.timeout
        closing = asyncio.ensure_future(self._closing.wait(patience))
        try:
            await asyncio.wait({self._asking, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
        if self._asking.done():
            self._asking = None

    async def _ask(self, limit: int, wait: float) -> None:
        """Ask the peer once, and rest as long as is due. What is wrong with it is noted."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            found = await self._fetch(min(limit, self._most), wait)
            self._most = min(2 * self._most, MOST)
        except TooLong:
            if self._most > 1:
                self._most = max(1, min(limit, self._most) // 4)  # fewer at once may fit
            else:
                await asyncio.sleep(self._peer.retry_seconds)
        except Unavailable:
            await asyncio.sleep(min(wait, self._peer.retry_seconds))
        else:
            await asyncio.sleep(self._pace.after(found=found, asked=wait, took=clock() - began))

    async def _fetch(self, limit: int, wait: float) -> bool:
        """Ask once; whether there was something."""
        peer, stream = self._peer, self._stream
        status, headers, body = await peer.ask(
            "GET",
            stream.url,
            stream=stream.name,
            seconds=wait + peer.timeout,
            params=self._parameters(limit, wait),
            headers={"Accept": ACCEPT},
        )
        try:
            answer = read_answer(status, headers, body)
        except Garbage as garbage:
            raise peer.ill(stream.name, f"{redacted(stream.url)} {garbage}") from None
        self._take(answer)
        peer.well(stream.name)
        return bool(answer.messages)

    def _parameters(self, limit: int, wait: float) -> dict[str, str]:
        asked = {"limit": str(max(1, limit)), "wait": f"{wait:.3f}"}
        return asked if self._drains else asked | starting(self._start)

    def _take(self, answer: Answer) -> None:
        if answer.bad:
            facts = {"stream": self._stream.name, "count": len(answer.bad), "why": str(answer.bad[0])}
            logger.warning("messages left out", extra=facts)
        self._missed += answer.missed + len(answer.bad)
        self._pending.extend(answer.messages)
        if answer.position is not None and not self._drains:
            self._fetched_to = answer.position
            self._start = At(answer.position)

    async def commit(self, position: Position) -> None:
        self._uncommitted.clear()
        if self._cursor is not None:
            self._peer.keep_position(self._stream.name, self._cursor, position)

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._closing.ring()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._drains:
            self._peer.returned(self._stream.name).extend([*self._uncommitted, *self._pending])


def starting(start: Start) -> dict[str, str]:
    """The parameters of a poll that say where to start."""
    match start:
        case Oldest():
            return {"from": "oldest"}
        case Newest():
            return {"from": "newest"}
        case Last(count):
            return {"from": f"last:{count}"}
        case Since(timestamp):
            seconds, nanoseconds = divmod(timestamp, 1_000_000_000)
            moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            return {"from": f"{moment}.{nanoseconds:09d}Z"}
        case At(position):
            return {"after": str(position)}
