"""Words: what a mistake in a configuration is called, in plain language, with the nearest known word."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from headgate.core.nearest import nearest
from headgate.spec.interfaces import KINDS
from headgate.spec.scalar import resolve
from headgate.spec.schema import Document
from headgate.spec.tree import Mapping, Node, Path, Scalar, child, dotted, find, quoted, show
from headgate.spec.values import Spec

_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or less",
    "expected": "{words}",
    "hidden": "{words}",
}
_EMPTY = "write {} for the defaults (null removes what an earlier file says)"

# Kinds of mistake that text from an interpolation may be cured of by reading it as a number or a boolean.
NUMERIC = {"int_type", "float_type", "bool_type", "expected"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One error of the grammar: its path in the tree, its kind and its facts."""

    path: Path
    kind: str
    facts: dict[str, Any]
    grammar: type[Spec] = Document


def message(tree: Node, mistake: Mistake) -> str:
    node = find(tree, mistake.path)
    if special := _SPECIAL.get(mistake.kind):
        return special(tree, mistake)
    if mistake.kind == "model_type" and show(node) == "nothing":
        return f"{dotted(mistake.path)} is empty: {_EMPTY}"
    words = _EXPECTED.get(mistake.kind, "something else").format_map(mistake.facts)
    return f"{dotted(mistake.path)} must be {words}{_instead(node, mistake.kind)}"


def _instead(node: Node | None, kind: str) -> str:
    """What stands there instead, and how to mend it."""
    if kind in ("hidden", "too_short", "too_long"):
        return ""
    if not isinstance(node, Scalar) or not node.sources:
        quote = kind == "string_type" and isinstance(node, Scalar) and node.value is not None
        return f", not {show(node)}" + (f'; quote it: "{show(node)}"' if quote else "")
    unquoted = kind in NUMERIC and isinstance(resolve(node.text), int | float) and isinstance(node.value, str)
    hint = "; write it on a line of its own, without quotes" if unquoted else ""
    return f", which {show(node)} is not{hint}"


def _unknown(tree: Node, mistake: Mistake) -> str:
    *above, key = mistake.path
    model = _model(tree, above, mistake.grammar)
    known = sorted(model.model_fields) if model else []
    place = f"in {dotted(above)}" if above else "at the top"
    hint = nearest(str(key), known) or f"; known here: {', '.join(known)}"
    return f"unknown key {quoted(str(key))} {place}{hint}"


def _missing(_: Node, mistake: Mistake) -> str:
    *above, key = mistake.path
    return f'{dotted(above) or "the file"} needs the key "{key}"'


def _not_one_of(tree: Node, mistake: Mistake) -> str:
    return f"{dotted(mistake.path)}: {not_one_of(find(tree, mistake.path), _words(mistake.facts['expected']))}"


def _unknown_kind(tree: Node, mistake: Mistake) -> str:
    path = (*mistake.path, "kind")
    return f"{dotted(path)}: {not_one_of(find(tree, path), KINDS)}"


def _no_kind(tree: Node, mistake: Mistake) -> str:
    return _missing(tree, Mistake((*mistake.path, "kind"), mistake.kind, mistake.facts))


def not_one_of(node: Node | None, known: Collection[str]) -> str:
    """`"yes" is not one of broadcast, queue`, with a hint at the nearest."""
    visible = isinstance(node, Scalar) and not node.sources
    hint = nearest(node.text, known) if visible and isinstance(node, Scalar) else ""
    return f"{show(node)} is not one of {', '.join(known)}{hint}"


def _words(choices: str) -> list[str]:
    return re.findall(r"'([^']*)'", choices)


_SPECIAL: dict[str, Callable[[Node, Mistake], str]] = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "literal_error": _not_one_of,
    "union_tag_invalid": _unknown_kind,
    "union_tag_not_found": _no_kind,
}


def _model(tree: Node, path: Iterable[str | int], grammar: type[Spec]) -> type[Spec] | None:
    """The model that describes the mapping at a path."""
    model: type[Spec] | None = grammar
    node: Node | None = tree
    members: list[type[Spec]] = []  # of the list or the mapping by name that we are in, if any
    for step in path:
        node = child(node, step) if node else None
        if members:
            model, members = _member(members, node), []
        elif model is not None and step in model.model_fields:
            annotation = model.model_fields[str(step)].annotation
            found = list(_models(annotation))
            container = get_origin(annotation) in (list, dict)
            model, members = (None, found) if container else (next(iter(found), None), [])
    return model


def _member(members: list[type[Spec]], node: Node | None) -> type[Spec] | None:
    kind = child(node, "kind") if isinstance(node, Mapping) else None
    return members[0] if len(members) == 1 else KINDS.get(kind.text) if isinstance(kind, Scalar) else None


def _models(annotation: Any) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
