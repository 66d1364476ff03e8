"""The page: what a piece of a body holds. Rows for the database, what is wrong with the others, and which is which."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Protocol

from headgate.core.cut import Piece
from headgate.core.derive import Deriver
from headgate.core.entity import DELIMITER, Entity, Fault, Field, Layout, Record, Value
from headgate.core.kinds import read
from headgate.core.records import Parsed, RecordParser
from headgate.core.rows import Rows, row_of


class Page(Protocol):
    """A block of rows for a store, and the messages that they came from, by number."""

    @property
    def rows(self) -> Sequence[Rows]:
        """The rows, as fast as it goes."""
        ...

    def numbered(self) -> Sequence[Rows]:
        """The same rows, each with the number of its message before it."""
        ...

    @property
    def faults(self) -> Sequence[Fault]:
        """What is wrong with the messages that have no rows here, by number."""
        ...

    @property
    def good(self) -> Counter[str]:
        """How many messages of each entity have rows here."""
        ...

    def messages(self) -> Iterator[tuple[int, str | None]]:
        """The number and the entity of each message, in order."""
        ...

    def text(self, number: int) -> str:
        """A message as it came, as far as that is text."""
        ...

    def raw(self, number: int) -> bytes:
        """A message as it came."""
        ...

    def records(self, numbers: Collection[int]) -> Iterator[tuple[int, Record]]:
        """The records of these messages, which have no faults; in order."""
        ...


class LinePage:
    """A page of lines, as the parser of records reads them."""

    def __init__(self, parser: RecordParser, parsed: Parsed, faults: Sequence[Fault] = ()) -> None:
        self._parser = parser
        self.rows = parsed.rows
        self.faults = tuple(sorted((*parsed.faults, *faults), key=_number)) if faults else parsed.faults
        self._parsed = parsed
        self._lines: list[str] | None = None

    def __repr__(self) -> str:
        return f"<LinePage: {self.good.total()} good messages, {len(self.faults)} bad>"

    @property
    def good(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for rows in self.rows:
            found[rows.layout.entity] += rows.count
        return found

    def numbered(self) -> Sequence[Rows]:
        return self._parsed.numbered()

    def messages(self) -> Iterator[tuple[int, str | None]]:
        bad = {fault.line_number: fault.entity for fault in self.faults}
        layouts, first = self._parsed.layouts, self._parsed.first
        for number, line in enumerate(self._parsed.text.split("\n"), first):
            if number in bad:
                yield number, bad[number]
            elif layout := layouts.get(line[: line.find(DELIMITER)]):
                yield number, layout.entity

    def text(self, number: int) -> str:
        line = self._line(number)
        return line if line.isascii() else self.raw(number).decode(errors="replace")

    def raw(self, number: int) -> bytes:
        return self._line(number).encode(errors="surrogateescape")

    def records(self, numbers: Collection[int]) -> Iterator[tuple[int, Record]]:
        for number in sorted(numbers):
            if isinstance(record := self._parser.line(self.raw(number), number), Record):
                yield number, record

    def _line(self, number: int) -> str:
        if self._lines is None:
            self._lines = self._parsed.text.split("\n")
        return self._lines[number - self._parsed.first]


class RecordPage:
    """A page of records, each with the number of its message; several of one number stand together."""

    def __init__(
        self, records: Iterable[tuple[int, Record]], faults: Iterable[Fault], text: Callable[[int], str]
    ) -> None:
        self._records = list(records)
        self.faults = tuple(sorted(faults, key=_number))
        self._entities: dict[int, str] = {}
        for number, record in self._records:
            self._entities.setdefault(number, record.entity.name)
        self.text = text

    def __repr__(self) -> str:
        return f"<RecordPage: {len(self._entities)} good messages, {len(self.faults)} bad>"

    @property
    def has_families(self) -> bool:
        """Whether more than one record comes out of some message."""
        return len(self._entities) < len(self._records)

    def carried(self, without: Collection[int]) -> "RecordPage":
        """The records that messages carry themselves, but for some messages."""
        first = {number: record for number, record in reversed(self._records) if number not in without}
        return RecordPage(reversed(first.items()), (), self.text)

    def derived(self, without: Collection[int]) -> tuple[list[int], "RecordPage"]:
        """The records that come out of others, but for some messages: numbered from 1, and the number of each one's."""
        found = [two for one, two in pairwise(self._records) if one[0] == two[0] and two[0] not in without]
        numbered = enumerate((record for _, record in found), 1)
        return [number for number, _ in found], RecordPage(numbered, (), self.text)

    @property
    def good(self) -> Counter[str]:
        return Counter(self._entities.values())

    @property
    def rows(self) -> Sequence[Rows]:
        return _joined((row_of(record), "") for _, record in self._records)

    def numbered(self) -> Sequence[Rows]:
        return _joined((row_of(record), f"{number}{DELIMITER}") for number, record in self._records)

    def raw(self, number: int) -> bytes:
        return self.text(number).encode()

    def records(self, numbers: Collection[int]) -> Iterator[tuple[int, Record]]:
        wanted = set(numbers)
        yield from ((number, record) for number, record in self._records if number in wanted)

    def messages(self) -> Iterator[tuple[int, str | None]]:
        bad = ((fault.line_number, fault.entity) for fault in self.faults)
        yield from sorted([*self._entities.items(), *bad], key=lambda message: message[0])


