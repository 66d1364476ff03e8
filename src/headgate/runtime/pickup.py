"""The pick-up counter of a queue: the pollers of one gate share one reader, and nobody's share is lost."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack

from headgate.core.message import Message
from headgate.core.position import Batch, Oldest, Position
from headgate.runtime.stream import Stream, Subscription, fitting
from headgate.runtime.tasks import finish_or_cancel
from headgate.transport.bell import Deadline

NOTHING = Batch((), Position("", {}))


class Parcel:
    """A batch that a poller has in its hands."""

    def __init__(self, batch: Batch) -> None:
        self.messages: Sequence[Message[bytes]] = batch.messages
        self.position: Position = batch.position
        self.delivered = False

    def cut(self, count: int) -> "Parcel":
        """Keep the first `count` messages; gives the rest."""
        rest = Parcel(Batch(self.messages[count:], self.position))
        self.position = self.position.before(rest.messages)
        self.messages = self.messages[:count]
        return rest


class Pickup:
    """Hands out parcels. What is delivered is committed in order; what comes back goes to the next poller."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._stack = AsyncExitStack()
        self._subscription: Subscription | None = None
        self._reading = asyncio.Lock()
        self._committing = asyncio.Lock()
        self._out: deque[Parcel] = deque()  # in the order in which they were read
        self._returned: deque[Parcel] = deque()
        self._came_back = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Pickup {self._stream.name}: {len(self._out)} out, {len(self._returned)} came back>"

    async def take(self, limit: int, wait: float) -> Parcel:
        """The next parcel; empty when nothing came in time."""
        if self._returned:
            return self._take_returned(limit)
        deadline = Deadline(wait)
        try:
            async with asyncio.timeout(wait):
                await self._reading.acquire()
        except TimeoutError:
            return Parcel(NOTHING)
        try:
            return await self._take(limit, deadline)
        finally:
            self._reading.release()

    async def _take(self, limit: int, deadline: Deadline) -> Parcel:
        if self._subscription is None:
            self._subscription = await self._stack.enter_async_context(self._stream.subscribe(Oldest()))
        while not self._returned:
            reading = self._subscription.take(limit, deadline.left())
            batch = await (finish_or_cancel(reading, self._came_back.wait) if deadline.left() else reading)
            if batch is not None:
                return self._fitted(self._handed_out(Parcel(batch)), limit)
        return self._take_returned(limit)

    def _handed_out(self, parcel: Parcel) -> Parcel:
        if parcel.messages:
            self._out.append(parcel)
        return parcel

    def _take_returned(self, limit: int) -> Parcel:
        parcel = self._fitted(self._returned.popleft(), limit)
        if not self._returned:
            self._came_back.clear()
        return parcel

    def _fitted(self, parcel: Parcel, limit: int) -> Parcel:
        """The part of a parcel that one poller is given; the rest is the next one's."""
        count = min(limit, fitting(parcel.messages))
        if len(parcel.messages) > count:
            rest = parcel.cut(count)
            self._out.insert(self._out.index(parcel) + 1, rest)
            self._returned.appendleft(rest)
            self._came_back.set()
        return parcel

    async def delivered(self, parcel: Parcel) -> None:
        """The poller has it all."""
        parcel.delivered = True
        parcel.messages = ()  # it may stand here for a while behind a slow poller's
        async with self._committing:  # one after the other, or an earlier place could overtake a later one
            last: Parcel | None = None
            while self._out and self._out[0].delivered:
                last = self._out.popleft()
            if last is not None and self._subscription is not None:
                await self._subscription.commit(last.position)

    def give_back(self, parcel: Parcel) -> None:
        """The poller went away without it."""
        if parcel.messages:
            self._returned.append(parcel)
            self._came_back.set()

    async def close(self) -> None:
        """What nobody took to the end is the queue's again."""
        self._returned.clear()
        self._came_back.clear()
        await self._stack.aclose()
