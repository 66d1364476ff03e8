"""Building: an entity with all that it inherits gets its fields, the layouts of its messages and its table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headgate.core.entity import Entity, Field, ForeignKey, Kind, Layout, Storage
from headgate.core.nearest import nearest
from headgate.errors import Problem
from headgate.spec.entities.fields import fields_of
from headgate.spec.entities.grammar import EntitySpec, ForeignKeySpec, PrimaryKeySpec
from headgate.spec.entities.inherit import Placed, Whole
from headgate.spec.entities.names import is_reserved, kind_of
from headgate.spec.tree import Mark, quoted


@dataclass(frozen=True, slots=True)
class Built:
    """An entity, but for what it comes out of; and what it was built from."""

    entity: Entity
    whole: Whole


def build(whole: Whole, problems: list[Problem]) -> Built:
    """The entity, if `problems` stay as they are."""
    fields = fields_of(whole, problems)
    spec = whole.written.spec
    name = spec.name
    kinds = [kind for kind in (spec.type, spec.source_type) if kind is not None]
    if len(kinds) == 2:
        problems.append(whole.written.at("source_type").problem("type and source_type are the same: leave one out"))
    layouts = tuple(_layouts(whole, fields, problems))
    storage = _storage(whole, fields, problems)
    kind = kinds[0] if kinds else "derived" if has_parents(spec) else "root"
    return Built(Entity(name, kind, fields, layouts, storage, doc=spec.doc), whole)


def has_parents(spec: EntitySpec) -> bool:
    """Whether the file says what an entity comes out of."""
    return bool(spec.parent or spec.parents or spec.repeated_for or spec.derivation)


def _layouts(whole: Whole, fields: Sequence[Field], problems: list[Problem]) -> Iterator[Layout]:
    spec = whole.written.spec
    constants = tuple(field for field in fields if field.stored and field.constant is not None)
    carried = {field.name: field for field in fields if field.stored and field.constant is None}
    if not carried:
        problems.append(whole.written.at("name").problem(f"{quoted(spec.name)} has no field that a message carries"))
        return
    if spec.prefix or not spec.layouts:
        yield Layout(spec.name, spec.prefix or spec.name[0], tuple(carried.values()), constants)
    for at, layout in enumerate(spec.layouts):
        path = ("layouts", at, "fields")
        for index, name in enumerate(layout.fields):
            mark = whole.written.at(*path, index)
            if name not in carried:
                hint = nearest(name, carried)
                problems.append(mark.problem(f"no message of {spec.name} carries a field {quoted(name)}{hint}"))
            elif name in layout.fields[:index]:
                problems.append(mark.problem(f"{quoted(name)} stands in this layout already"))
        if lacking := [n for n, field in carried.items() if n not in layout.fields and not field.nullable]:
            message = f"this layout lacks {', '.join(map(quoted, lacking))}, which cannot be null"
            problems.append(whole.written.at(*path).problem(message))
        present = tuple(carried[name] for name in layout.fields if name in carried)
        yield Layout(spec.name, layout.prefix, present, constants)


def _storage(whole: Whole, fields: Sequence[Field], problems: list[Problem]) -> Storage | None:
    persistence = whole.written.spec.persistence
    if persistence is None or persistence.database is None:
        return None
    stored = {field.name: field for field in fields if field.stored}
    columns = {name: field.column for name, field in stored.items()}
    generated = whole.primary_key is not None and whole.primary_key.spec.autogenerate
    primary_key = _primary_key(whole, stored, problems)
    return Storage(
        persistence.database.conformant_table,
        primary_key,
        generated,
        tuple(
            columns[name.spec] for name in whole.unicity if _is_stored(name.spec, name.at(), "kept", stored, problems)
        ),
        tuple(
            _foreign_key(key, columns)
            for key in whole.foreign_keys
            if all(_is_stored(name, key.at("name"), "kept", stored, problems) for name in key.spec.name)
        ),
    )


def _primary_key(whole: Whole, stored: dict[str, Field], problems: list[Problem]) -> tuple[str, ...]:
    flagged = [placed for placed in whole.fields if placed.spec.primary_key and placed.spec.name in stored]
    columns = tuple(stored[placed.spec.name].column for placed in flagged)
    named = _named_key(whole, stored, problems)
    if named and columns and named != columns:
        message = f"the primary key is {', '.join(map(quoted, named))} elsewhere in this entity"
        problems.append(flagged[0].at("primary_key").problem(message))
    return named or columns


def _named_key(whole: Whole, stored: dict[str, Field], problems: list[Problem]) -> tuple[str, ...]:
    """The primary key that the block `persistence` names."""
    key, column = whole.primary_key, whole.id_column
    if key is None:
        if column is None or not _is_key(column.spec, column.at(), stored, problems):
            return ()
        return (stored[column.spec].column,)
    name = key.spec.name
    if column is not None and column.spec != name:
        problems.append(column.at().problem(f"the primary key is {quoted(name)}, not {quoted(column.spec)}"))
    if key.spec.autogenerate:
        return _generated_key(key, name, stored, problems)
    return (stored[name].column,) if _is_key(name, key.at("name"), stored, problems) else ()


def _generated_key(
    key: Placed[PrimaryKeySpec], name: str, stored: dict[str, Field], problems: list[Problem]
) -> tuple[str, ...]:
    if is_reserved(name):
        problems.append(key.at("name").problem(f"{quoted(name)} is a reserved word of SQL"))
    if kind_of(key.spec.type) is not Kind.INTEGER:
        problems.append(key.at("type").problem("what the database counts up is an Integer"))
    if name.lower() in (field.column.lower() for field in stored.values()):
        message = f"{quoted(name)} is a field that messages carry: the database cannot count it up as well"
        problems.append(key.at("name").problem(message))
    return (name,)


def _is_key(name: str, mark: Mark, stored: dict[str, Field], problems: list[Problem]) -> bool:
    if not _is_stored(name, mark, "kept; if the database is to count it up, say autogenerate: true", stored, problems):
        return False
    if stored[name].nullable:
        problems.append(mark.problem(f"{quoted(name)} is nullable and cannot be the primary key"))
    return True


def _is_stored(name: str, mark: Mark, words: str, stored: dict[str, Field], problems: list[Problem]) -> bool:
    if name in stored:
        return True
    problems.append(mark.problem(f"there is no field {quoted(name)} that is {words}{nearest(name, stored)}"))
    return False


def _foreign_key(key: Placed[ForeignKeySpec], columns: dict[str, str]) -> ForeignKey:
    tables, references = zip(*(reference.split(".") for reference in key.spec.references), strict=True)
    return ForeignKey(tuple(columns[name] for name in key.spec.name), tables[0], tuple(references))
