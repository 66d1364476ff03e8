"""The facts: what the templates of a server need to know of entities."""

import keyword
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from headgate.core.entity import LARGEST_INTEGER, SMALLEST_INTEGER, Entity, Field, Kind, Layout
from headgate.core.kinds import expected
from headgate.core.patterns import pattern
from headgate.core.records import CHARACTER
from headgate.core.table import Dialect, create, in_order, table_of
from headgate.errors import HeadgateError
from headgate.generate.literals import literal

_TYPES = {
    Kind.TEXT: "str",
    Kind.INTEGER: "int",
    Kind.DECIMAL: "Decimal",
    Kind.FLOAT: "float",
    Kind.BOOLEAN: "bool",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "datetime",
    Kind.UUID: "UUID",
    Kind.JSON: "Any",
    Kind.OBJECT: "dict[str, Any]",
    Kind.TEXT_LIST: "list[str]",
    Kind.OBJECT_LIST: "list[dict[str, Any]]",
}
_TAKEN = frozenset(["Any", "BaseModel", "ConfigDict", "Decimal", "Field", "Literal", "MODELS", "Record", "UUID"])
_TAKEN |= frozenset(["date", "datetime", "copy", "dict", "json", "schema", "construct", "validate", "fields"])
_TAKEN |= frozenset(["parse_obj", "parse_raw", "parse_file", "from_orm", "update_forward_refs"])
_SAMPLES = {
    Kind.INTEGER: "1",
    Kind.DECIMAL: "1",
    Kind.FLOAT: "1.5",
    Kind.BOOLEAN: "true",
    Kind.DATE: "1996-01-02",
    Kind.TIMESTAMP: "1996-01-02T03:04:05Z",
    Kind.UUID: "123e4567-e89b-12d3-a456-426614174000",
    Kind.JSON: "{}",
    Kind.OBJECT: "{}",
    Kind.TEXT_LIST: "[]",
    Kind.OBJECT_LIST: "[]",
}


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """A field of a message."""

    name: str
    column: str
    pattern: str
    expected: str
    nullable: bool
    is_json: bool


@dataclass(frozen=True, slots=True)
class LayoutFacts:
    """A kind of message."""

    entity: str
    prefix: str
    fields: tuple[FieldFacts, ...]
    constants: tuple[tuple[str, str], ...]
    booleans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelField:
    """A field of a model."""

    name: str
    type: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model of an entity."""

    entity: str
    class_name: str
    words: str
    fields: tuple[ModelField, ...]


class Patterns:
    """What fields accept, each of it once and with a name."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, field: Field) -> str:
        """The name of what a field accepts."""
        bare = replace(field, nullable=False)
        accepts = f"{CHARACTER}*+" if field.kind.is_json else pattern(bare, CHARACTER)
        if accepts not in self._names:
            self._names[accepts] = self._free(_pattern_name(field))
        return self._names[accepts]

    def all(self) -> list[tuple[str, str]]:
        """The names, and what each stands for."""
        return [(name, accepts) for accepts, name in self._names.items()]

    def _free(self, name: str) -> str:
        taken = set(self._names.values())
        numbered = (f"{name}_{number}" for number in count(2))
        return name if name not in taken else next(other for other in numbered if other not in taken)


def _pattern_name(field: Field) -> str:
    if field.kind is Kind.TEXT and not field.choices:
        return "TEXT" if field.max_length is None else f"TEXT_{field.max_length}"
    if field.kind is Kind.DECIMAL and field.precision is not None:
        return f"DECIMAL_{field.precision}_{field.scale}"
    return "CHOICE" if field.choices else field.kind.name


def layouts(entities: Sequence[Entity], patterns: Patterns) -> list[LayoutFacts]:
    """The kinds of messages."""
    return [_layout(layout, patterns) for entity in entities for layout in entity.layouts]


def _layout(layout: Layout, patterns: Patterns) -> LayoutFacts:
    fields = (*layout.fields, *layout.constants)
    return LayoutFacts(
        layout.entity,
        layout.prefix,
        tuple(_field(field, patterns) for field in layout.fields),
        tuple((field.column, field.constant or "") for field in layout.constants),
        tuple(at for at, field in enumerate(fields) if field.kind is Kind.BOOLEAN),
    )


