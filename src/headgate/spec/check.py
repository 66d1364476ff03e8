"""Checking: a tree against the grammar. Every mistake becomes a problem, in plain words, at its place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from headgate.errors import Problem
from headgate.spec.scalar import resolve
from headgate.spec.schema import Document
from headgate.spec.tree import (
    Edits,
    Mark,
    Node,
    Path,
    Scalar,
    data,
    edited,
    find,
    key_mark,
    scalars,
    value_mark,
)
from headgate.spec.values import Spec
from headgate.spec.words import NUMERIC, Mistake, message

S = TypeVar("S", bound=Spec)

MOST_PROBLEMS = 100

_INTERFACES = ("runtime", "web", "interfaces")

# What is left out of the further checks when something inside it is wrong.
_UNITS = (
    ("streams", "*"),
    ("nodes", "*"),
    ("connections", "*"),
    (*_INTERFACES, "*"),
    ("runtime", "platform", "process_groups", "*"),
    ("runtime", "platform", "*"),
    ("runtime", "*"),
    ("*",),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What is sound of a tree, as a document, and what is wrong with the rest."""

    document: Document
    tree: Node
    problems: tuple[Problem, ...]
    untold: int  # how many problems there are beyond these


def check(tree: Node) -> Checked:
    """Read a tree as a document. What is wrong is left out, so that the rest can be checked further."""
    tree = _retyped(tree, _mistakes(tree))
    mistakes = [mistake for mistake in _mistakes(tree) if not _is_broken(find(tree, mistake.path))]
    wrong = [
        *(mistake.path for mistake in mistakes),
        *(path for path, scalar in scalars(tree) if scalar.broken),
    ]
    sound = edited(tree, {_unit(path): None for path in wrong})
    told = tuple(_problems(tree, mistakes))
    return Checked(Document.model_validate(data(sound)), sound, told, len(mistakes) - len(told))


def read(tree: Node, grammar: type[S]) -> S | tuple[Problem, ...]:
    """A tree of another grammar, or all that is wrong with it."""
    if mistakes := _mistakes(tree, grammar):
        return tuple(_problems(tree, mistakes))
    return grammar.model_validate(data(tree))


def _mistakes(tree: Node, grammar: type[Spec] = Document) -> list[Mistake]:
    # No URL and no input: what pydantic would print may hold a secret.
    errors: list[ErrorDetails] = []
    try:
        grammar.model_validate(data(tree))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    return [Mistake(_path(tree, error["loc"]), error["type"], error.get("ctx", {}), grammar) for error in errors]


def _path(tree: Node, location: Path) -> Path:
    # After an interface's number comes the kind that it was read as, which is no key.
    if location[:3] == _INTERFACES and len(location) > 4:
        location = (*location[:4], *location[5:])
    # `codec: json` is read as {name: json}, and `input: a` as [a]: the place is the scalar itself.
    ends = (end for end in range(len(location)) if isinstance(find(tree, location[:end]), Scalar))
    return location[: next(ends, len(location))]


def _retyped(tree: Node, mistakes: Iterable[Mistake]) -> Node:
    """`port: ${PORT}` is text until something else is wanted; then it is read as YAML reads it."""
    edits: Edits = {}
    for mistake in mistakes:
        node = find(tree, mistake.path)
        if mistake.kind in NUMERIC and isinstance(node, Scalar) and node.retypable:
            edits[mistake.path] = _as_yaml(node)
    return edited(tree, edits) if edits else tree


def _as_yaml(node: Scalar) -> Scalar:
    value = resolve(node.text)
    return replace(node, value=node.text if value is None else value)


def _is_broken(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.broken


def _unit(path: Path) -> Path:
    fits = (
        pattern
        for pattern in _UNITS
        if len(path) >= len(pattern) and all(p in ("*", s) for p, s in zip(pattern, path, strict=False))
    )
    return path[: len(next(fits))]


def _problems(tree: Node, mistakes: list[Mistake]) -> Iterator[Problem]:
    # Finding the nearest word takes time: past so many, nobody reads on.
    placed = sorted(((_mark(tree, mistake), mistake) for mistake in mistakes), key=lambda pair: _order(pair[0]))
    for mark, mistake in placed[:MOST_PROBLEMS]:
        yield mark.problem(message(tree, mistake))


def _order(mark: Mark) -> tuple[str, int, int]:
    return mark.file, mark.line, mark.column


def _mark(tree: Node, mistake: Mistake) -> Mark:
    if mistake.kind == "extra_forbidden":
        return key_mark(tree, mistake.path)
    if mistake.kind == "missing":
        return key_mark(tree, mistake.path[:-1])
    if mistake.kind.startswith("union_tag") and find(tree, (*mistake.path, "kind")):
        return value_mark(tree, (*mistake.path, "kind"))
    return value_mark(tree, mistake.path)