def _joined(rows: Iterable[tuple[Rows, str]]) -> Sequence[Rows]:
    """Rows of one entity as one text; each with what goes before it."""
    groups: dict[str, list[tuple[Rows, str]]] = defaultdict(list)
    for row, head in rows:
        groups[row.layout.entity].append((row, head))
    return [
        Rows(found[0][0].layout, b"".join([head.encode() + row.data for row, head in found]), len(found))
        for found in groups.values()
    ]


class LineReader:
    """Reads pieces of lines."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self._parser = RecordParser(entities)
        self._keys = {prefix: _key_cells(self._parser, layout) for prefix, layout in self._parser.layouts.items()}
        self._deriver = Deriver(entities)
        self._parents = {entity.derivation.parent for entity in entities if entity.derivation}

    def __repr__(self) -> str:
        return f"<LineReader of {self._parser!r}>"

    def layout(self, line: bytes) -> Layout | None:
        """The layout that a line's prefix names."""
        return self._parser.layouts.get(line[: line.find(DELIMITER.encode())].decode(errors="replace"))

    def identity(self, line: str) -> tuple[str, list[Value]]:
        """The entity and the key of a line that has no fault; no key where the database makes it."""
        prefix, *cells = line.split(DELIMITER)
        keys = [read(field, cells[at]) for at, field in self._keys[prefix]]
        return self._parser.layouts[prefix].entity, keys

    def read(self, piece: Piece) -> Page:
        """The page of a piece."""
        parsed = self._parser.parse(piece.data, piece.first_line)
        page = LinePage(self._parser, parsed, piece.faults)
        if not self._parents or self._parents.isdisjoint(rows.layout.entity for rows in parsed.rows):
            return page
        bad = {fault.line_number for fault in page.faults}
        lines = ((number, page.text(number)) for number, _ in page.messages() if number not in bad)
        made = [(number, self._parser.line(line.encode(), number)) for number, line in lines]
        return derived_page(made, page.faults, self._deriver, page.text)


def _key_cells(parser: RecordParser, layout: Layout) -> list[tuple[int, Field]]:
    places = {field.name: (at, field) for at, field in enumerate(layout.fields)}
    return [places[name] for name in parser.entities[layout.entity].key if name in places]


def derived_page(
    made: Iterable[tuple[int, Record | Fault]], faults: Iterable[Fault], deriver: Deriver, text: Callable[[int], str]
) -> RecordPage:
    """The page of records and of all that comes out of them. A record goes with what cannot be made of it."""
    records: list[tuple[int, Record]] = []
    wrong: list[Fault] = []
    for number, record in made:
        family = [record] if isinstance(record, Fault) else [record, *deriver.derive(record)]
        if fault := next((member for member in family if isinstance(member, Fault)), None):
            wrong.append(replace(fault, line_number=number, line=text(number)))
        else:
            records += [(number, member) for member in family if isinstance(member, Record)]
    return RecordPage(records, chain(faults, wrong), text)


def _number(fault: Fault) -> int:
    return fault.line_number
