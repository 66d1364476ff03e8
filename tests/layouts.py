"""Entities for tests: some made in place, and those of the TPC-H example."""

from pathlib import Path

from headgate.core.entity import Entity, Field, Kind, Layout, Storage
from headgate.spec.entities.resolve import load_entities
from headgate.spec.tree import Mark

EXAMPLE = Path(__file__).parents[1] / "examples" / "tpch-ingest" / "entities"


def field(name: str, kind: Kind, **facts: object) -> Field:
    """A field whose column has its name."""
    return Field(name, kind, name, **facts)  # type: ignore[arg-type]


def entity(name: str, prefix: str, *fields: Field, storage: Storage | None = None) -> Entity:
    """A root entity with one layout that carries all its fields."""
    carried = tuple(f for f in fields if f.stored and f.constant is None)
    constants = tuple(f for f in fields if f.stored and f.constant is not None)
    return Entity(name, "root", fields, (Layout(name, prefix, carried, constants),), storage)


def read_entities(folder: Path) -> dict[str, Entity]:
    """The entities of a folder that is in order."""
    entities, problems = load_entities([(folder, Mark("headgate.yaml"))])
    assert not problems
    return {found.name: found for found in entities}


TPCH = read_entities(EXAMPLE)
