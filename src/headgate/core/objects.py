"""Records that do not come as lines: JSON objects and rows of CSV."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO

from headgate.core.codec import decode_json
from headgate.core.cut import Piece
from headgate.core.derive import Deriver
from headgate.core.entity import Entity, Fault, Record
from headgate.core.kinds import shown
from headgate.core.page import RecordPage, derived_page
from headgate.core.records import record_of_json, record_of_texts
from headgate.errors import CodecError

Numbered = tuple[int, Record | Fault]


class ObjectReader:
    """Reads JSON objects: records of one entity, or each with the name of its own."""

    def __init__(self, entities: Sequence[Entity], only: Entity | None = None) -> None:
        self._entities = {entity.name: entity for entity in entities}
        self._only = only
        self._deriver = Deriver(entities)

    def read(self, piece: Piece) -> RecordPage:
        """The page of a piece of NDJSON."""
        lines = piece.data.decode(errors="replace").split("\n")
        numbered = ((piece.first_line + at, line.strip()) for at, line in enumerate(lines))
        made = [(number, self._parsed(line)) for number, line in numbered if line]
        return self._page(made, piece.faults, lambda number: lines[number - piece.first_line])

    def read_array(self, piece: Piece) -> RecordPage:
        """The page of a JSON document: an array of records, or one. Raises a `CodecError`."""
        document = decode_json(piece.data)
        items = document if isinstance(document, list) else [document]
        made = [(number, self.record(item)) for number, item in enumerate(items, 1)]
        return self._page(made, piece.faults, lambda _: "")

    def page(self, records: Sequence[Record]) -> RecordPage:
        """The page of records that were made before, numbered from 1."""
        return self._page(list(enumerate(records, 1)), (), lambda _: "")

    def record(self, given: object) -> Record | Fault:
        """The record that a JSON value is."""
        if self._only is not None:
            return record_of_json(self._only, given)
        if not isinstance(given, Mapping) or set(given) != {"entity", "record"}:
            return Fault('say whose it is: {"entity": "...", "record": {...}}, or ?entity= for all of them')
        name = given["entity"]
        if not isinstance(name, str) or name not in self._entities:
            return Fault(f"there is no entity {shown(str(name))} here")
        return record_of_json(self._entities[name], given["record"])

    def _parsed(self, line: str) -> Record | Fault:
        try:
            return self.record(decode_json(line.encode()))
        except CodecError as error:
            return Fault(str(error))

    def _page(self, made: Sequence[Numbered], faults: Sequence[Fault], text: Callable[[int], str]) -> RecordPage:
        placed = [
            (number, replace(item, line_number=number, line=text(number)) if isinstance(item, Fault) else item)
            for number, item in made
        ]
        return derived_page(placed, faults, self._deriver, text)


class CsvReader:
    """Reads rows of CSV: the first one, of all the pieces, names the fields."""

    def __init__(self, entities: Sequence[Entity], entity: Entity) -> None:
        self._entity = entity
        self._deriver = Deriver(entities)
        self._names: list[str] | None = None

    def read(self, piece: Piece) -> RecordPage:
        """The page of a piece; pieces have to come in their order."""
        text = piece.data.decode("utf-8-sig" if piece.first_line == 1 else "utf-8", errors="surrogateescape")
        lines = text.split("\n")
        made: list[Numbered] = []
        rows = _rows(text, piece.first_line)
        if self._names is None and (header := next(rows, None)):
            self._names = [name.strip() for name in header[1]]
        for number, cells in rows:
            found = self._record(number, cells)
            line = _printable(lines[number - piece.first_line])
            made.append((number, replace(found, line=line) if isinstance(found, Fault) else found))
        return derived_page(
            made, piece.faults, self._deriver, lambda number: _printable(lines[number - piece.first_line])
        )

    def _record(self, number: int, cells: Sequence[str]) -> Record | Fault:
        names = self._names or []
        if len(cells) != len(names):
            return Fault(f"expected {len(names)} cells, as in the first row, found {len(cells)}", number)
        if len(set(names)) != len(names):
            return Fault("the first row names a field twice", number, self._entity.name)
        return record_of_texts(self._entity, dict(zip(names, cells, strict=True)), number)


def _rows(text: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, each with the number of its first line."""
    reader = csv.reader(StringIO(text, newline=""))
    line = 0
    try:
        for cells in reader:
            if cells:
                yield first_line + line, cells
            line = reader.line_num
    except csv.Error as error:
        raise CodecError(f"line {first_line + line} is no CSV: {error}") from None


def _printable(line: str) -> str:
    return line if line.isascii() else line.encode(errors="surrogateescape").decode(errors="replace")
