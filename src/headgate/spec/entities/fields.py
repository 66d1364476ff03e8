"""Fields: each as it is kept, with its limits checked against its type. Where it is computed from comes later."""

from collections.abc import Iterator, Mapping, Sequence

from headgate.core.entity import DELIMITER, LARGEST_INTEGER, MOST_DIGITS, SMALLEST_INTEGER, Field, Kind
from headgate.core.kinds import explain, text_of
from headgate.core.nearest import nearest
from headgate.errors import Problem
from headgate.spec.entities.grammar import FieldSpec, OverrideSpec
from headgate.spec.entities.inherit import Placed, Whole
from headgate.spec.entities.names import is_reserved, kind_of
from headgate.spec.tree import Mark, quoted

_LIMITS: Mapping[str, tuple[Kind, str]] = {
    "max_length": (Kind.TEXT, "texts"),
    "min_length": (Kind.TEXT, "texts"),
    "enum": (Kind.TEXT, "texts"),
    "precision": (Kind.DECIMAL, "decimals"),
    "scale": (Kind.DECIMAL, "decimals"),
    "minimum": (Kind.INTEGER, "integers"),
    "maximum": (Kind.INTEGER, "integers"),
}


def fields_of(whole: Whole, problems: list[Problem]) -> tuple[Field, ...]:
    """The fields of an entity: those that are kept in the order of its overrides, if it has any, then the others."""
    by_name = {placed.spec.name: placed for placed in whole.fields}
    overrides = {placed.spec.name: placed for placed in whole.overrides}
    problems.extend(_twice(whole.fields, "field", "name") or _twice(whole.fields, "column", "column"))
    problems.extend(_twice(whole.overrides, "override", "name"))
    for name, override in overrides.items():
        if name not in by_name:
            problems.append(override.at("name").problem(f"there is no field {quoted(name)}{nearest(name, by_name)}"))
    order = [*(name for name in overrides if name in by_name), *(name for name in by_name if name not in overrides)]
    stored = set(overrides or by_name)
    return tuple(_field(by_name[name], overrides.get(name), name in stored, problems) for name in order)


def _twice(parts: Sequence[Placed[FieldSpec]] | Sequence[Placed[OverrideSpec]], what: str, key: str) -> list[Problem]:
    first: dict[str, Mark] = {}
    found: list[Problem] = []
    for placed in parts:
        given = getattr(placed.spec, key)
        name, mark = given or placed.spec.name, placed.at(key if given else "name")
        if name.lower() in first:
            line = first[name.lower()].line
            message = f"the {what} {quoted(name)} stands on line {line} already; a table does not tell a from A"
            found.append(mark.problem(message))
        first.setdefault(name.lower(), mark)
    return found


def _field(
    placed: Placed[FieldSpec], override: Placed[OverrideSpec] | None, stored: bool, problems: list[Problem]
) -> Field:
    spec = placed.spec
    kind = kind_of((override and override.spec.type) or spec.type)
    said = override.spec.nullable if override else None
    nullable = spec.nullable if said is None else said
    field = Field(
        name=spec.name,
        kind=kind,
        column=spec.column or spec.name,
        nullable=nullable,
        min_length=spec.min_length or 0,
        max_length=spec.max_length,
        precision=_precision(spec),
        scale=spec.scale or 0,
        minimum=SMALLEST_INTEGER if spec.minimum is None else spec.minimum,
        maximum=LARGEST_INTEGER if spec.maximum is None else spec.maximum,
        choices=tuple(spec.enum or ()),
        constant=None if spec.constant is None else text_of(spec.constant),
        stored=stored,
        index=spec.index,
        doc=spec.doc,
    )
    found = list(_problems(placed, field))
    problems.extend(found)
    if spec.constant is not None and not found and (wrong := explain(field, field.constant or "")):
        problems.append(placed.at("constant").problem(f"the constant {wrong}"))
    return field


def _precision(spec: FieldSpec) -> int | None:
    return MOST_DIGITS if spec.precision is None and spec.scale is not None else spec.precision


def _problems(placed: Placed[FieldSpec], field: Field) -> Iterator[Problem]:
    spec = placed.spec
    for key, (kind, words) in _LIMITS.items():
        if getattr(spec, key) is not None and field.kind is not kind:
            yield placed.at(key).problem(
                f"{key} is for {words}, and {quoted(field.name)} is of type {field.kind.value}"
            )
    if field.stored and is_reserved(field.column):
        message = f"{quoted(field.column)} is a reserved word of SQL: give the field another column"
        yield placed.at("column" if spec.column else "name").problem(message)
    if field.precision is not None and field.scale > field.precision:
        yield placed.at("scale").problem(f"a scale of {field.scale} does not fit in a precision of {field.precision}")
    if field.minimum > field.maximum:
        yield placed.at("maximum").problem(f"no integer lies between {field.minimum} and {field.maximum}")
    if field.max_length is not None and field.min_length > field.max_length:
        yield placed.at("min_length").problem(f"no text has {field.min_length} to {field.max_length} characters")
    if spec.constant is not None and spec.computed_from is not None:
        yield placed.at("constant").problem("a field is constant or computed, not both")
    if spec.primary_key and field.nullable:
        yield placed.at("primary_key").problem("what belongs to the primary key cannot be nullable")
    yield from _choices(placed, field)


def _choices(placed: Placed[FieldSpec], field: Field) -> Iterator[Problem]:
    for at, choice in enumerate(field.choices):
        mark = placed.at("enum", at)
        if not choice or any(character in choice for character in f"{DELIMITER}\n\r\0"):
            yield mark.problem(f"{quoted(choice)} cannot stand in a message")
        elif choice in field.choices[:at]:
            yield mark.problem(f"{quoted(choice)} stands there already")
        elif not field.min_length <= len(choice) <= (field.max_length or len(choice)):
            yield mark.problem(f"{quoted(choice)} has another length than the field allows")
