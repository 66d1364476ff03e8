"""The row: put into its table by itself, and what becomes of it when SQLite does not take it."""

import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from headgate.core.entity import Entity, Fault, ForeignKey, Layout, Storage
from headgate.core.rows import Rows
from headgate.core.table import quoted
from headgate.store import wording
from headgate.store.base import Duplicates, Outcome
from headgate.store.references import Key, Link
from headgate.store.sqlite.cells import insert, value

_FAILED = re.compile(r"UNIQUE constraint failed: (.+)")
_NO_NULL = re.compile(r"NOT NULL constraint failed: (.+)")
_TAKEN = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID")


@dataclass(frozen=True, slots=True)
class _Statements:
    insert: str
    update: str | None  # the row that has the same key
    at: Mapping[str, int]  # column -> which of the cells


class Sorting:
    """Rows of one entity, put one by one."""

    def __init__(self, connection: sqlite3.Connection, entity: Entity, duplicates: Duplicates) -> None:
        assert entity.storage is not None
        self._connection, self._entity, self._duplicates = connection, entity, duplicates
        self._storage: Storage = entity.storage
        self._statements: dict[Layout, _Statements] = {}
        self._faults: list[Fault] = []
        self._skipped: list[int] = []
        self._updated: list[int] = []
        self._ids: dict[int, int] = {}

    def outcome(self) -> Outcome:
        """What became of them."""
        return Outcome(tuple(self._faults), tuple(self._skipped), tuple(self._updated), self._ids)

    def put(self, rows: Rows, numbered: Sequence[str]) -> bool:
        """Put one row: its number, and its cells. Whether it stands."""
        number, cells = int(numbered[0]), numbered[1:]
        statements = self._of(rows.layout)
        try:
            done = self._connection.execute(statements.insert, cells)
        except sqlite3.IntegrityError as error:
            return self._refused(error, number, cells, statements)
        if self._storage.generated and done.lastrowid is not None:
            self._ids[number] = done.lastrowid
        return True

    def _of(self, layout: Layout) -> _Statements:
        if layout not in self._statements:
            self._statements[layout] = _statements(layout, self._entity, self._storage)
        return self._statements[layout]

    def _refused(
        self, error: sqlite3.IntegrityError, number: int, cells: Sequence[str], statements: _Statements
    ) -> bool:
        if error.sqlite_errorname not in _TAKEN or self._duplicates is Duplicates.ERROR:
            self._faults.append(self._fault(error, number, cells, statements))
        elif self._duplicates is Duplicates.SKIP:
            self._skipped.append(number)
        else:
            return self._update(error, number, cells, statements)
        return False

    def _update(
        self, error: sqlite3.IntegrityError, number: int, cells: Sequence[str], statements: _Statements
    ) -> bool:
        try:
            if statements.update and self._connection.execute(statements.update, cells).rowcount:
                self._updated.append(number)
                return True
        except sqlite3.IntegrityError as again:
            error = again
        self._faults.append(self._fault(error, number, cells, statements))
        return False

    def _fault(
        self, error: sqlite3.IntegrityError, number: int, cells: Sequence[str], statements: _Statements
    ) -> Fault:
        values = {column: cells[at] for column, at in statements.at.items()}
        if match := _FAILED.match(str(error)):
            columns = [name.strip().rpartition(".")[2] for name in match[1].split(",")]
            return wording.duplicate(self._entity, number, columns, values)
        if error.sqlite_errorname == "SQLITE_CONSTRAINT_FOREIGNKEY":
            for key in self._storage.foreign_keys:
                if not self._is_there(key, values):
                    return wording.foreign_key(self._entity, number, key.columns, values)
        column = match[1].rpartition(".")[2] if (match := _NO_NULL.match(str(error))) else None
        return wording.other(self._entity, number, str(error), column)

    def _is_there(self, key: ForeignKey, values: Mapping[str, str]) -> bool:
        wanted = [values.get(column, "") for column in key.columns]
        if not all(wanted):
            return True  # a key with a null refers to nothing
        same = " AND ".join(f"{quoted(column)} = ?" for column in key.references)
        found = self._connection.execute(f"SELECT 1 FROM {quoted(key.table)} WHERE {same}", wanted)
        return found.fetchone() is not None


class LinkedSorting(Sorting):
    """Rows of one entity that refer to each other: SQLite looks at no reference until all are there, so we do.

    Those that have `fallen` stood on a row of the block that does not stand.
    """

    def __init__(
        self, connection: sqlite3.Connection, entity: Entity, duplicates: Duplicates, fallen: Collection[int]
    ) -> None:
        super().__init__(connection, entity, duplicates)
        self._fallen = fallen
        self._standing: list[tuple[int, Mapping[str, str]]] = []
        self._spare: list[Mapping[str, str]] = []

    def put(self, rows: Rows, numbered: Sequence[str]) -> bool:
        number = int(numbered[0])
        values = {column: numbered[1 + at] for column, at in self._of(rows.layout).at.items()}
        self._connection.execute("SAVEPOINT one")
        stands = super().put(rows, numbered)
        if stands and not (stands := self._refers_well(number, values)):
            self._connection.execute("ROLLBACK TO one")
        self._connection.execute("RELEASE one")
        if stands:
            self._standing.append((number, values))
        elif number not in self._fallen:
            self._spare.append(values)
        return stands

    def _refers_well(self, number: int, values: Mapping[str, str]) -> bool:
        for key in self._storage.foreign_keys:
            inside = key.table == self._storage.table
            there = number not in self._fallen or "" in _values(values, key.columns)
            if there if inside else self._is_there(key, values):
                continue
            self._ids.pop(number, None)
            self._updated = [line for line in self._updated if line != number]
            self._faults.append(wording.foreign_key(self._entity, number, key.columns, values))
            return False
        return True

    def links(self) -> tuple[list[Link], list[int], set[Key]]:
        """The rows that stand, those of them that refer to nothing, and what rows that do not stand would bring."""
        updated = set(self._updated)
        inside = [key for key in self._storage.foreign_keys if key.table == self._storage.table]
        own = inside[0].references
        new = {_values(values, own) for number, values in self._standing if number not in updated}
        links = [
            Link(
                number,
                key if (key := _values(values, own)) in new else None,
                tuple(_values(values, reference.columns) for reference in inside),
            )
            for number, values in self._standing
        ]
        lost = [n for n, values in self._standing if not all(self._is_there(key, values) for key in inside)]
        return links, lost, {_values(values, own) for values in self._spare}


def _values(values: Mapping[str, str], columns: Sequence[str]) -> Key:
    return tuple(values.get(column, "") for column in columns)


def _statements(layout: Layout, entity: Entity, storage: Storage) -> _Statements:
    at = {column: place for place, column in enumerate(layout.columns)}
    identity = storage.unique if storage.generated else storage.primary_key
    return _Statements(insert(layout, storage.table), _update(layout, entity, identity, storage.table), at)


def _update(layout: Layout, entity: Entity, identity: Sequence[str], table: str) -> str | None:
    """The whole row is replaced: what its layout leaves out is null."""
    if not identity or not set(identity) <= set(layout.columns):
        return None
    cells = {field.column: value(field, at) for at, field in enumerate((*layout.fields, *layout.constants), 1)}
    texts = {field.column: f"{quoted(field.column)} = {cells.get(field.column, 'NULL')}" for field in entity.stored}
    changed = ", ".join(text for column, text in texts.items() if column not in identity) or texts[identity[0]]
    return f"UPDATE {quoted(table)} SET {changed} WHERE {' AND '.join(texts[column] for column in identity)}"
