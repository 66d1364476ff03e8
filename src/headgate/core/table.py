"""The table: where an entity's records are kept, as PostgreSQL and SQLite are told, and how it grows with the entity.

Column types are spelled as PostgreSQL itself shows them, so that a table can be compared with what a database tells.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from headgate.core.entity import DELIMITER, Entity, Field, ForeignKey, Kind, Layout
from headgate.errors import SchemaRefusal

EXACT_DIGITS = 15  # as many as SQLite's numbers keep; longer decimals are text there


_VARYING = re.compile(r"character varying\(([0-9]+)\)")
_SQLITE_TYPES = {Kind.INTEGER: "INTEGER", Kind.FLOAT: "REAL", Kind.BOOLEAN: "INTEGER"}
_POSTGRESQL_TYPES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.FLOAT: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp with time zone",
    Kind.UUID: "uuid",
}


class Dialect(StrEnum):
    """Whose SQL it is."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    type: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table as one of the databases has it."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    generated: bool = False
    unique: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[str, ...] = ()


def table_of(entity: Entity, dialect: Dialect) -> Table:
    """The table of an entity that is kept."""
    storage = entity.storage
    assert storage is not None
    columns = [Column(field.column, _type(field, dialect), field.nullable) for field in entity.stored]
    if storage.generated:
        columns.insert(0, Column(storage.primary_key[0], "INTEGER" if dialect is Dialect.SQLITE else "bigint"))
    return Table(
        storage.table,
        tuple(columns),
        storage.primary_key,
        storage.generated,
        () if storage.unique == storage.primary_key else storage.unique,
        storage.foreign_keys,
        tuple(field.column for field in entity.stored if field.index),
    )


def create(table: Table, dialect: Dialect) -> tuple[str, ...]:
    """The statements that make a table."""
    lines = [_column(column, table, dialect) for column in table.columns]
    if table.primary_key and not _is_rowid(table, dialect):
        lines.append(f"PRIMARY KEY ({_names(table.primary_key)})")
    if table.unique:
        lines.append(f"UNIQUE ({_names(table.unique)})")
    lines += [
        f"FOREIGN KEY ({_names(key.columns)}) REFERENCES {quoted(key.table)} ({_names(key.references)})"
        for key in table.foreign_keys
    ]
    body = ",\n  ".join(lines)
    return (
        f"CREATE TABLE {quoted(table.name)} (\n  {body}\n)",
        *(_index(table, name, dialect) for name in table.indexes),
    )


def migrate(old: Table, new: Table, dialect: Dialect) -> tuple[str, ...]:
    """The statements that make the new table of the old one without losing anything; a `SchemaRefusal` if none do."""
    if refused := list(_refused(old, new, dialect)):
        raise SchemaRefusal(f"the table {old.name} cannot follow its entity: {'; '.join(refused)}")
    before = {column.name: column for column in old.columns}
    table = f"ALTER TABLE {quoted(new.name)}"
    statements: list[str] = []
    for column in new.columns:
        name, was = quoted(column.name), before.get(column.name)
        if was is None:
            statements.append(f"{table} ADD COLUMN {name} {column.type}")
        elif dialect is Dialect.POSTGRESQL:
            if was.type != column.type:
                statements.append(f"{table} ALTER COLUMN {name} TYPE {column.type}")
            if was.nullable != column.nullable:
                statements.append(f"{table} ALTER COLUMN {name} DROP NOT NULL")
    return (*statements, *(_index(new, name, dialect) for name in new.indexes if name not in old.indexes))


def copy_statement(layout: Layout, table: str) -> str:
    """What PostgreSQL is told before the rows of a layout are sent to it.

    The connection's time zone has to be UTC, for that is what a time without an offset is in.
    """
    return f"COPY {quoted(table)} ({_names(layout.columns)}) FROM STDIN (FORMAT text, DELIMITER '{DELIMITER}', NULL '')"


