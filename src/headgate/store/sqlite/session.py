"""The session: one connection that writes. SQLite refuses row by row, and so rows are told apart."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from heapq import merge
from typing import Any, TypeVar

from headgate.core.entity import Entity
from headgate.core.rows import Rows
from headgate.core.table import in_order
from headgate.errors import StorageFull, Unavailable, Uncertain
from headgate.store.base import Block, Duplicates, Outcome, Posted
from headgate.store.command_table import CommandTable
from headgate.store.references import falling
from headgate.store.sqlite.cells import insert, parameters
from headgate.store.sqlite.failures import translated
from headgate.store.sqlite.row import LinkedSorting, Sorting

S = TypeVar("S", bound=Sorting)


class SQLiteSession(CommandTable):
    """A connection to the file, with at most one transaction."""

    def __init__(
        self, connection: sqlite3.Connection, path: str, entities: Sequence[Entity], *, keep_open: bool = False
    ) -> None:
        self._connection, self._path, self._keep_open = connection, path, keep_open
        self._entities = {entity.name: entity for entity in entities}
        self._order = {entity.name: at for at, entity in enumerate(in_order(entities))}

    def __repr__(self) -> str:
        return f"<SQLiteSession of {self._path}>"

    @property
    def is_open(self) -> bool:
        return bool(self._connection.in_transaction)

    def offer(self, block: Block) -> bool:
        with self._translated():
            self._begin()
            self._connection.execute("SAVEPOINT offer")
            try:
                for rows in self._ordered(block.rows):
                    self._connection.executemany(insert(rows.layout, self._table(rows)), parameters(rows))
            except sqlite3.IntegrityError:
                self._connection.execute("ROLLBACK TO offer")
                self._connection.execute("RELEASE offer")
                return False
            self._connection.execute("RELEASE offer")
        return True

    def insert(self, block: Block) -> bool:
        if taken := self.offer(block):
            self.commit()
        else:
            self.rollback()
        return taken

    def sort(self, block: Block, duplicates: Mapping[str, Duplicates], *, waits: bool = True) -> Outcome | None:  # noqa: ARG002 - nobody else can hold a row
        with self._translated():
            self._begin()
            found: list[Outcome] = []
            for name, group in self._grouped(self._ordered(block.numbered())).items():
                entity, policy = self._entities[name], duplicates.get(name, Duplicates.ERROR)
                sort = self._sort_linked if _is_linked(entity) else self._sort
                found.append(sort(entity, policy, group))
        return _joined(found)

    def _sort(self, entity: Entity, policy: Duplicates, group: Sequence[Rows]) -> Outcome:
        return _put(Sorting(self._connection, entity, policy), group).outcome()

    def _sort_linked(self, entity: Entity, policy: Duplicates, group: Sequence[Rows]) -> Outcome:
        fallen: set[int] = set()
        self._connection.execute("SAVEPOINT linked")
        self._connection.execute("PRAGMA defer_foreign_keys = ON")
        while True:
            sorting = _put(LinkedSorting(self._connection, entity, policy, fallen), group)
            if not (more := falling(*sorting.links())):
                break
            fallen |= more
            self._connection.execute("ROLLBACK TO linked")
        self._connection.execute("PRAGMA defer_foreign_keys = OFF")
        self._connection.execute("RELEASE linked")
        return sorting.outcome()

    @contextmanager
    def attempt(self) -> Iterator[Callable[[], None]]:
        with self._translated():
            self._begin()
            self._connection.execute("SAVEPOINT attempt")
        yield self._undo_attempt
        with self._translated():
            self._connection.execute("RELEASE attempt")

    def _undo_attempt(self) -> None:
        with self._translated():
            self._connection.execute("ROLLBACK TO attempt")

    def commit(self) -> None:
        try:
            with self._translated():
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")
        except Unavailable as error:
            raise Uncertain(f"this may be kept: {error}") from None

    def rollback(self) -> None:
        with self._translated():
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.rollback()
            if not self._keep_open:
                self._connection.close()

    def note(self, scope: str, name: str) -> bytes | None:
        with self._translated():
            found = self._connection.execute(
                "SELECT value FROM headgate_notes WHERE scope = ? AND name = ?", (scope, name)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def take_note(self, scope: str, name: str, value: bytes, expected: bytes | None) -> bool:
        with self._translated():
            self._begin()
            if expected is None:
                done = self._connection.execute(
                    "INSERT OR IGNORE INTO headgate_notes VALUES (?, ?, ?, ?)", (scope, name, value, time.time())
                )
            else:
                done = self._connection.execute(
                    "UPDATE headgate_notes SET value = ?, written = ? WHERE scope = ? AND name = ? AND value = ?",
                    (value, time.time(), scope, name, expected),
                )
        return done.rowcount == 1

    def forget_notes(self, scope: str, older_than: float) -> int:
        with self._translated():
            self._begin()
            return self._connection.execute(
                "DELETE FROM headgate_notes WHERE scope = ? AND written < ?", (scope, time.time() - older_than)
            ).rowcount

    def post(self, stream: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        with self._translated():
            self._begin()
            self._connection.executemany(
                "INSERT INTO headgate_outbox (stream, key, value) VALUES (?, ?, ?)",
                [(stream, key, value) for key, value in messages],
            )

    def posted(self, stream: str, most: int) -> list[Posted]:
        with self._translated():
            found = self._connection.execute(
                "SELECT id, key, value FROM headgate_outbox WHERE stream = ? ORDER BY id LIMIT ?", (stream, most)
            ).fetchall()
        return [Posted(*row) for row in found]

    def settle(self, stream: str, ids: Sequence[int]) -> None:
        with self._translated():
            self._begin()
            self._connection.executemany(
                "DELETE FROM headgate_outbox WHERE stream = ? AND id = ?", [(stream, found) for found in ids]
            )

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(statement, values).fetchall()

    def _done(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._translated():
            self._begin()
            return self._connection.execute(statement, values).fetchall()

    def _done_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        with self._translated():
            self._begin()
            return [self._connection.execute(statement, row).rowcount for row in rows]

    def _done_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._translated():
            self._begin()
            self._connection.executemany(statement, rows)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self._path):
                yield
        except StorageFull:
            self._connection.rollback()
            raise

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def _table(self, rows: Rows) -> str:
        storage = self._entities[rows.layout.entity].storage
        assert storage is not None
        return storage.table

    def _ordered(self, rows: Sequence[Rows]) -> list[Rows]:
        return sorted(rows, key=lambda found: self._order[found.layout.entity])

    def _grouped(self, rows: Sequence[Rows]) -> dict[str, list[Rows]]:
        groups: dict[str, list[Rows]] = defaultdict(list)
        for found in rows:
            groups[found.layout.entity].append(found)
        return groups


def _put(sorting: S, group: Sequence[Rows]) -> S:
    for _, cells, rows in merge(*(_numbered(rows) for rows in group), key=lambda row: row[0]):
        sorting.put(rows, cells)
    return sorting


def _is_linked(entity: Entity) -> bool:
    storage = entity.storage
    return storage is not None and any(key.table == storage.table for key in storage.foreign_keys)


def _numbered(rows: Rows) -> Iterator[tuple[int, Sequence[str], Rows]]:
    for number, *cells in parameters(rows, numbered=True):
        yield int(number), [number, *cells], rows


def _joined(found: Sequence[Outcome]) -> Outcome:
    return Outcome(
        tuple(sorted((fault for outcome in found for fault in outcome.faults), key=lambda fault: fault.line_number)),
        tuple(number for outcome in found for number in outcome.skipped),
        tuple(number for outcome in found for number in outcome.updated),
        {number: made for outcome in found for number, made in outcome.ids.items()},
    )
