"""Resolving: files of record layouts become entities, or every problem that they have."""

from collections.abc import Iterable
from pathlib import Path

from headgate.core.entity import Entity
from headgate.errors import Problem
from headgate.spec.entities import rules
from headgate.spec.entities.build import build
from headgate.spec.entities.inherit import inherit
from headgate.spec.entities.parents import with_parents
from headgate.spec.entities.read import Files, read
from headgate.spec.tree import Mark


def load_entities(places: Iterable[tuple[Path, Mark]]) -> tuple[tuple[Entity, ...], tuple[Problem, ...]]:
    """The entities of files and folders, each given with the place that names it; and what is wrong with them.

    Those that are there for others to extend are not among them. With problems, the entities mean nothing.
    """
    return resolve_entities(read(places))


def resolve_entities(files: Files) -> tuple[tuple[Entity, ...], tuple[Problem, ...]]:
    """The entities of what was read."""
    problems = [*files.problems, *rules.names(files.written)]
    wholes = inherit(files, problems)
    built = [build(whole, problems) for whole in wholes if not whole.written.spec.abstract]
    problems += rules.clashes(built)
    problems += rules.foreign_keys(built, files)
    known = {made.entity.name: made for made in built}
    entities = tuple(with_parents(made, known, files.names, problems) for made in built)
    return entities, tuple(dict.fromkeys(problems))