def in_order(entities: Sequence[Entity]) -> tuple[Entity, ...]:
    """Those that are kept, each after those that its foreign keys name; a `SchemaRefusal` for a circle."""
    tables = {entity.storage.table: entity for entity in entities if entity.storage}
    needs = {name: sorted(_named_by(entity) - {name}) for name, entity in tables.items()}
    try:
        return tuple(tables[name] for name in TopologicalSorter(needs).static_order() if name in tables)
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise SchemaRefusal(f"foreign keys go in a circle: {circle}") from None


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def _named_by(entity: Entity) -> set[str]:
    return {key.table for key in entity.storage.foreign_keys} if entity.storage else set()


def _refused(old: Table, new: Table, dialect: Dialect) -> Iterator[str]:
    after = {column.name: column for column in new.columns}
    for column in old.columns:
        if column.name not in after:
            yield f"the column {column.name} would be lost"
        else:
            yield from _refused_change(column, after[column.name], dialect)
    before = {column.name for column in old.columns}
    for column in new.columns:
        if column.name not in before and not column.nullable:
            yield f"the new column {column.name} is not nullable, and rows that are there have no value for it"
    for what, was, becomes in (
        ("name", old.name, new.name),
        ("primary key", old.primary_key, new.primary_key),
        ("unique columns", old.unique, new.unique),
        ("foreign keys", old.foreign_keys, new.foreign_keys),
    ):
        if was != becomes:
            yield f"its {what} would change from {_told(was)} to {_told(becomes)}"
    if new.generated and not old.generated and old.primary_key == new.primary_key:
        yield f"its primary key would be counted up by the database, and {_told(old.primary_key)} is not"


def _refused_change(old: Column, new: Column, dialect: Dialect) -> Iterator[str]:
    if old.type != new.type and not _widens(old.type, new.type):
        yield f"the column {old.name} would change from {old.type} to {new.type}"
    if old.nullable and not new.nullable:
        yield f"the column {old.name} would refuse the null that it may hold"
    if new.nullable and not old.nullable and dialect is Dialect.SQLITE:
        yield f"SQLite cannot make the column {old.name} nullable"


def _widens(old: str, new: str) -> bool:
    """Whether the new type holds every text of the old one. No other change is known to keep everything."""
    was, becomes = _VARYING.fullmatch(old), _VARYING.fullmatch(new)
    return bool(was) and (new == "text" or bool(was and becomes and int(was[1]) < int(becomes[1])))


def _told(part: object) -> str:
    if isinstance(part, ForeignKey):
        return f"{', '.join(part.columns)} -> {part.table}.{', '.join(part.references)}"
    return (", ".join(map(_told, part)) or "none") if isinstance(part, tuple) else str(part)


def _column(column: Column, table: Table, dialect: Dialect) -> str:
    text = f"{quoted(column.name)} {column.type}" + ("" if column.nullable else " NOT NULL")
    if not table.generated or column.name not in table.primary_key:
        return text
    return f"{text} PRIMARY KEY" if dialect is Dialect.SQLITE else f"{text} GENERATED BY DEFAULT AS IDENTITY"


def _is_rowid(table: Table, dialect: Dialect) -> bool:
    # SQLite counts up only what is declared to be the primary key beside its type.
    return table.generated and dialect is Dialect.SQLITE


def _index(table: Table, column: str, dialect: Dialect) -> str:
    # PostgreSQL finds a name that is free and short enough; SQLite wants one.
    name = f" {quoted(f'{table.name}_{column}_index')}" if dialect is Dialect.SQLITE else ""
    return f"CREATE INDEX{name} ON {quoted(table.name)} ({quoted(column)})"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def _type(field: Field, dialect: Dialect) -> str:
    if dialect is Dialect.SQLITE:
        exact = field.kind is Kind.DECIMAL and field.precision is not None and field.precision <= EXACT_DIGITS
        return "NUMERIC" if exact else _SQLITE_TYPES.get(field.kind, "TEXT")
    if field.kind is Kind.TEXT and field.max_length is not None:
        return f"character varying({field.max_length})"
    if field.kind is Kind.DECIMAL and field.precision is not None:
        return f"numeric({field.precision},{field.scale})"
    return _POSTGRESQL_TYPES.get(field.kind, "jsonb")
