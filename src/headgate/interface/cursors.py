"""The cursors that clients bring: each is read by one of them at a time, in the whole gate."""

import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from headgate.errors import Refused
from headgate.transport.bell import Bell

MOST_NAMES = 10_000  # that a gate has seen: each leaves a trace where its stream is kept


class Holder(Protocol):
    """Who reads with a cursor."""

    def give_way(self) -> None:
        """Another brings the same cursor: let go of it."""
        ...


class Cursors:
    """Who has which cursor."""

    def __init__(self) -> None:
        self._holders: dict[str, Holder] = {}
        self._names: set[str] = set()
        self._change = Bell()

    def __repr__(self) -> str:
        return f"<Cursors: {len(self)} held>"

    def __len__(self) -> int:
        return len(self._holders)

    @contextlib.asynccontextmanager
    async def held(self, name: str, newcomer: Holder) -> AsyncIterator[None]:
        """The cursor is the newcomer's while the block runs. Whoever had it is sent away, and waited for.

        May raise `Refused` when there are too many names.
        """
        if len(self._names) >= MOST_NAMES and name not in self._names:
            raise Refused(f"{MOST_NAMES} cursors are the limit: use one that there is")
        self._names.add(name)
        while (holder := self._holders.get(name)) is not None:
            holder.give_way()
            await self._change.wait()
        self._holders[name] = newcomer
        try:
            yield
        finally:
            del self._holders[name]
            self._change.ring()
