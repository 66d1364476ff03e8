"""The row: put into its table by itself, and what becomes of it when SQLite does not take it."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.entity import Entity, Fault, Field, Layout, Storage
from headgate.core.rows import Rows
from headgate.core.table import quoted
from headgate.store import wording
from headgate.store.base import Duplicates, Outcome
from headgate.store.sqlite.cells import insert, value

_FAILED = re.compile(r"UNIQUE constraint failed: (.+)")
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

    def put(self, rows: Rows, numbered: Sequence[str]) -> None:
        """Put one row: its number, and its cells."""
        number, cells = int(numbered[0]), numbered[1:]
        if rows.layout not in self._statements:
            self._statements[rows.layout] = _statements(rows.layout, self._storage)
        statements = self._statements[rows.layout]
        try:
            done = self._connection.execute(statements.insert, cells)
            if self._storage.generated and done.lastrowid is not None:
                self._ids[number] = done.lastrowid
        except sqlite3.IntegrityError as error:
            self._refused(error, number, cells, statements)

    def _refused(
        self, error: sqlite3.IntegrityError, number: int, cells: Sequence[str], statements: _Statements
    ) -> None:
        if error.sqlite_errorname not in _TAKEN or self._duplicates is Duplicates.ERROR:
            self._faults.append(self._fault(error, number, cells, statements))
        elif self._duplicates is Duplicates.SKIP:
            self._skipped.append(number)
        else:
            self._update(error, number, cells, statements)

    def _update(
        self, error: sqlite3.IntegrityError, number: int, cells: Sequence[str], statements: _Statements
    ) -> None:
        try:
            if statements.update and self._connection.execute(statements.update, cells).rowcount:
                self._updated.append(number)
                return
        except sqlite3.IntegrityError as again:
            error = again
        self._faults.append(self._fault(error, number, cells, statements))

    def _fault(
        self, error: sqlite3.IntegrityError, number: int, cells: Sequence[str], statements: _Statements
    ) -> Fault:
        values = {column: cells[at] for column, at in statements.at.items()}
        if match := _FAILED.match(str(error)):
            columns = [name.strip().rpartition(".")[2] for name in match[1].split(",")]
            return wording.duplicate(self._entity, number, columns, values)
        if error.sqlite_errorname == "SQLITE_CONSTRAINT_FOREIGNKEY":
            for key in self._storage.foreign_keys:
                if not self._is_there(key.table, key.references, [values.get(column, "") for column in key.columns]):
                    return wording.foreign_key(self._entity, number, key.columns, values)
        return wording.other(self._entity, number, str(error))

    def _is_there(self, table: str, columns: Sequence[str], values: Sequence[str]) -> bool:
        if not all(values):
            return True  # a key with a null refers to nothing
        wanted = " AND ".join(f"{quoted(column)} = ?" for column in columns)
        found = self._connection.execute(f"SELECT 1 FROM {quoted(table)} WHERE {wanted}", values)
        return found.fetchone() is not None


def _statements(layout: Layout, storage: Storage) -> _Statements:
    fields = (*layout.fields, *layout.constants)
    at = {field.column: place for place, field in enumerate(fields)}
    identity = storage.unique if storage.generated else storage.primary_key
    return _Statements(insert(layout, storage.table), _update(fields, identity, storage.table, at), at)


def _update(fields: Sequence[Field], identity: Sequence[str], table: str, at: Mapping[str, int]) -> str | None:
    if not identity or not all(column in at for column in identity):
        return None
    texts = {field.column: f"{quoted(field.column)} = {value(field, place)}" for place, field in enumerate(fields, 1)}
    changed = ", ".join(text for column, text in texts.items() if column not in identity) or texts[identity[0]]
    return f"UPDATE {quoted(table)} SET {changed} WHERE {' AND '.join(texts[column] for column in identity)}"
