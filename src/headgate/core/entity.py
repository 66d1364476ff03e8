"""The entity: a record layout after every name in it is resolved. What it says, and nothing of how it was written.

An entity has fields. Some of them are stored, in a table with keys; some come in a message, in the order of a layout;
some are computed from the record of a parent. What compiles to a parser, a table or a schema starts from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

DELIMITER = "|"
LARGEST_INTEGER = 2**63 - 1
SMALLEST_INTEGER = -(2**63)
MOST_DIGITS = 38  # of a decimal: before its point, and after it
MOST_FLOAT_DIGITS = 300  # likewise
LARGEST_EXPONENT = 307  # from 1e-307 to 9e307 every float has all its digits

Json = str | int | float | bool | list[object] | dict[str, object]
Value = Json | Decimal | date | datetime | UUID | None


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    UUID = "uuid"
    JSON = "json"
    OBJECT = "object"
    TEXT_LIST = "text_list"
    OBJECT_LIST = "object_list"

    @property
    def is_json(self) -> bool:
        """Whether a message carries it as JSON text, which no regular expression can check."""
        return self in _JSON_KINDS


_JSON_KINDS = frozenset({Kind.JSON, Kind.OBJECT, Kind.TEXT_LIST, Kind.OBJECT_LIST})


class Transform(StrEnum):
    """How a computed field comes out of its source."""

    COPY_FIELD = "copy_field"
    JSON_GET_STRING = "json_get_string"
    JSON_GET_INT = "json_get_int"
    JSON_GET_FLOAT = "json_get_float"
    JSON_GET_OPTIONAL_STRING = "json_get_optional_string"
    JSON_GET_OPTIONAL_FLOAT = "json_get_optional_float"


@dataclass(frozen=True, slots=True)
class Computed:
    """A field that comes out of something else: of `source` (an entity, or the name of an item) what is at `path`."""

    transform: Transform
    source: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. An empty one is null, so what is not nullable is never empty."""

    name: str
    kind: Kind
    column: str
    nullable: bool = False
    min_length: int = 0  # in characters, for text
    max_length: int | None = None
    precision: int | None = None  # of a decimal: its digits in all; None for as many as there are
    scale: int = 0  # and those after the point, when there is a precision
    minimum: int = SMALLEST_INTEGER
    maximum: int = LARGEST_INTEGER
    choices: tuple[str, ...] = ()
    constant: str | None = None  # as a message would carry it; such a field is in no message
    computed: Computed | None = None
    stored: bool = True
    index: bool = False
    doc: str = ""

    @property
    def digits(self) -> tuple[int, int]:
        """How many digits a decimal may have before its point, and how many after it."""
        if self.precision is None:
            return MOST_DIGITS, MOST_DIGITS
        return self.precision - self.scale, self.scale


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that name a row of another table."""

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where records are kept: the table and its keys, by column."""

    table: str
    primary_key: tuple[str, ...] = ()
    generated: bool = False  # the primary key is one integer that the database counts up
    unique: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of one kind of message, in order. Two layouts of an entity may leave out different nullable ones."""

    entity: str
    prefix: str
    fields: tuple[Field, ...]
    constants: tuple[Field, ...] = ()

    def __repr__(self) -> str:
        return f"<Layout {self.prefix or 'whole'} of {self.entity}: {len(self.fields)} fields>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row that was read by this layout, in its order."""
        return tuple(field.column for field in (*self.fields, *self.constants))


@dataclass(frozen=True, slots=True)
class Derivation:
    """How an entity comes out of its parent's record: once, or once for each item of a list in it."""

    parent: str
    field: str = ""  # of the parent, when it is repeated
    item: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """A record layout."""

    name: str
    kind: str  # root, derived, reference
    fields: tuple[Field, ...]
    layouts: tuple[Layout, ...] = ()
    storage: Storage | None = None
    derivation: Derivation | None = None
    doc: str = ""

    def __repr__(self) -> str:
        prefixes = ", ".join(layout.prefix for layout in self.layouts)
        return f"<Entity {self.name}: {len(self.fields)} fields, prefix {prefixes}>"

    @property
    def stored(self) -> tuple[Field, ...]:
        """The fields that are kept."""
        return tuple(field for field in self.fields if field.stored)

    @property
    def given(self) -> tuple[Field, ...]:
        """The fields that a sender gives: all but the constants."""
        return tuple(field for field in self.fields if field.constant is None)

    @property
    def whole(self) -> Layout:
        """The layout of a record with everything that is kept, as it comes out of JSON or CSV."""
        constants = tuple(field for field in self.stored if field.constant is not None)
        return Layout(self.name, "", tuple(f for f in self.stored if f.constant is None), constants)

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that name a record: its primary key, without one that the database makes."""
        if self.storage is None or self.storage.generated:
            return ()
        names = {field.column: field.name for field in self.fields}
        return tuple(names[column] for column in self.storage.primary_key)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an entity: the values of its fields by name, None where one is null."""

    entity: Entity
    values: Mapping[str, Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    @property
    def key(self) -> tuple[Value, ...]:
        """The values of the primary key; empty when the database makes it."""
        return tuple(self.values[name] for name in self.entity.key)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something is no record: which line, whose, which field, and what is wrong with it."""

    message: str
    line_number: int = 1
    entity: str | None = None
    field: str | None = None
    line: str = ""
