"""Parents: what an entity comes out of, and that every one of its computed fields can."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from headgate.core.entity import Computed, Derivation, Entity, Field, Kind, Transform
from headgate.core.nearest import nearest
from headgate.errors import Problem
from headgate.spec.entities.build import Built
from headgate.spec.entities.grammar import ComputedFromSpec, FieldSpec, RepeatedForSpec
from headgate.spec.entities.inherit import Placed
from headgate.spec.tree import Mark, Path, quoted


@dataclass(frozen=True, slots=True)
class _Parent:
    """A parent, as the file names it."""

    entity: str
    alias: str
    mark: Mark


# What a source may stand for: the record of an entity with these fields, or an item of a list.
_Origins = Mapping[str, tuple[str, Mapping[str, Field] | None]]


def with_parents(built: Built, known: Mapping[str, Built], names: frozenset[str], problems: list[Problem]) -> Entity:
    """The entity with what it comes out of, if `problems` stay as they are. `names` are all that files declare."""
    parents = list(_parents(built))
    computed = [placed for placed in built.whole.fields if placed.spec.computed_from]
    for parent in parents:
        if parent.entity not in names:
            hint = nearest(parent.entity, names)
            problems.append(parent.mark.problem(f"there is no entity {quoted(parent.entity)}{hint}"))
    if any(parent.entity not in known for parent in parents):
        return built.entity
    if not parents:
        message = "this entity names no parent to compute it from"
        problems.extend(placed.at("computed_from").problem(message) for placed in computed)
        return built.entity
    line = _line(parents[-1].entity, known)
    if built.entity.name in line:
        problems.append(parents[-1].mark.problem(f"{' <- '.join([built.entity.name, *line])}: it comes out of itself"))
        return built.entity
    problems.extend(
        parent.mark.problem(f"{quoted(parent.entity)} is no ancestor of {quoted(line[0])}: one record has one line")
        for parent in parents
        if parent.entity not in line
    )
    if not computed and _repeated(built) is None:
        return built.entity  # it comes in messages of its own
    return _derived(built, parents, [known[name] for name in line], problems)


def _parents(built: Built) -> Iterator[_Parent]:
    """The parents that an entity names, from the oldest to the one whose record it comes out of."""
    written = built.whole.written
    block, path = written.spec.derivation or written.spec, _block(built)
    for at, named in enumerate(block.parents):
        entity = named.entity or named.type or named.name or ""
        yield _Parent(entity, named.name or entity, written.at(*path, "parents", at))
    if block.parent is not None:
        yield _Parent(block.parent, block.parent, written.at(*path, "parent"))
    if block.repeated_for is not None:
        entity = block.repeated_for.entity
        yield _Parent(entity, entity, written.at(*path, "repeated_for", "entity"))


def _block(built: Built) -> Path:
    return ("derivation",) if built.whole.written.spec.derivation else ()


def _repeated(built: Built) -> RepeatedForSpec | None:
    spec = built.whole.written.spec
    return (spec.derivation or spec).repeated_for


def _line(name: str, known: Mapping[str, Built]) -> list[str]:
    """An entity and its ancestors, the youngest first. A circle ends where it closes."""
    line = [name]
    while parents := list(_parents(known[line[-1]])):
        if parents[-1].entity in line or parents[-1].entity not in known:
            break
        line.append(parents[-1].entity)
    return line


def _derived(built: Built, parents: list[_Parent], line: list[Built], problems: list[Problem]) -> Entity:
    origins = _origins(built, parents, line)
    fields = {placed.spec.name: placed for placed in built.whole.fields}
    computed = tuple(_computed(field, fields[field.name], origins, problems) for field in built.entity.fields)
    for field in computed:
        # What is wrong with the source of a field is told already.
        if fields[field.name].spec.computed_from is None and field.constant is None and not field.nullable:
            message = f"{quoted(field.name)} must be computed, constant or nullable: this entity comes out of another"
            problems.append(fields[field.name].at("name").problem(message))
    derivation = _derivation(built, line[0], problems)
    by_name = {field.name: field for field in computed}
    layouts = tuple(
        replace(layout, fields=tuple(by_name[field.name] for field in layout.fields)) for layout in built.entity.layouts
    )
    return replace(built.entity, fields=computed, layouts=layouts, derivation=derivation)


def _derivation(built: Built, parent: Built, problems: list[Problem]) -> Derivation:
    repeated = _repeated(built)
    if repeated is None:
        return Derivation(parent.entity.name)
    fields = {field.name: field for field in parent.entity.fields}
    mark = built.whole.written.at(*_block(built), "repeated_for", "field")
    if repeated.field not in fields:
        hint = nearest(repeated.field, fields)
        problems.append(mark.problem(f"{parent.entity.name} has no field {quoted(repeated.field)}{hint}"))
    elif fields[repeated.field].kind is not Kind.OBJECT_LIST:
        problems.append(mark.problem(f"{quoted(repeated.field)} of {parent.entity.name} is no List[Object]"))
    return Derivation(parent.entity.name, repeated.field, repeated.each_known_as)


def _origins(built: Built, parents: list[_Parent], line: list[Built]) -> _Origins:
    origins: dict[str, tuple[str, Mapping[str, Field] | None]] = {}
    for ancestor in line:
        origins[ancestor.entity.name] = ancestor.entity.name, {field.name: field for field in ancestor.entity.fields}
    for parent in parents:
        if parent.entity in origins:
            origins[parent.alias] = origins[parent.entity]
    origins["parent"] = origins[line[0].entity.name]
    for made in (built, *line):
        if (repeated := _repeated(made)) is not None:
            origins[repeated.each_known_as] = repeated.each_known_as, None
    return origins


def _computed(field: Field, placed: Placed[FieldSpec], origins: _Origins, problems: list[Problem]) -> Field:
    spec = placed.spec.computed_from
    if spec is None:
        return field
    if wrong := _wrong(spec, origins):
        path, message = wrong
        problems.append(placed.at("computed_from", *path).problem(message))
        return field
    source = spec.sources[0]
    key = spec.args.key if spec.args else None
    steps = tuple(step for step in (source.field, key) if step is not None)
    return replace(field, computed=Computed(Transform(spec.transform), origins[source.source][0], steps))


def _wrong(spec: ComputedFromSpec, origins: _Origins) -> tuple[Path, str] | None:
    """What is wrong with where a field is computed from, and where that stands."""
    source = spec.sources[0]
    key = spec.args.key if spec.args else None
    place: Path = ("sources", 0)
    if source.source not in origins:
        return (
            place,
            f"{quoted(source.source)} is no parent and no item of this entity{nearest(source.source, origins)}",
        )
    entity, fields = origins[source.source]
    if fields is not None and source.field is None:
        return place, f"say which field of {entity} it is: {{source: {source.source}, field: ...}}"
    if fields is not None and source.field not in fields:
        return (
            *place,
            "field",
        ), f"{entity} has no field {quoted(source.field or '')}{nearest(source.field or '', fields)}"
    copies = Transform(spec.transform) is Transform.COPY_FIELD
    if copies == (key is not None):
        return ("transform",), f"{spec.transform} takes {'no key' if copies else 'a key: args: {key: ...}'}"
    if fields is not None and not copies and fields[source.field or ""].kind not in (Kind.JSON, Kind.OBJECT):
        return (*place, "field"), f"{quoted(source.field or '')} of {entity} is no JSON object to take a key from"
    return None
