"""Matching: what a reader wants of a stream, in values that are looked up and not in tests that are run.

A facet is one thing that a message can be asked: its key, a header, a field of its value. A selection names
the values that a reader wants of some facets. All selections over the same facets are found by one look-up,
so that a message costs the readers that want it, however many want something else.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

from headgate.core.message import Message
from headgate.core.scopes import Keys, fits

Decoded = Callable[[], Any]  # the message's value; called only when a field is asked for


class Source(StrEnum):
    """Where a facet is found."""

    KEY = "key"
    FIELD = "field"
    HEADER = "header"
    PATTERN = "pattern"  # whether the key is like one of some patterns


class Kind(StrEnum):
    """What a facet's values are. A value of another kind is not wanted by anybody."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Facet:
    """One thing that a message can be asked."""

    source: Source
    path: tuple[str, ...] = ()  # of a field, from the outside in; or the header's name; or the patterns
    ignore_case: bool = False  # of the field's name
    kind: Kind = Kind.STRING

    def of(self, message: Message[bytes], decoded: Decoded) -> Any:
        """What the message says; None where it says nothing of this kind."""
        if self.source is Source.KEY:
            return None if message.key is None else _text(message.key)
        if self.source is Source.PATTERN:
            return message.key is not None and fits(self.path, message.key)
        if self.source is Source.HEADER:
            return next((_text(data) for name, data in message.headers if name == self.path[0]), None)
        return self._typed(self._field(decoded()))

    def _field(self, value: Any) -> Any:
        for name in self.path:
            if not isinstance(value, dict):
                return None
            value = value[name] if name in value else self._folded(value, name)
        return value

    def _folded(self, value: dict[Any, Any], name: str) -> Any:
        if not self.ignore_case:
            return None
        wanted = name.casefold()
        return next((item for key, item in value.items() if isinstance(key, str) and key.casefold() == wanted), None)

    def _typed(self, value: Any) -> Any:
        # `True` equals 1 in Python, and 1 equals 1.0: only the kind tells them apart.
        if self.kind is Kind.STRING:
            return value if isinstance(value, str) else None
        if self.kind is Kind.BOOLEAN or isinstance(value, bool):
            return value if self.kind is Kind.BOOLEAN and isinstance(value, bool) else None
        return value if isinstance(value, int | float) else None


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


Shape = tuple[Facet, ...]


class Selection:
    """The values that a reader wants of some facets; of no facet, it wants everything."""

    __slots__ = ("_hash", "shape", "values")

    def __init__(self, wanted: Mapping[Facet, frozenset[Any]]) -> None:
        self.shape: Shape = tuple(wanted)
        self.values = tuple(wanted.values())
        self._hash = hash((self.shape, self.values))

    def __repr__(self) -> str:
        asked = (f"{facet.source}{list(facet.path) or ''}" for facet in self.shape)
        return f"<Selection {', '.join(asked) or 'everything'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selection) and (self.shape, self.values) == (other.shape, other.values)

    def __hash__(self) -> int:
        return self._hash

    def within(self, keys: Keys) -> "Selection":
        """As much of it as has such keys."""
        if not keys.patterns:
            return self
        wanted = dict(zip(self.shape, self.values, strict=True))
        return Selection({**wanted, Facet(Source.PATTERN, keys.patterns): frozenset({True})})

    def wants(self, message: Message[bytes], decoded: Decoded) -> bool:
        """Whether the message is one of those."""
        return all(facet.of(message, decoded) in values for facet, values in zip(self.shape, self.values, strict=True))

    def answers(self) -> Iterator[tuple[Any, ...]]:
        """Every tuple of answers, one a facet, with which a message is wanted."""
        return product(*self.values)

    @property
    def keys(self) -> frozenset[str] | None:
        """The only keys that wanted messages have; None where any will do."""
        return next(
            (values for facet, values in zip(self.shape, self.values, strict=True) if facet.source is Source.KEY), None
        )


EVERYTHING = Selection({})


def ask(shape: Shape, message: Message[bytes], decoded: Decoded) -> tuple[Any, ...]:
    """What the message answers to each facet."""
    return tuple([facet.of(message, decoded) for facet in shape])
