"""The builder: events of a YAML scanner become a tree. No recursion; limits hold before anything is built."""

from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from headgate.errors import Problem
from headgate.spec.scalar import resolve
from headgate.spec.tree import Entry, Items, Mapping, Mark, Node, Scalar, quoted, show

MOST_NODES = 20_000  # after aliases are followed
DEEPEST = 64


class GivenUpError(Exception):
    """Reading on makes no sense."""


@dataclass(slots=True)
class _Frame:
    """A mapping or a list that is not closed yet."""

    mark: Mark
    anchor: str | None
    before: int  # nodes counted when it was opened
    height: int = 1
    entries: dict[str, Entry] | None = None  # None in a list
    nodes: list[Node] = field(default_factory=list)
    key: tuple[Mark, str | None] | None = None  # a key that waits for its value; None for one to be dropped

    def node(self) -> Node:
        return Items(self.mark, tuple(self.nodes)) if self.entries is None else Mapping(self.mark, self.entries)


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node that aliases may name; without a node it is still open."""

    node: Node | None
    weight: int = 1
    height: int = 0


class Builder:
    """Takes the events of one file, one by one; `root` is the tree."""

    def __init__(self, file: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._file = file
        self._open: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0
        self._documents = 0

    def fail(self, mark: Mark, message: str) -> NoReturn:
        self.problems.append(mark.problem(message))
        raise GivenUpError

    def take(self, event: Any) -> None:
        mark = Mark(self._file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, DocumentStartEvent):
            self._document(mark)
        elif isinstance(event, AliasEvent):
            self._alias(mark, event.anchor)
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            self._node(mark, event)
        elif isinstance(event, CollectionEndEvent):
            self._close()

    def _document(self, mark: Mark) -> None:
        self._documents += 1
        if self._documents > 1:
            self.fail(mark, "a second document starts here; a configuration file holds one")

    def _node(self, mark: Mark, event: Any) -> None:
        self._grow(mark, 1)
        if event.tag is not None:
            self.problems.append(mark.problem(f"the tag {quoted(_tag(event))} is not used here; leave it out"))
        if isinstance(event, ScalarEvent):
            scalar = _scalar(mark, event)
            self._anchor(event.anchor, _Anchored(scalar))
            self._place(scalar)
        else:
            self._start(mark, event)

    def _start(self, mark: Mark, event: Any) -> None:
        entries: dict[str, Entry] | None = {} if isinstance(event, MappingStartEvent) else None
        self._anchor(event.anchor, _Anchored(None))
        self._open.append(_Frame(mark, event.anchor, self._count, entries=entries))
        self._limit_depth(mark, len(self._open))

    def _alias(self, mark: Mark, name: str) -> None:
        anchored = self._anchors.get(name)
        if anchored is None:
            self.fail(mark, f"there is no anchor {quoted('&' + name)} before this alias")
        elif anchored.node is None:
            self.fail(mark, f"the alias {quoted('*' + name)} stands inside its own anchor")
        else:
            self._grow(mark, anchored.weight)
            self._limit_depth(mark, len(self._open) + anchored.height)
            self._place(anchored.node, anchored.height)

    def _anchor(self, name: str | None, anchored: _Anchored) -> None:
        if name:
            self._anchors[name] = anchored

    def _grow(self, mark: Mark, weight: int) -> None:
        self._count += weight
        if self._count > MOST_NODES:
            self.fail(
                mark,
                f"the file holds more than {MOST_NODES:,} values (each alias counts for what it repeats)",
            )

    def _limit_depth(self, mark: Mark, depth: int) -> None:
        if depth > DEEPEST:
            self.fail(mark, f"this is nested deeper than {DEEPEST} levels")

    def _close(self) -> None:
        frame = self._open.pop()
        node = frame.node()
        self._anchor(frame.anchor, _Anchored(node, self._count - frame.before + 1, frame.height))
        self._place(node, frame.height)

    def _place(self, node: Node, height: int = 0) -> None:
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        frame.height = max(frame.height, height + 1)
        if frame.entries is None:
            frame.nodes.append(node)
        elif frame.key is None:
            frame.key = (node.mark, self._key(node))
        else:
            self._enter(frame.entries, *frame.key, node)
            frame.key = None

    def _enter(self, entries: dict[str, Entry], mark: Mark, key: str | None, node: Node) -> None:
        if key is None:
            return
        if key in entries:
            first = entries[key].mark.line
            self.problems.append(mark.problem(f"duplicate key {quoted(key)}: it stands on line {first} already"))
        else:
            # The scanner places a value that is not there at whatever comes next.
            missing = isinstance(node, Scalar) and node.plain and not node.text
            entries[key] = Entry(mark, replace(node, mark=mark) if missing else node)

    def _key(self, node: Node) -> str | None:
        if not isinstance(node, Scalar) or node.value is None:
            self.problems.append(node.mark.problem(f"a key must be text, not {show(node)}"))
        elif not isinstance(node.value, str):
            self.problems.append(node.mark.problem(f'a key must be text, not {show(node)}; quote it: "{show(node)}"'))
        elif node.text == "<<" and node.plain:
            self.problems.append(node.mark.problem('"<<" is not part of YAML 1.2: write the keys out'))
        else:
            return node.text
        return None


def _tag(event: Any) -> str:
    return str(event.tag).replace("tag:yaml.org,2002:", "!!")


def _scalar(mark: Mark, event: Any) -> Scalar:
    plain = event.style in (None, "")
    return Scalar(mark, resolve(event.value) if plain else event.value, event.value, plain)
