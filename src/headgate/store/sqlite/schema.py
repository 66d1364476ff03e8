"""The tables as SQLite has them, and how they come to be what their entities say."""

import sqlite3
from collections.abc import Sequence

from headgate.core.entity import Entity, ForeignKey
from headgate.core.table import Column, Dialect, Table, create, in_order, migrate, quoted, table_of
from headgate.store.command_table import INDEXES
from headgate.store.command_table import table as command_table
from headgate.store.likeness import found_foreign_keys, found_key, found_unique

_COMMANDS = command_table("TEXT", "INTEGER PRIMARY KEY AUTOINCREMENT", "REAL", "BLOB")
OWN_TABLES = f"""
CREATE TABLE IF NOT EXISTS headgate_notes (
    scope TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, written REAL NOT NULL, PRIMARY KEY (scope, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS headgate_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, key BLOB, value BLOB NOT NULL
);
{";".join([_COMMANDS, *INDEXES])};
"""
_AFFINITIES = (
    ("INT", "INTEGER"),
    ("CHAR", "TEXT"),
    ("CLOB", "TEXT"),
    ("TEXT", "TEXT"),
    ("BLOB", "BLOB"),
    ("REAL", "REAL"),
    ("FLOA", "REAL"),
    ("DOUB", "REAL"),
)


def statements(connection: sqlite3.Connection, entities: Sequence[Entity]) -> list[str]:
    """What has to be done for the tables to fit. Raises a `SchemaRefusal` when something would be lost."""
    found: list[str] = []
    for entity in in_order(entities):
        wanted = table_of(entity, Dialect.SQLITE)
        there = table(connection, wanted)
        found += create(wanted, Dialect.SQLITE) if there is None else migrate(there, wanted, Dialect.SQLITE)
    return found


def table(connection: sqlite3.Connection, wanted: Table) -> Table | None:
    """The table that is there under this name, as far as the wanted one is about it."""
    columns = connection.execute(f"PRAGMA table_info({quoted(wanted.name)})").fetchall()
    if not columns:
        return None
    key = tuple(name for _, name, *_, at in sorted(columns, key=lambda column: column[-1]) if at)
    types = {column.name: column.type for column in wanted.columns}
    counts_up = any(at and kind.upper() == "INTEGER" for _, _, kind, *_, at in columns) and len(key) == 1
    return Table(
        wanted.name,
        # A column of somebody else's that may be left out is no affair of ours.
        tuple(
            Column(name, _type(kind, types.get(name, kind)), not (must or (at and counts_up)))
            for _, name, kind, must, default, at in columns
            if name in types or (must and default is None)
        ),
        found_key(wanted.primary_key, [key]),
        wanted.generated and counts_up,
        found_unique(wanted.unique, [columns for columns, unique in _indexes(connection, wanted.name) if unique]),
        found_foreign_keys(wanted.foreign_keys, _foreign_keys(connection, wanted)),
        tuple(columns[0] for columns, _ in _indexes(connection, wanted.name) if len(columns) == 1),
    )


def _type(kind: str, wanted: str) -> str:
    """The wanted type, where the one that somebody wrote stores values in the same way."""
    return wanted if _affinity(kind) == _affinity(wanted) else kind


def _affinity(kind: str) -> str:
    """What SQLite makes of the name of a type: by the first of these that is in it."""
    found = (affinity for part, affinity in _AFFINITIES if part in kind.upper())
    return next(found, "NUMERIC") if kind else "BLOB"


def _indexes(connection: sqlite3.Connection, name: str) -> list[tuple[tuple[str, ...], bool]]:
    """The columns of each index of all rows, and whether they are unique."""
    listed = connection.execute(f"PRAGMA index_list({quoted(name)})").fetchall()
    return [(_index_columns(connection, index), bool(unique)) for _, index, unique, _, part in listed if not part]


def _index_columns(connection: sqlite3.Connection, index: str) -> tuple[str, ...]:
    # What is computed has no name here; no column is called so.
    return tuple(name or "(...)" for *_, name in connection.execute(f"PRAGMA index_info({quoted(index)})"))


def _foreign_keys(connection: sqlite3.Connection, wanted: Table) -> list[ForeignKey]:
    keys: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, _, other, column, reference, *_ in connection.execute(
        f"PRAGMA foreign_key_list({quoted(wanted.name)})"
    ):
        keys.setdefault(number, []).append((other, column, reference))
    found = [(parts[0][0], tuple(column for _, column, _ in parts), parts) for parts in keys.values()]
    return [ForeignKey(columns, other, _references(connection, wanted, parts)) for other, columns, parts in found]


def _references(
    connection: sqlite3.Connection, wanted: Table, parts: list[tuple[str, str, str | None]]
) -> tuple[str, ...]:
    other, columns = parts[0][0], tuple(column for _, column, _ in parts)
    if named := tuple(reference for *_, reference in parts if reference is not None):
        return named
    # Without names it is the primary key that is meant, of a table that may not be there yet.
    listed = connection.execute(f"PRAGMA table_info({quoted(other)})").fetchall()
    key = tuple(name for _, name, *_, at in sorted(listed, key=lambda column: column[-1]) if at)
    meant = (k.references for k in wanted.foreign_keys if (k.table, k.columns) == (other, columns))
    return key if len(key) == len(columns) else next(meant, columns)
