"""Reading: files and folders become entities as written, each checked by the grammar of its dialect."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import Problem
from headgate.spec import check
from headgate.spec.entities import v1
from headgate.spec.entities.grammar import EntityFile, EntitySpec
from headgate.spec.files import yaml_files
from headgate.spec.load import load_tree
from headgate.spec.tree import Mark, Node, Scalar, find, value_mark

_NAMES = (("entity", "name"), ("metadata", "name"))
_TABLES = (("entity", "persistence", "database", "conformant_table"), ("spec", "persistence", "table"))


@dataclass(frozen=True, slots=True)
class Written:
    """An entity as its file says it, in the classic dialect, with the places of what it says."""

    spec: EntitySpec
    tree: Node

    @property
    def name(self) -> str:
        return self.spec.name

    def at(self, *path: str | int) -> Mark:
        """Where the value at a path of the entity stands."""
        return value_mark(self.tree, ("entity", *path))


@dataclass(frozen=True, slots=True)
class Files:
    """What was read. The names and tables of those with a mistake in them count as declared, too."""

    written: tuple[Written, ...]
    problems: tuple[Problem, ...]
    names: frozenset[str]
    tables: frozenset[str]


def read(places: Iterable[tuple[Path, Mark]]) -> Files:
    """The entities of files and folders, each with the place that names it."""
    written: list[Written] = []
    problems: list[Problem] = []
    trees: list[Node] = []
    for path, mark in places:
        for file in yaml_files(path, mark, problems):
            tree, wrong = load_tree(file)
            problems.extend(wrong)
            if tree is not None:
                trees.append(tree)
                written.extend(_written(tree, problems))
    return Files(tuple(written), tuple(problems), _texts(trees, _NAMES), _texts(trees, _TABLES))


def _written(tree: Node, problems: list[Problem]) -> Iterator[Written]:
    if find(tree, ("apiVersion",)) is not None:
        resource = check.read(tree, v1.EntityV1File)
        if isinstance(resource, tuple):
            problems.extend(resource)
            return
        tree = v1.classic(tree)
    file = check.read(tree, EntityFile)
    if isinstance(file, tuple):
        problems.extend(file)
    else:
        yield Written(file.entity, tree)


def _texts(trees: Iterable[Node], paths: Iterable[tuple[str, ...]]) -> frozenset[str]:
    found = (find(tree, path) for tree in trees for path in paths)
    return frozenset(node.text for node in found if isinstance(node, Scalar))
