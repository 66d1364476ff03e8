"""The lease: of several gates, one keeps the book of an interface's commands. It ends by itself when that one is gone.

It holds the places in the streams up to which the book is complete, and moves in the transactions that make it so.
Whoever lost it cannot commit any more.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from headgate.core.position import Position
from headgate.errors import PositionError
from headgate.runtime.ingest.database import Database
from headgate.runtime.whereabouts import is_gone, whereabouts
from headgate.store.base import Connection

T = TypeVar("T")
SECONDS = 5.0
_SCOPE = "commands"


class LeaseLost(Exception):
    """Another gate keeps the book."""


class _State(msgspec.Struct, frozen=True):
    owner: str
    until: float
    places: Mapping[str, str]  # by stream
    landing: float = 0.0  # until when something that its owner sent may land on a stream


_decode = msgspec.json.Decoder(_State).decode
_encode = msgspec.json.Encoder().encode


class Lease:
    """The lease of one interface, as this gate sees it."""

    def __init__(self, scope: str, database: Database) -> None:
        self._scope, self._database = scope, database
        self._me = whereabouts()
        self._state: _State | None = None
        self._landing = 0.0
        self._inherited = 0.0  # until when something of the owner before may land
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Lease of {self._scope}: {'held' if self.is_held else 'not held'}>"

    @property
    def is_held(self) -> bool:
        """Whether this gate has it, as far as it knows."""
        return self._state is not None and self._state.until > time.time()

    def place(self, stream: str) -> Position | None:
        """Up to where the book is complete, as far as this gate knows."""
        return _place(self._state, stream)

    @property
    def may_land(self) -> bool:
        """Whether something that the owner before this one sent may still land on a stream."""
        return self._inherited > time.time()

    async def look(self, stream: str) -> Position | None:
        """Up to where the book is complete, whoever keeps it. May raise `Unavailable`."""
        async with self._database.session() as session:
            known = await self._database.run(session.note, _SCOPE, self._scope)
        return _place(None if known is None else _decode(known), stream)

    async def take(self) -> bool:
        """Take it, if nobody else has it. May raise `Unavailable`."""
        self._state = None
        async with self._database.session() as session:
            known = await self._database.run(session.note, _SCOPE, self._scope)
            old = None if known is None else _decode(known)
            if old and self._is_anothers(old):
                return False
            fresh = _State(self._me, time.time() + SECONDS, old.places if old else {}, old.landing if old else 0.0)
            taken = await self._database.run(session.take_note, _SCOPE, self._scope, _encode(fresh), known)
            await self._database.run(session.commit)
        self._state = fresh if taken else None
        if old and old.owner != self._me and not is_gone(old.owner):
            self._inherited = old.landing
        return taken

    def _is_anothers(self, state: _State) -> bool:
        # An end that is further away than any lease lasts was set by a clock that was wrong.
        holds = 0 < state.until - time.time() <= 2 * SECONDS
        return holds and state.owner not in ("", self._me) and not is_gone(state.owner)

    async def give_back(self) -> None:
        """Let another gate have it at once. What this one sent has landed."""
        if self._state is not None:
            await self._change(lambda _: None, _State("", 0.0, self._state.places, self._inherited))
            self._state = None

    async def send_within(self, seconds: float) -> None:
        """Return when it will hold for some seconds, and says that something may land within so many.

        May raise `LeaseLost` or `Unavailable`.
        """
        now = time.time()
        if self._state is None or self._state.until - now < SECONDS / 2 or self._state.landing < now + seconds:
            self._landing = now + 2 * seconds  # ahead, so that not every command has to say it again
            await self.write(lambda _: None)

    async def write(
        self, work: Callable[[Connection], T], stream: str | None = None, place: Position | None = None
    ) -> T:
        """Do this and commit it, and move the place in a stream with it. May raise `LeaseLost` or `Unavailable`."""
        async with self._one_at_a_time:
            if self._state is None:
                raise LeaseLost
            places = self._state.places if stream is None else {**self._state.places, stream: str(place)}
            landing = max(self._landing, self._inherited)
            return await self._change(work, _State(self._me, time.time() + SECONDS, places, landing))

    async def _change(self, work: Callable[[Connection], T], fresh: _State) -> T:
        assert self._state is not None
        known = _encode(self._state)
        async with self._database.session() as session:
            done: T = await self._database.run(self._commit, session, work, _encode(fresh), known)
        self._state = fresh
        return done

    def _commit(self, session: Connection, work: Callable[[Connection], T], fresh: bytes, known: bytes) -> T:
        if not session.take_note(_SCOPE, self._scope, fresh, known):
            raise LeaseLost
        done = work(session)
        session.commit()
        return done


def _place(state: _State | None, stream: str) -> Position | None:
    text = state.places.get(stream) if state is not None else None
    try:
        return None if text is None else Position.parse(text)
    except PositionError:
        return None
