"""The tree: what a configuration file says, each key and value with the place where it says so."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from headgate.errors import Problem

Path = tuple[str | int, ...]
Plain = str | int | float | bool | None

_SHOWN = 60  # characters of somebody's text that a message repeats


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    def problem(self, message: str) -> Problem:
        """Something is wrong here."""
        return Problem(self.file, self.line, self.column, message)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `sources` names what was put in for `${...}`; show() hides such a value: it may be a secret."""

    mark: Mark
    value: Plain = field(repr=False)
    text: str = field(repr=False)
    plain: bool = False  # written without quotes
    sources: tuple[str, ...] = ()
    retypable: bool = False  # nothing but one unquoted ${...}: may be a number where a number is wanted
    broken: bool = False  # an interpolation found nothing, which is reported already


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value, and where the key stands."""

    mark: Mark
    node: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and their values, in the order of the file."""

    mark: Mark
    entries: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    mark: Mark
    nodes: tuple["Node", ...]


Node = Scalar | Mapping | Items
Edits = dict[Path, Node | None]


def scalars(node: Node, path: Path = ()) -> Iterator[tuple[Path, Scalar]]:
    """All scalars of a tree, with their paths."""
    if isinstance(node, Scalar):
        yield path, node
    elif isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield from scalars(entry.node, (*path, key))
    else:
        for at, item in enumerate(node.nodes):
            yield from scalars(item, (*path, at))


def data(node: Node) -> object:
    """The tree without its places."""
    if isinstance(node, Mapping):
        return {key: data(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [data(item) for item in node.nodes]
    return node.value


def child(node: Node | None, step: str | int) -> Node | None:
    """What stands under one key or number, if anything."""
    if isinstance(node, Mapping) and isinstance(step, str):
        entry = node.entries.get(step)
        return entry.node if entry else None
    if isinstance(node, Items) and isinstance(step, int) and step < len(node.nodes):
        return node.nodes[step]
    return None


def find(node: Node | None, path: Sequence[str | int]) -> Node | None:
    """What stands at a path, if anything."""
    for step in path:
        node = child(node, step)
    return node


def key_mark(root: Node, path: Sequence[str | int]) -> Mark:
    """Where the key at the end of the path stands; without one, the nearest thing above it."""
    for end in range(len(path), 0, -1):
        parent, step = find(root, path[: end - 1]), path[end - 1]
        if isinstance(parent, Mapping) and step in parent.entries:
            return parent.entries[str(step)].mark
        if (node := child(parent, step)) is not None:
            return node.mark
    return root.mark


def value_mark(root: Node, path: Sequence[str | int]) -> Mark:
    """Where the value at the path stands; without one, where its parent's key does."""
    node = find(root, path)
    return node.mark if node else key_mark(root, path)


def changed(node: Node, path: Sequence[str | int], new: Node) -> Node:
    """The same tree with another node at the path. Mappings that lack on the way are made."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(node, Items):
        return Items(node.mark, tuple(changed(n, rest, new) if at == step else n for at, n in enumerate(node.nodes)))
    entries = dict(node.entries) if isinstance(node, Mapping) else {}
    old = entries.get(str(step), Entry(new.mark, Mapping(new.mark, {})))
    entries[str(step)] = Entry(old.mark, changed(old.node, rest, new))
    return Mapping(node.mark, entries)


def edited(node: Node, edits: Edits, path: Path = ()) -> Node:
    """The same tree with other nodes at some paths; None takes away what stands there."""
    if isinstance(node, Mapping):
        left = {key: entry for key, entry in node.entries.items() if edits.get((*path, key), node) is not None}
        return Mapping(node.mark, {key: Entry(e.mark, _edit(e.node, edits, (*path, key))) for key, e in left.items()})
    if isinstance(node, Items):
        kept = [(at, n) for at, n in enumerate(node.nodes) if edits.get((*path, at), node) is not None]
        return Items(node.mark, tuple(_edit(n, edits, (*path, at)) for at, n in kept))
    return node


def _edit(node: Node, edits: Edits, path: Path) -> Node:
    return edits.get(path) or edited(node, edits, path)


def quoted(text: str) -> str:
    """Somebody's text as a message shows it: short, on one line, without control characters."""
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    printable = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in cut)
    return f'"{printable}"'


def show(node: Node | None) -> str:
    """A value as a message shows it; never what an interpolation put in."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node is None or (node.value is None and not node.sources):
        return "nothing"
    if node.sources:
        return f"the value of {' and '.join(node.sources)}"
    if isinstance(node.value, str):
        return quoted(node.text)
    return quoted(node.text)[1:-1]


def dotted(path: Sequence[str | int]) -> str:
    """A path as a message shows it: `runtime.web.interfaces[0].path`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{_word(step)}" for step in path)
    return text.removeprefix(".")


def _word(step: str) -> str:
    simple = step.replace("_", "").replace("-", "").replace(".", "").isalnum() and len(step) <= _SHOWN
    return step if simple else quoted(step)
