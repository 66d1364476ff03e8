"""Inheriting: what an entity has of those that it extends becomes its own, and keeps its place in their files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from headgate.core.nearest import nearest
from headgate.errors import Problem
from headgate.spec.entities.grammar import FieldSpec, ForeignKeySpec, OverrideSpec, PrimaryKeySpec
from headgate.spec.entities.read import Files, Written
from headgate.spec.tree import Mark, Path, quoted

T = TypeVar("T")
N = TypeVar("N", FieldSpec, OverrideSpec)


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A part of an entity, and where it stands: maybe in the file of another."""

    spec: T
    home: Written
    path: Path

    def at(self, *path: str | int) -> Mark:
        return self.home.at(*self.path, *path)


@dataclass(frozen=True, slots=True)
class Whole:
    """An entity with all that it inherits."""

    written: Written
    fields: tuple[Placed[FieldSpec], ...]
    overrides: tuple[Placed[OverrideSpec], ...] = ()
    unicity: tuple[Placed[str], ...] = ()
    foreign_keys: tuple[Placed[ForeignKeySpec], ...] = ()
    primary_key: Placed[PrimaryKeySpec] | None = None
    id_column: Placed[str] | None = None


def inherit(files: Files, problems: list[Problem]) -> list[Whole]:
    """All entities with what they inherit, but those whose line of ancestors is broken."""
    written = {entity.name: entity for entity in files.written}
    wholes: dict[str, Whole] = {}
    for entity in files.written:
        line = _line(entity, written, files, problems)
        whole: Whole | None = None
        for ancestor in line:
            whole = _extended(whole, _own(ancestor))
        if whole is not None:
            wholes[entity.name] = whole
    return list(wholes.values())


def _line(entity: Written, written: Mapping[str, Written], files: Files, problems: list[Problem]) -> list[Written]:
    """An entity after its ancestors, the oldest first; nothing when the line is broken."""
    line = [entity]
    while (extends := line[0].spec.extends) is not None:
        mark = line[0].at("extends")
        if extends in (ancestor.name for ancestor in line):
            if extends == entity.name:  # the others of the circle, and who extends one of them, say it themselves
                circle = " -> ".join([*(ancestor.name for ancestor in reversed(line)), extends])
                problems.append(entity.at("extends").problem(f"{circle}: an entity cannot extend itself"))
            return []
        if extends not in written:
            if extends not in files.names:
                hint = nearest(extends, files.names)
                problems.append(mark.problem(f"there is no entity {quoted(extends)} to extend{hint}"))
            return []
        line.insert(0, written[extends])
    return line


def _own(entity: Written) -> Whole:
    persistence = entity.spec.persistence
    if persistence is None:
        return Whole(entity, _placed(entity.spec.fields, entity, ("fields",)))
    database, key = persistence.database, persistence.primary_key
    above: Path = ("persistence", "database")
    column = database and database.conformant_id_column
    return Whole(
        entity,
        _placed(entity.spec.fields, entity, ("fields",)),
        _placed(persistence.field_overrides, entity, ("persistence", "field_overrides")),
        _placed(database.unicity_fields if database else (), entity, (*above, "unicity_fields")),
        _placed(database.foreign_keys if database else (), entity, (*above, "foreign_keys")),
        Placed(key, entity, ("persistence", "primary_key")) if key else None,
        Placed(column, entity, (*above, "conformant_id_column")) if column else None,
    )


def _placed(specs: Sequence[T], home: Written, path: Path) -> tuple[Placed[T], ...]:
    return tuple(Placed(spec, home, (*path, at)) for at, spec in enumerate(specs))


def _extended(base: Whole | None, own: Whole) -> Whole:
    if base is None:
        return own
    return Whole(
        own.written,
        tuple(_merged(base.fields, own.fields)),
        tuple(_merged(base.overrides, own.overrides)),
        own.unicity or base.unicity,
        base.foreign_keys + own.foreign_keys,
        own.primary_key or base.primary_key,
        own.id_column or base.id_column,
    )


def _merged(base: Sequence[Placed[N]], own: Sequence[Placed[N]]) -> Iterator[Placed[N]]:
    """The inherited ones in their order, each as the heir says it if it does; then what is new."""
    said = {part.spec.name: part for part in own}
    inherited = {part.spec.name for part in base}
    yield from (said.get(part.spec.name, part) for part in base)
    yield from (part for part in own if part.spec.name not in inherited)
