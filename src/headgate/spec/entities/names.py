"""Names: what entities, fields, columns, tables and prefixes may be called, and the names of the types."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from headgate.core.entity import Kind
from headgate.spec.values import expected

LONGEST = 63  # bytes of a name in PostgreSQL

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_REFERENCE = re.compile(rf"{_NAME.pattern}\.{_NAME.pattern}")

# What PostgreSQL or SQLite refuses, or what would have to be quoted in every query that somebody writes.
_RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role current_schema
    current_time current_timestamp current_user default deferrable delete desc distinct do drop else end escape except
    exists false fetch for foreign freeze from full glob grant group having ilike in index initially inner insert
    intersect into is isnull join lateral leading left like limit localtime localtimestamp match natural not notnull
    null offset on only or order outer overlaps placing primary references regexp returning right select session_user
    set similar some symmetric table tablesample then to trailing transaction true union unique update user using
    values variadic verbose when where window with
    cmax cmin ctid oid rowid tableoid xmax xmin
    """.split()  # noqa: SIM905 - a hundred words are read more easily without their quotes
)

TYPES: Mapping[str, Kind] = {
    "String": Kind.TEXT,
    "Text": Kind.TEXT,
    "Integer": Kind.INTEGER,
    "Int": Kind.INTEGER,
    "BigInt": Kind.INTEGER,
    "Decimal": Kind.DECIMAL,
    "Float": Kind.FLOAT,
    "Double": Kind.FLOAT,
    "Boolean": Kind.BOOLEAN,
    "Bool": Kind.BOOLEAN,
    "Date": Kind.DATE,
    "DateTime": Kind.TIMESTAMP,
    "Timestamp": Kind.TIMESTAMP,
    "UUID": Kind.UUID,
    "Json": Kind.JSON,
    "Object": Kind.OBJECT,
    "List[String]": Kind.TEXT_LIST,
    "List[Object]": Kind.OBJECT_LIST,
}
_BY_LOWER = {name.lower(): kind for name, kind in TYPES.items()}


def kind_of(name: str) -> Kind:
    """The kind that a type's name stands for."""
    return _BY_LOWER[name.lower()]


def is_reserved(name: str) -> bool:
    """Whether SQL has another use for a name."""
    return name.lower() in _RESERVED


def snake_case(name: str) -> str:
    """`facilityId` as a column is called: `facility_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise expected(f"a name: a letter or _, then letters, digits or _, {LONGEST} in all at most")
    return value


def _table(value: str) -> str:
    if is_reserved(_name(value)) or value.lower().startswith("sqlite_"):
        raise expected("a name that SQL has no other use for")
    return value


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise expected("what a message begins with: 1 to 32 letters, digits or _ . -")
    return value


def _reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise expected("a table and its column, as orders.order_key")
    return value


def _type(value: str) -> str:
    if value.lower() not in _BY_LOWER:
        words = ", ".join(f"'{name}'" for name in TYPES)
        raise PydanticCustomError("literal_error", "one of {expected}", {"expected": words})
    return value


EntityName = Annotated[str, AfterValidator(_name)]
FieldName = Annotated[str, AfterValidator(_name)]
TableName = Annotated[str, AfterValidator(_table)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Reference = Annotated[str, AfterValidator(_reference)]
TypeName = Annotated[str, AfterValidator(_type)]
