"""The limits: what a query may be, found out before anything is done with it.

They hold between parsing and validating: comparing thousands of fields with each other is what costs most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    parse,
)

from headgate.errors import TooMuch

MOST_TOKENS = 1_000  # a thousand take about ten milliseconds
MOST_FRAGMENTS = 100  # definitions, spreads and inline ones
INTROSPECTION_DEPTH = 20  # what tools ask for takes 13
PAGE = 100  # messages, where a query does not say how many
_PAGED = ("window",)  # fields whose `limit` says how often what is in them is made


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a query may be."""

    query_bytes: int = 65_536
    depth: int = 10
    aliases: int = 30
    complexity: int = 10_000


def read_query(text: str, variables: Mapping[str, Any], limits: Limits) -> DocumentNode:
    """The document of a query that is within the limits. Raises `TooMuch`, or a `GraphQLError` for what is none."""
    if len(text.encode(errors="replace")) > limits.query_bytes:
        raise TooMuch(f"a query may have {limits.query_bytes:,} bytes; send what is long as variables")
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
        _Measure(document, variables, limits).check()
    except RecursionError:
        raise TooMuch(f"the query is nested too deeply; {limits.depth} levels are the limit") from None
    return document


@dataclass(frozen=True, slots=True)
class _Size:
    depth: int = 0
    cost: int = 0

    def beside(self, other: "_Size") -> "_Size":
        return _Size(max(self.depth, other.depth), self.cost + other.cost)


class _Measure:
    """Each fragment is measured once, however often it is used: what they multiply is never spread out."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any], limits: Limits) -> None:
        self._document, self._variables, self._limits = document, variables, limits
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._sizes: dict[str, _Size | None] = {}  # of fragments; None while one is being measured
        self._aliases = 0
        self._parts = len(self._fragments)

    def check(self) -> None:
        """Raises `TooMuch`."""
        operations = [d for d in self._document.definitions if isinstance(d, OperationDefinitionNode)]
        sizes = [self._inside(operation.selection_set) for operation in operations]
        if self._aliases > self._limits.aliases:
            raise TooMuch(f"the query has {self._aliases} aliases and repeated fields; {self._limits.aliases} may be")
        if self._parts > MOST_FRAGMENTS:
            raise TooMuch(f"the query has {self._parts} fragments; {MOST_FRAGMENTS} may be")
        for size in sizes:
            self._check(size)

    def _check(self, size: _Size) -> None:
        if size.depth > self._limits.depth:
            raise TooMuch(f"the query is {size.depth} levels deep; {self._limits.depth} are the limit")
        if size.cost > self._limits.complexity:
            told = f"the query asks for {size.cost:,} fields, as many in each message as are asked for"
            raise TooMuch(f"{told}; {self._limits.complexity:,} are the limit: ask for fewer messages or fields")

    def _inside(self, found: SelectionSetNode | None) -> _Size:
        if found is None:
            return _Size()
        names = [_name(node) for node in _fields(found.selections)]
        self._aliases += len(names) - len(set(names))
        return self._all(found.selections)

    def _all(self, selections: Iterable[SelectionNode]) -> _Size:
        size = _Size()
        for selection in selections:
            size = size.beside(self._one(selection))
        return size

    def _one(self, selection: SelectionNode) -> _Size:
        if isinstance(selection, FieldNode):
            return self._field(selection)
        self._parts += 1
        if isinstance(selection, FragmentSpreadNode):
            return self._of(selection.name.value)
        assert isinstance(selection, InlineFragmentNode)
        return self._all(selection.selection_set.selections)

    def _field(self, field: FieldNode) -> _Size:
        self._aliases += field.alias is not None
        inside = self._inside(field.selection_set)
        name = field.name.value
        if name in ("__schema", "__type"):
            if inside.depth > INTROSPECTION_DEPTH:
                raise TooMuch(f"introspection is {inside.depth} levels deep; {INTROSPECTION_DEPTH} are the limit")
            return _Size(1, 1 + inside.cost)
        times = self._messages(field) if name in _PAGED else 1
        return _Size(inside.depth + 1, 1 + times * inside.cost)

    def _messages(self, field: FieldNode) -> int:
        """How many messages a field gives, as far as the query says it."""
        given = {argument.name.value: argument.value for argument in field.arguments or ()}
        value = given.get("limit") or given.get("last")
        number = int(value.value) if isinstance(value, IntValueNode) else PAGE
        if isinstance(value, VariableNode):
            said = self._variables.get(value.name.value)
            number = said if isinstance(said, int) else PAGE
        return max(1, number)

    def _of(self, name: str) -> _Size:
        if name not in self._sizes:
            self._sizes[name] = None
            fragment = self._fragments.get(name)
            self._sizes[name] = self._inside(None if fragment is None else fragment.selection_set)
        size = self._sizes[name]
        if size is None:
            raise GraphQLError(f"the fragment {name[:100]!r} stands within itself")
        return size


def _fields(selections: Iterable[SelectionNode]) -> Iterable[FieldNode]:
    """The fields of a selection, with those of the fragments that stand in it."""
    for selection in selections:
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, InlineFragmentNode):
            yield from _fields(selection.selection_set.selections)


def _name(field: FieldNode) -> str:
    return (field.alias or field.name).value
