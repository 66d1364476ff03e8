"""The visitors: all clients that stay, and the pulse that they share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from headgate.runtime.tasks import Tasks

TICK = 0.25  # seconds between two looks at all of them


class Visitor(Protocol):
    """A client that stays."""

    since: float  # when it last had a sign of life
    cut: bool  # it was too slow

    def look(self, now: float) -> None:
        """Give a sign of life if there was none for long; cut a client that takes nothing."""
        ...

    def end(self) -> None:
        """Send it away."""
        ...


class Stall:
    """How long a client has left what it was sent."""

    __slots__ = ("_limit", "_since")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: float | None = None

    def lasts_too_long(self, paused: bool, now: float) -> bool:
        """Whether the client has taken nothing for longer than it may."""
        if not paused:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self._limit

    def ends(self) -> None:
        """There is room again."""
        self._since = None


@dataclass(slots=True)
class VisitorStats:
    """What became of those who came."""

    opened: int = 0
    cut: int = 0  # because they took nothing for too long, or fell behind where that is not allowed


class Visitors:
    """All who stay with a gate: they are given signs of life, and those that stall are cut."""

    def __init__(self, tasks: Tasks, clock: Callable[[], float]) -> None:
        self.stats = VisitorStats()
        self._tasks = tasks
        self._clock = clock
        self._there: set[Visitor] = set()
        self._pulse: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        return f"<Visitors: {len(self)} there, {self.stats.cut} cut>"

    def __len__(self) -> int:
        return len(self._there)

    def add(self, visitor: Visitor) -> None:
        """Look after this one, too."""
        self.stats.opened += 1
        visitor.since = self._clock()
        self._there.add(visitor)
        if self._pulse is None or self._pulse.done():
            self._pulse = self._tasks.start("pulse", self._beat())

    def remove(self, visitor: Visitor) -> None:
        """This one is gone. It may never have come."""
        if visitor in self._there:
            self._there.discard(visitor)
            self.stats.cut += visitor.cut

    async def _beat(self) -> None:
        while self._there:
            await asyncio.sleep(TICK)
            now = self._clock()
            for visitor in list(self._there):
                visitor.look(now)

    def drain(self) -> None:
        """Send all away: they come back, here or elsewhere, spread over some seconds."""
        for visitor in list(self._there):
            visitor.end()
