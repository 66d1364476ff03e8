"""The tables as SQLite has them, and how they come to be what their entities say."""

import sqlite3
from collections.abc import Sequence

from headgate.core.entity import Entity, ForeignKey
from headgate.core.table import Column, Dialect, Table, create, in_order, migrate, quoted, table_of

OWN_TABLES = """
CREATE TABLE IF NOT EXISTS headgate_notes (
    scope TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, written REAL NOT NULL, PRIMARY KEY (scope, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS headgate_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, key BLOB, value BLOB NOT NULL
);
"""


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
    named = {column.name for column in wanted.columns}
    return Table(
        wanted.name,
        # A column of somebody else's that may be left out is no affair of ours.
        tuple(
            Column(name, kind, not (must or (at and wanted.generated)))
            for _, name, kind, must, default, at in columns
            if name in named or (must and default is None)
        ),
        key,
        wanted.generated and len(key) == 1,
        _unique(connection, wanted),
        _foreign_keys(connection, wanted),
        _indexes(connection, wanted.name),
    )


def _unique(connection: sqlite3.Connection, wanted: Table) -> tuple[str, ...]:
    listed = connection.execute(f"PRAGMA index_list({quoted(wanted.name)})").fetchall()
    found = [_index_columns(connection, name) for _, name, unique, origin, *_ in listed if unique and origin != "pk"]
    return wanted.unique if wanted.unique in found or not found else found[0]


def _indexes(connection: sqlite3.Connection, name: str) -> tuple[str, ...]:
    listed = connection.execute(f"PRAGMA index_list({quoted(name)})").fetchall()
    found = [_index_columns(connection, index) for _, index, *_ in listed]
    return tuple(columns[0] for columns in found if len(columns) == 1)


def _index_columns(connection: sqlite3.Connection, index: str) -> tuple[str, ...]:
    return tuple(name for *_, name in connection.execute(f"PRAGMA index_info({quoted(index)})"))


def _foreign_keys(connection: sqlite3.Connection, wanted: Table) -> tuple[ForeignKey, ...]:
    keys: dict[int, list[tuple[str, str, str]]] = {}
    for number, _, other, column, reference, *_ in connection.execute(
        f"PRAGMA foreign_key_list({quoted(wanted.name)})"
    ):
        keys.setdefault(number, []).append((other, column, reference))
    found = {
        ForeignKey(tuple(c for _, c, _ in parts), parts[0][0], tuple(r for *_, r in parts)) for parts in keys.values()
    }
    return wanted.foreign_keys if found == set(wanted.foreign_keys) else tuple(found)