def _field(field: Field, patterns: Patterns) -> FieldFacts:
    name = patterns.name(field)
    return FieldFacts(field.name, field.column, name, expected(field), field.nullable, field.kind.is_json)


def tables(entities: Sequence[Entity], dialect: Dialect) -> list[dict[str, object]]:
    """The tables, parents first."""
    found = []
    for entity in in_order(entities):
        assert entity.storage is not None
        found.append(
            {
                "entity": entity.name,
                "name": entity.storage.table,
                "columns": tuple(field.column for field in entity.stored),
                "primary_key": entity.storage.primary_key,
                "generated": entity.storage.generated,
                "unique": table_of(entity, dialect).unique,
                "foreign_keys": entity.storage.foreign_keys,
            }
        )
    return found


def statements(entities: Sequence[Entity], dialect: Dialect) -> list[tuple[str, str]]:
    """The statements that make the tables, each with its table."""
    made = [table_of(entity, dialect) for entity in in_order(entities)]
    return [(table.name, statement) for table in made for statement in create(table, dialect)]


def models(entities: Sequence[Entity]) -> list[ModelFacts]:
    """The models. Raises a `HeadgateError` where two names become one."""
    found = [_model(entity) for entity in entities]
    if len({model.class_name for model in found}) < len(found):
        raise HeadgateError("two entities have names that Python cannot tell apart")
    return found


def model_imports(found: Sequence[ModelFacts]) -> list[str]:
    """What the models need."""
    words = {word for model in found for field in model.fields for word in re.findall(r"[A-Za-z]\w*", field.type)}
    days = sorted(words & {"date", "datetime"})
    typing = sorted(words & {"Any", "Literal"})
    lines = [f"from datetime import {', '.join(days)}"] if days else []
    lines += ["from decimal import Decimal"] if "Decimal" in words else []
    lines += [f"from typing import {', '.join(typing)}"] if typing else []
    return [*lines, *(["from uuid import UUID"] if "UUID" in words else [])]


def _model(entity: Entity) -> ModelFacts:
    carried = {field.name for layout in entity.layouts for field in layout.fields}
    fields = tuple(_model_field(field) for field in entity.given if field.name in carried)
    if len({field.name for field in fields}) < len(fields):
        raise HeadgateError(f"two fields of {entity.name} have names that Python cannot tell apart")
    return ModelFacts(entity.name, _identifier(entity.name), f"A record of {_words(entity.name)}.", fields)


def _model_field(field: Field) -> ModelField:
    name = _identifier(field.name)
    arguments = ["default=None"] if field.nullable else []
    if name != field.name:
        arguments.append(f"alias={literal(field.name)}")
    if field.kind is Kind.TEXT and field.max_length is not None:
        arguments.append(f"max_length={field.max_length}")
    if field.kind is Kind.INTEGER and (field.minimum, field.maximum) != (SMALLEST_INTEGER, LARGEST_INTEGER):
        arguments += [f"ge={field.minimum}", f"le={field.maximum}"]
    if field.kind is Kind.DECIMAL and field.precision is not None:
        arguments += [f"max_digits={field.precision}", f"decimal_places={field.scale}"]
    if field.doc:
        arguments.append(f"description={literal(field.doc)}")
    type_ = _TYPES[field.kind]
    return ModelField(name, f"{type_} | None" if field.nullable and type_ != "Any" else type_, tuple(arguments))


def _identifier(name: str) -> str:
    letters = unicodedata.normalize("NFKC", name)  # as Python reads names
    made = "".join(letter if f"a{letter}".isidentifier() else "_" for letter in letters).strip("_") or "field"
    made = made if made.isidentifier() else f"n{made}"
    return f"{made}_" if keyword.iskeyword(made) or made in _TAKEN or made.startswith("model_") else made


def _words(name: str) -> str:
    return re.sub(r"\W", " ", name)


def sample(layout: Layout) -> str:
    """A line of this layout, for people to try."""
    return "|".join([layout.prefix, *map(_sample, layout.fields)])


def _sample(field: Field) -> str:
    if field.choices:
        return field.choices[0]
    if field.kind is Kind.TEXT:
        return "text"[: field.max_length or 4].ljust(field.min_length, "x")
    if field.kind is Kind.INTEGER:
        return str(max(field.minimum, min(1, field.maximum)))
    return _SAMPLES[field.kind] if field.kind is not Kind.DECIMAL or field.digits[0] else "0"
