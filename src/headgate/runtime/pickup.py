"""The pick-up counter of a queue: the pollers of one gate share one reader, and nobody's share is lost."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack

from headgate.core.message import Message
from headgate.core.position import Batch, Oldest, Position
from headgate.runtime.stream import Stream, Subscription
from headgate.transport.bell import Deadline

NOTHING = Batch((), Position("", {}))


class Parcel:
    """A batch that a poller has in its hands."""

    def __init__(self, batch: Batch) -> None:
        self.messages: Sequence[Message[bytes]] = batch.messages
        self.position: Position = batch.position
        self.delivered = False


class Pickup:
    """Hands out parcels. What is delivered is committed in order; what comes back goes to the next poller."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._stack = AsyncExitStack()
        self._subscription: Subscription | None = None
        self._reading = asyncio.Lock()
        self._out: deque[Parcel] = deque()
        self._returned: deque[Parcel] = deque()

    async def take(self, limit: int, wait: float) -> Parcel:
        """The next parcel; empty when nothing came in time."""
        if self._returned:
            return self._returned.popleft()
        if self._reading.locked() and not wait:
            return Parcel(NOTHING)  # somebody waits already, so there is nothing now
        deadline = Deadline(wait)
        try:
            async with asyncio.timeout(wait or None):
                await self._reading.acquire()
        except TimeoutError:
            return Parcel(NOTHING)
        try:
            return await self._take(limit, deadline.left())
        finally:
            self._reading.release()

    async def _take(self, limit: int, wait: float | None) -> Parcel:
        if self._subscription is None:
            self._subscription = await self._stack.enter_async_context(self._stream.subscribe(Oldest()))
        parcel = Parcel(await self._subscription.take(limit, wait))
        if parcel.messages:
            self._out.append(parcel)
        return parcel

    async def delivered(self, parcel: Parcel) -> None:
        """The poller has it all."""
        parcel.delivered = True
        last: Parcel | None = None
        while self._out and self._out[0].delivered:
            last = self._out.popleft()
        if last is not None and self._subscription is not None:
            await self._subscription.commit(last.position)

    def give_back(self, parcel: Parcel) -> None:
        """The poller went away without it."""
        if parcel.messages:
            self._returned.append(parcel)

    async def close(self) -> None:
        """What nobody took to the end is the queue's again."""
        await self._stack.aclose()
