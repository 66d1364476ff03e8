"""The hub: one reader of a stream for all who follow it."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from headgate.core.lanes import Follower, Lanes, Listener
from headgate.core.match import EVERYTHING, Selection
from headgate.core.position import At, Batch, Last, Newest, Position, Start
from headgate.core.window import Rendering, Window
from headgate.errors import StreamClosed, TransportError, Unavailable
from headgate.runtime.stream import Stream, Subscription, fitting
from headgate.runtime.tasks import Tasks, backoff, cancel
from headgate.transport.base import Ability
from headgate.transport.bell import Bell, Deadline

logger = logging.getLogger("headgate.hub")
PREFILL = 1000  # messages that a hub begins with, so that those who come back need not ask the stream
STEP = 500  # messages per read
MOST_BYTES = 64 * 1024 * 1024  # of a window
LINGER = 30.0  # seconds that a hub stays up with nobody there
PATIENCE = 3.0  # seconds that a newcomer waits for a hub to come up
CATCH_UP = 2.0  # seconds that a poll waits for the hub to read what the stream has
NOWHERE = Position("", {})
REPLAYS = 8  # readers of what is older than the window, at once


class Hub:
    """Reads one broadcast stream for all who follow it. It comes up with the first and stays a while after the last."""

    def __init__(self, stream: Stream, tasks: Tasks, *, size: int = MOST_BYTES, linger: float = LINGER) -> None:
        self.stream = stream
        self.lanes = Lanes(Window(stream.codec, messages=stream.settings.keep_messages, size=size))
        self.stays = False  # it reads also when nobody follows
        self._tasks = tasks
        self._linger = linger
        self._pump: asyncio.Task[Any] | None = None
        self._up = asyncio.Event()
        self._news = Bell()
        self._reason: str | None = "it has not begun to read"
        self._leaving: asyncio.TimerHandle | None = None
        self._replays = asyncio.Semaphore(REPLAYS)
        self._closed = False

    def __repr__(self) -> str:
        return f"<Hub of {self.stream.name}: {self.lanes!r}>"

    @property
    def window(self) -> Window:
        """The last messages."""
        return self.lanes.window

    # No context managers here: ten thousand clients that wait would each hold one.

    async def enter(
        self, selection: Selection, rendering: Rendering, listener: Listener, *, latest: bool = False
    ) -> Follower:
        """A place among the followers, until it is left. Nothing is delivered before it begins, or through `replay`.

        May raise `Unavailable` when the stream cannot be read just now.
        """
        follower = self.lanes.enter(selection, rendering, listener, latest=latest)
        try:
            await self.come_up()
        except BaseException:
            self.leave(follower)
            raise
        return follower

    def leave(self, follower: Follower) -> None:
        """Follow no longer."""
        self.lanes.leave(follower)
        if not self.lanes.followers and not self._closed:
            self._go_down_later()

    async def come_up(self) -> None:
        """Return when what is published from now on will be seen. May raise `Unavailable`."""
        if self._closed:
            raise StreamClosed(f"stream {self.stream.name!r} is closed")
        self._begin_to_read()
        if not self._up.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._up.wait()
            except TimeoutError:
                raise Unavailable(f"stream {self.stream.name!r} cannot be read just now: {self._reason}") from None

    def _begin_to_read(self) -> None:
        if self._pump is None or self._pump.done():
            self._pump = self._tasks.start(f"hub of {self.stream.name}", self._read())

    def stay(self, stays: bool) -> None:
        """Read from now on, also when nobody follows, so that who comes back finds what it missed; or no longer."""
        self.stays = stays
        if stays:
            self._begin_to_read()
        elif self._pump is not None and not self.lanes.followers:
            self._go_down_later()

    @property
    def trouble(self) -> str | None:
        """Why nobody gets anything, in words for `/ready`; None when all is well."""
        if self._reason is None:
            return None
        return f"stream {self.stream.name!r} cannot be read: {self._reason}"

    def _go_down_later(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().call_later(self._linger, self._go_down)

    def _go_down(self) -> None:
        if self.stays or self.lanes.followers:
            return
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        self._up.clear()
        self.window.restart(NOWHERE)  # what comes by the time that it is up again does not follow on what is here

    async def close(self) -> None:
        """Read no longer, and tell all who follow."""
        self._closed = True
        if self._leaving is not None:
            self._leaving.cancel()
        self.lanes.end()
        if self._pump is not None:
            await cancel(self._pump)

    # Reading

    async def _read(self) -> None:
        attempt = 0
        while True:
            try:
                async with self.stream.subscribe(self._start()) as subscription:
                    attempt = 0
                    await self._hand_out(subscription)
            except TransportError as error:
                if self._closed:
                    return
                self._reason = str(error)
            except Exception:  # the root of the hub's task
                logger.exception("the hub of %s broke; all who follow are sent away", self.stream.name)
                self.lanes.end()  # some had the last batch and some had not: they come again, each from where it was
            attempt += 1
            await asyncio.sleep(backoff(attempt, most=2.0))

    def _start(self) -> Start:
        """Where to read: on after what the window has; at first, a little before the end."""
        if self.window.epoch:
            return At(self.window.head)
        if Ability.LAST not in self.stream.transport.abilities:
            return Newest()
        return Last(min(PREFILL, self.stream.settings.keep_messages))

    async def _hand_out(self, subscription: Subscription) -> None:
        """Give each batch to those who want it."""
        end = (await self.stream.extent()).newest
        while True:
            wait = None if self._up.is_set() else 0.25
            batch = await subscription.take(STEP, wait)
            if not batch.position.is_known:
                continue
            self._reason = None
            self.lanes.publish(batch)
            self._news.ring()
            if not self._up.is_set() and (not batch.messages or not self.window.is_beyond(end.offsets)):
                self._up.set()

    async def catch_up(self) -> None:
        """Return when the window has what the stream has by now. May raise a `TransportError`."""
        self._go_down_later()
        await self.come_up()
        end = (await self.stream.extent()).newest.offsets
        while self.window.is_beyond(end) and await self._news.wait(CATCH_UP):
            pass

    async def read(self, place: Position, limit: int, wait: float) -> Batch | None:
        """What came after a place: something, unless so many seconds pass first. None when it is not at hand.

        May raise `Unavailable`.
        """
        self._go_down_later()
        await self.come_up()
        deadline = Deadline(wait)
        end = (await self.stream.extent()).newest.offsets  # what was acknowledged by now shall be seen
        while self.window.covers(place):
            batch, is_all = self._after(place, limit)
            behind = self.window.is_beyond(end)
            if not is_all or (not behind and (batch.messages or deadline.left() == 0)):
                return batch
            if not await self._news.wait(CATCH_UP if behind else deadline.left()):
                return batch
        return None

    def _after(self, place: Position, limit: int) -> tuple[Batch, bool]:
        """What the window has after a place, as much as one poller is given; and whether that is all."""
        found = islice(self.window.wanted(EVERYTHING, self.window.seek(place.offsets), place.offsets), limit)
        messages = [entry.message for _, entry in found]
        fits = fitting(messages)
        is_all = len(messages) < min(limit, fits)
        messages = messages[:fits]
        offsets = {**self.window.head.offsets, **place.offsets} if is_all else dict(place.offsets)
        for message in messages:
            offsets[message.partition] = message.offset + 1
        return Batch(messages, Position(place.epoch, offsets)), is_all

    @asynccontextmanager
    async def older(self, start: Start) -> AsyncGenerator[Subscription, None]:
        """A reader of its own for who wants what the window has not; there are only so many at once."""
        async with self._replays, self.stream.subscribe(start) as subscription:
            yield subscription
