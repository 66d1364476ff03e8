"""What a store promises: rows of records go in, and each one that the database refuses is told apart.

A store's calls block: they are made from threads. A session is one connection, used by one thread at a time, with at
most one transaction, which begins with the first call that needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from headgate.core.entity import Entity, Fault
from headgate.core.rows import Rows
from headgate.store.commands import CommandBook


class Duplicates(StrEnum):
    """What becomes of a row whose key is in the table already, or earlier in the same block."""

    ERROR = "error"
    SKIP = "skip"
    UPDATE = "update"


class Block(Protocol):
    """Rows of some layouts. Whatever their order here, a table's rows are stored after those that it refers to."""

    @property
    def rows(self) -> Sequence[Rows]:
        """The rows, as fast as it goes."""
        ...

    def numbered(self) -> Sequence[Rows]:
        """The same rows, each with its number before it."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the rows of a block, by their numbers. Those that are not named were inserted."""

    faults: tuple[Fault, ...] = ()  # refused; in the order of their numbers
    skipped: tuple[int, ...] = ()  # duplicates that were passed over
    updated: tuple[int, ...] = ()  # duplicates that replaced what was there
    ids: Mapping[int, int] = field(default_factory=dict)  # the keys that the database made


class Session(Protocol):
    """One connection.

    Every call may raise `Unavailable` (the database is away: nothing since the last commit is kept, and this session
    is of no use any more) and `StorageFull` (rolled back; the session can go on).
    """

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open: something was done since the last commit. Does not block."""
        ...

    def offer(self, block: Block) -> bool:
        """Insert every row at full speed, or none of them, and tell which.

        It does not wait for other transactions for long: a row that one of them holds is a reason to say no.
        """
        ...

    def insert(self, block: Block) -> bool:
        """Insert every row at full speed and commit, or none of them, and tell which. No transaction may be open.

        It waits for other transactions as little as an offer does. Raises `Uncertain` when the database went while it
        was committing.
        """
        ...

    def sort(self, block: Block, duplicates: Mapping[str, Duplicates], *, waits: bool = True) -> Outcome | None:
        """Insert every row that the database takes, and tell what became of the others.

        `duplicates` says for each entity by its name what becomes of them; those that it does not name are errors.
        None, and nothing done, when other transactions hold some of the rows for long and it is not to wait for them.
        """
        ...

    def attempt(self) -> AbstractContextManager[Callable[[], None]]:
        """A part of a transaction, which begins here if there is none: the block gets what undoes it so far."""
        ...

    def commit(self) -> None:
        """Keep what was done since the last commit. When it returns, it is safe; `Uncertain` is as in `insert`."""
        ...

    def rollback(self) -> None:
        """Undo what was done since the last commit."""
        ...

    def close(self) -> None:
        """End it, and undo what was not committed. Never raises."""
        ...


class Notes(Protocol):
    """What the gate itself remembers in the database, in the same transactions as the rows. A session has it."""

    def note(self, scope: str, name: str) -> bytes | None:
        """What is remembered under a name."""
        ...

    def take_note(self, scope: str, name: str, value: bytes, expected: bytes | None) -> bool:
        """Remember a value where `expected` stands; None where nothing does. False when something else stands there.

        Waits for other transactions that are writing this note, and then looks at what they left.
        """
        ...

    def forget_notes(self, scope: str, older_than: float) -> int:
        """Let go of the notes that were written longer than so many seconds ago, and tell how many."""
        ...


@dataclass(frozen=True, slots=True)
class Posted:
    """A message that waits in the outbox."""

    id: int
    key: bytes | None
    value: bytes


class Outbox(Protocol):
    """Messages that are to be published once the rows beside them are kept. A session has it."""

    def post(self, stream: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Put keys and values into the outbox of a stream, in this order."""
        ...

    def posted(self, stream: str, most: int) -> list[Posted]:
        """The oldest messages that wait, in the order of their ids. Only what is committed is seen."""
        ...

    def settle(self, stream: str, ids: Sequence[int]) -> None:
        """These are published."""
        ...


class Connection(Session, Notes, Outbox, CommandBook, Protocol):
    """All that a session can do."""


class Store(Protocol):
    """A database."""

    most_sessions: int  # that it bears at once
    exclusive: bool  # a transaction of one session keeps the others out

    def prepare(self, entities: Sequence[Entity]) -> None:
        """Make the tables of these entities, and let those that are there grow with them.

        Raises `SchemaRefusal` for what would lose something, before anything is changed, and `Unavailable`. Several
        gates may do it at once.
        """
        ...

    def connect(self) -> Connection:
        """A new session. Raises `Unavailable`."""
        ...

    def close(self) -> None:
        """End what the store itself holds; the sessions are closed before."""
        ...
