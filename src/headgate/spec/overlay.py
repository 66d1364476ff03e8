"""Overlays: a later file laid over an earlier one. Every value keeps the place that it came from.

Mappings merge key by key; scalars and plain lists are replaced. Process groups merge by `name`, interfaces
by `path` (one without a path by its `kind`). `null` removes a key, `remove: true` an entry of such a list. A stream
that moves to another transport leaves behind what belongs to the old one.
"""

from collections.abc import Callable

from headgate.errors import Problem
from headgate.spec.tree import Items, Mapping, Node, Scalar, child, dotted

Identity = tuple[str, str]


def overlay(base: Node, over: Node, problems: list[Problem], path: tuple[str, ...] = ()) -> Node:
    """`over` laid over `base`."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return _merge_mappings(base, over, problems, path)
    if isinstance(base, Items) and isinstance(over, Items) and path in _KEYED:
        return _merge_lists(base, over, problems, path)
    return over


def _merge_mappings(base: Mapping, over: Mapping, problems: list[Problem], path: tuple[str, ...]) -> Mapping:
    entries = {key: entry for key, entry in base.entries.items() if not _stays_behind(key, base, over, path)}
    for key, entry in over.entries.items():
        if key not in entries:
            entries[key] = entry
        elif _is_null(entry.node):
            del entries[key]
        else:
            merged = overlay(entries[key].node, entry.node, problems, (*path, key))
            # An error in what is merged may lie in either file; the key of the first is its home.
            home = entries[key].mark if isinstance(merged, Mapping) else entry.mark
            entries[key] = type(entry)(home, merged)
    return Mapping(base.mark, entries)


def _stays_behind(key: str, base: Mapping, over: Mapping, path: tuple[str, ...]) -> bool:
    moves = path[:-1] == ("streams",) and _text(over, "transport") not in (None, _text(base, "transport"))
    return moves and key in _OF_A_TRANSPORT


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _merge_lists(base: Items, over: Items, problems: list[Problem], path: tuple[str, ...]) -> Items:
    nodes: list[Node] = list(base.nodes)
    identify = _KEYED[path]
    for node in over.nodes:
        same = [at for at, old in enumerate(nodes) if identify(old) == identify(node) is not None]
        if len(same) > 1:
            message = f"{dotted(path)} has more than one entry like this; which of them to change is unclear"
            problems.append(node.mark.problem(message))
        elif _removes(node):
            _remove(nodes, same, node, problems, path)
        elif same:
            nodes[same[0]] = _merge_entries(nodes[same[0]], node, problems, path)
        else:
            nodes.append(node)
    return Items(over.mark, tuple(nodes))


def _merge_entries(base: Node, over: Node, problems: list[Problem], path: tuple[str, ...]) -> Node:
    # An interface of another kind takes the place of the old one: what that said means nothing to this.
    kinds = _text(base, "kind"), _text(over, "kind")
    return over if None not in kinds and kinds[0] != kinds[1] else overlay(base, over, problems, path)


def _remove(nodes: list[Node], same: list[int], node: Node, problems: list[Problem], path: tuple[str, ...]) -> None:
    if same:
        del nodes[same[0]]
    else:
        problems.append(node.mark.problem(f"there is nothing to remove: no earlier file has this in {dotted(path)}"))


def _removes(node: Node) -> bool:
    flag = child(node, "remove")
    return isinstance(flag, Scalar) and flag.value is True


def _text(node: Node, key: str) -> str | None:
    found = child(node, key)
    return found.text if isinstance(found, Scalar) and isinstance(found.value, str) else None


def _by_name(node: Node) -> Identity | None:
    name = _text(node, "name")
    return ("name", name) if name is not None else None


def _by_path_or_kind(node: Node) -> Identity | None:
    path, kind = _text(node, "path"), _text(node, "kind")
    if path is not None:
        return ("path", path)
    return ("kind", kind) if kind is not None else None


_OF_A_TRANSPORT = ("url", "topic", "create", "options")

_KEYED: dict[tuple[str, ...], Callable[[Node], Identity | None]] = {
    ("runtime", "platform", "process_groups"): _by_name,
    ("runtime", "web", "interfaces"): _by_path_or_kind,
}
