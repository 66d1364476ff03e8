"""Rules between entities: names and prefixes that clash, and foreign keys that lead nowhere."""

from collections.abc import Iterator, Mapping, Sequence

from headgate.core.entity import Entity, Kind
from headgate.core.nearest import nearest
from headgate.core.table import in_order
from headgate.errors import Problem, SchemaRefusal
from headgate.spec.entities.build import Built
from headgate.spec.entities.grammar import ForeignKeySpec
from headgate.spec.entities.inherit import Placed
from headgate.spec.entities.read import Files, Written
from headgate.spec.tree import Mark, quoted

_TABLE = ("persistence", "database", "conformant_table")


def names(written: Sequence[Written]) -> Iterator[Problem]:
    """Entities of the same name."""
    yield from _clashes([(entity.name, entity.at("name"), entity.name) for entity in written], "an entity is called")


def clashes(built: Sequence[Built]) -> Iterator[Problem]:
    """Prefixes and tables that two entities share."""
    yield from _clashes(list(_prefixes(built)), "messages begin with")
    tables = [
        (made.entity.storage.table.lower(), made.whole.written.at(*_TABLE), made.entity.name)
        for made in built
        if made.entity.storage
    ]
    yield from _clashes(tables, "records are kept in a table")


def foreign_keys(built: Sequence[Built], files: Files) -> Iterator[Problem]:
    """Foreign keys whose table or column is not there, or is no key, or of another type; and those in a circle."""
    tables = {made.entity.storage.table: made.entity for made in built if made.entity.storage}
    found = [
        problem
        for made in built
        if made.entity.storage
        for key in made.whole.foreign_keys
        for problem in _foreign_key(made.entity, key, tables, files.tables)
    ]
    yield from found
    if not found:
        yield from _circle(built)


def _prefixes(built: Sequence[Built]) -> Iterator[tuple[str, Mark, str]]:
    for made in built:
        written = made.whole.written
        given = len(made.entity.layouts) - len(written.spec.layouts)
        for at, layout in enumerate(made.entity.layouts):
            path = (
                ("layouts", at - given, "prefix") if at >= given else ("prefix",) if written.spec.prefix else ("name",)
            )
            yield layout.prefix, written.at(*path), made.entity.name


def _clashes(named: Sequence[tuple[str, Mark, str]], what: str) -> Iterator[Problem]:
    first: dict[str, tuple[Mark, str]] = {}
    for name, mark, entity in named:
        if name in first:
            other, owner = first[name]
            place = f"{other.file}:{other.line}"
            yield mark.problem(
                f"{what} {quoted(name)} for {entity} and for {owner} ({place}): each needs one of its own"
            )
        first.setdefault(name, (mark, entity))


def _foreign_key(
    entity: Entity, key: Placed[ForeignKeySpec], tables: Mapping[str, Entity], declared: frozenset[str]
) -> Iterator[Problem]:
    mark = key.at("references")
    pairs = [reference.split(".") for reference in key.spec.references]
    table = pairs[0][0]
    if len(pairs) != len(key.spec.name) or any(other != table for other, _ in pairs):
        yield mark.problem("a foreign key names as many columns of one other table as it has fields")
    elif table not in tables:
        if table not in declared:
            yield mark.problem(f"there is no table {quoted(table)}{nearest(table, tables)}")
    else:
        yield from _references(entity, key, tables[table], tuple(column for _, column in pairs))


def _references(
    entity: Entity, key: Placed[ForeignKeySpec], other: Entity, columns: tuple[str, ...]
) -> Iterator[Problem]:
    mark, storage = key.at("references"), other.storage
    assert storage is not None
    kinds = {field.column: field.kind for field in other.stored}
    if storage.generated:
        kinds[storage.primary_key[0]] = Kind.INTEGER
    if missing := [column for column in columns if column not in kinds]:
        yield mark.problem(f"{storage.table} has no column {quoted(missing[0])}{nearest(missing[0], kinds)}")
        return
    if set(columns) not in (set(storage.primary_key), set(storage.unique)):
        words = f"{', '.join(map(quoted, columns))} of {storage.table} is neither its primary key nor its unicity"
        yield mark.problem(f"{words}: more than one row may have the same")
    own = {field.name: field.kind for field in entity.fields}
    for name, column in zip(key.spec.name, columns, strict=True):
        if name in own and own[name] is not kinds[column]:
            yield mark.problem(
                f"{quoted(name)} is {own[name].value}, and {storage.table}.{column} is {kinds[column].value}"
            )


def _circle(built: Sequence[Built]) -> Iterator[Problem]:
    kept = [made for made in built if made.entity.storage]
    try:
        in_order([made.entity for made in kept])
    except SchemaRefusal as refusal:
        placed = next(made for made in kept if made.whole.foreign_keys)
        yield placed.whole.foreign_keys[0].at("references").problem(f"{refusal}: no table can be filled first")
