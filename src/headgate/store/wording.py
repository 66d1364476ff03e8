"""The wording: how the refusals of a database are told, the same for all of them."""

from collections.abc import Mapping, Sequence

from headgate.core.entity import Entity, Fault

_LONGEST = 100  # characters of a value


def foreign_key(entity: Entity, number: int, columns: Sequence[str], values: Mapping[str, str]) -> Fault:
    """A row refers to one that is not there."""
    return _fault(f"Foreign key violation: {_pairs(entity, columns, values)} not found", entity, number, columns)


def duplicate(entity: Entity, number: int, columns: Sequence[str], values: Mapping[str, str]) -> Fault:
    """A row's key is there already."""
    return _fault(f"Duplicate: {_pairs(entity, columns, values)} exists already", entity, number, columns)


def other(entity: Entity, number: int, message: str, column: str | None = None) -> Fault:
    """Something else that the database says, maybe about one column."""
    return Fault(message.split("\n")[0], number, entity.name, _names(entity).get(column or ""))


def _fault(message: str, entity: Entity, number: int, columns: Sequence[str]) -> Fault:
    return Fault(message, number, entity.name, _names(entity).get(columns[0]) if len(columns) == 1 else None)


def _pairs(entity: Entity, columns: Sequence[str], values: Mapping[str, str]) -> str:
    names = _names(entity)
    return ", ".join(f"{names.get(column, column)}={_cut(values.get(column, ''))}" for column in columns)


def _names(entity: Entity) -> dict[str, str]:
    return {field.column: field.name for field in entity.fields}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
