"""The filters of an interface: what a client may ask for by name, and how that becomes a selection."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.core.match import Facet, Kind, Selection
from headgate.errors import InvalidParameter
from headgate.interface.route import Parameter

MOST_VALUES = 64  # of all filters together: a selection is looked up under each combination
LONGEST = 1000
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?", re.ASCII)
_WORDS = {Kind.INTEGER: "a whole number", Kind.NUMBER: "a number", Kind.BOOLEAN: "true or false"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One thing that a client may ask for. Given several times, any of the values will do."""

    name: str
    facet: Facet
    required: bool = False
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    meaning: str = ""

    def read(self, text: str) -> Any:
        """The value that a text stands for. May raise `InvalidParameter`."""
        if len(text) > LONGEST:
            raise self._wrong(text, f"at most {LONGEST} characters")
        if self.enum and text not in self.enum:
            raise self._wrong(text, f"one of {', '.join(self.enum)}")
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise self._wrong(text, f"text that matches {self.pattern}")
        return self._typed(text)

    def _typed(self, text: str) -> Any:
        kind = self.facet.kind
        if kind is Kind.STRING:
            return text
        if kind is Kind.BOOLEAN and text in ("true", "false"):
            return text == "true"
        if kind is not Kind.BOOLEAN and _NUMBER.fullmatch(text):
            number = float(text) if "." in text or "e" in text.lower() else int(text)
            if kind is Kind.NUMBER or number == int(number):
                return number
        raise self._wrong(text, _WORDS[kind])

    def _wrong(self, text: str, wanted: str) -> InvalidParameter:
        return InvalidParameter(f"{self.name!r} must be {wanted}, not {text[:80]!r}")

    def parameter(self) -> Parameter:
        """The same as OpenAPI says it."""
        schema: dict[str, Any] = {"type": self.facet.kind.value, "maxLength": LONGEST}
        if self.facet.kind is not Kind.STRING:
            del schema["maxLength"]
        if self.enum:
            schema["enum"] = list(self.enum)
        if self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        asked = " ".join([str(self.facet.source), ".".join(self.facet.path)]).strip()
        return Parameter(self.name, self.meaning or f"Only messages with this {asked}.", schema, required=self.required)


def selection(filters: Sequence[Filter], asked: Mapping[str, Sequence[str]], known: Sequence[str] = ()) -> Selection:
    """What a client wants, by the filters that it names; `known` are names of other parameters.

    May raise `InvalidParameter`.
    """
    names = [item.name for item in filters]
    if unknown := asked.keys() - {*names, *known}:
        there = ", ".join([*names, *known])
        raise InvalidParameter(f"{min(unknown)[:80]!r} is unknown here; there are {there}")
    given = {name: [text for text in texts if text] for name, texts in asked.items()}  # left empty is left out
    missing = [item.name for item in filters if item.required and not given.get(item.name)]
    if missing:
        raise InvalidParameter(f"{missing[0]!r} is missing: say which messages you want, as in ?{missing[0]}=...")
    wanted = {item.facet: frozenset(map(item.read, given[item.name])) for item in filters if given.get(item.name)}
    combinations = 1
    for values in wanted.values():
        combinations *= len(values)
    if combinations > MOST_VALUES:
        raise InvalidParameter(f"that is {combinations} combinations of values; ask for at most {MOST_VALUES}")
    return Selection(wanted)
