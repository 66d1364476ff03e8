"""The records: lines of messages become rows for the database, and single messages become values.

All layouts compile to one regular expression that runs over as many good lines as stand together, whichever entities
they are of. What it accepts leaves as it came; only what it refuses is looked at by itself, and told what is wrong.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.entity import DELIMITER, Entity, Fault, Kind, Layout, Record
from headgate.core.kinds import explain, read, shown, write
from headgate.core.patterns import pattern
from headgate.core.rows import Rows, numbered_rows, rows_of

# What a text in a line may hold. Bytes that are no UTF-8 are half characters here, and no field holds those.
CHARACTER = rf"[^{DELIMITER}\n\r\0\ud800-\udfff]"
_BYTE_ORDER_MARK = "\ufeff"
_NOT_UTF_8 = re.compile("[\ud800-\udfff]")
_JSON_TYPES = {dict: "an object", list: "an array", type(None): "null", bool: "a boolean", str: "a string"}
_WANTED = {
    Kind.INTEGER: "an integer",
    Kind.FLOAT: "a number",
    Kind.DECIMAL: "a number or a string",
    Kind.BOOLEAN: "true or false",
}
_BREAKS_LACK = "; were line breaks lost? A message is one line (curl needs --data-binary)"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a block of lines holds. `lines` counts all of them, so that the next block goes on from there."""

    rows: tuple[Rows, ...]
    faults: tuple[Fault, ...]
    lines: int
    text: str = field(repr=False)
    first: int = field(repr=False)
    layouts: Mapping[str, Layout] = field(repr=False)

    def numbered(self) -> tuple[Rows, ...]:
        """The same rows, each with the number of its line before it: for when the database refuses one of them."""
        refused = {fault.line_number for fault in self.faults}
        return numbered_rows(self.text, self.first, refused, self.layouts)


class RecordParser:
    """Reads messages of some entities, told apart by their prefixes."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self.entities = {entity.name: entity for entity in entities}
        self.layouts = {layout.prefix: layout for entity in entities for layout in entity.layouts}
        self._begins = f"a message begins with {', '.join(sorted(self.layouts))} and {DELIMITER}"
        self._good_lines = re.compile(_good_lines(self.layouts.values()))

    def __repr__(self) -> str:
        return f"<RecordParser: {', '.join(self.layouts)}>"

    def parse(self, block: bytes, first_line: int = 1) -> Parsed:
        """The rows of whole lines, and what is wrong with the others. The last line may lack its break."""
        text = _text(block, is_first=first_line == 1)
        good: list[str] = []
        faults: list[Fault] = []
        at, number = 0, first_line
        while at < len(text):
            end = self._end_of_good_lines(text, at)
            if end == at:
                end = text.index("\n", at) + 1
                if isinstance(found := self._cells(text[at : end - 1], number), Fault):
                    faults.append(found)
                else:  # fields of JSON are beyond regular expressions
                    good.append(text[at:end])
                number += 1
            else:
                good.append(text[at:end])
                number += good[-1].count("\n")
            at = end
        lines = number - first_line
        rows = rows_of("".join(good), lines - len(faults), self.layouts)
        return Parsed(rows, tuple(faults), lines, text, first_line, self.layouts)

    def line(self, line: bytes, number: int = 1) -> Record | Fault:
        """The record of one message."""
        text = _text(line, is_first=True).removesuffix("\n")
        if "\n" in text:
            return Fault("a message is one line, and these are several", number, line=_printable(text))
        # What the expression accepts needs no explanation, which takes longer than all the rest.
        is_good = self._end_of_good_lines(f"{text}\n", 0) > len(text)
        if isinstance(found := self._cells(text, number, doubtful=not is_good), Fault):
            return found
        layout, cells = found
        names = (field.name for field in layout.fields)
        return _record(self.entities[layout.entity], dict(zip(names, cells, strict=True)))

    def _end_of_good_lines(self, text: str, at: int) -> int:
        match = self._good_lines.match(text, at)
        assert match is not None  # no lines at all are good lines, too
        return match.end()

    def _cells(self, line: str, number: int, *, doubtful: bool = True) -> tuple[Layout, list[str]] | Fault:
        """The fields of one line, or what is wrong with it."""
        prefix, delimiter, row = line.partition(DELIMITER)
        layout = self.layouts.get(prefix) if delimiter else None
        if layout is None:
            return Fault(self._no_message(line, prefix), number, line=_printable(line))
        cells = row.split(DELIMITER)
        if len(cells) == len(layout.fields) + 1 and not cells[-1]:
            cells.pop()  # a delimiter at the end, as dbgen writes it
        message, name = _wrong(line, layout, cells) if doubtful else ("", None)
        return Fault(message, number, layout.entity, name, _printable(line)) if message else (layout, cells)

    def _no_message(self, line: str, prefix: str) -> str:
        if not line or line.startswith("#"):
            return "a blank line or a comment is no message"
        return f"{self._begins}, not with {shown(prefix)}"


def record_of_json(entity: Entity, given: object) -> Record | Fault:
    """The record that a JSON object is. Its keys are the names of the fields; one left out is null."""
    if not isinstance(given, Mapping):
        return Fault(f"a record is a JSON object, not {_json_type(given)}", entity=entity.name)
    texts: dict[str, str] = {}
    for spec in entity.given:
        value = given.get(spec.name)
        text = write(spec, value)
        if text is None:
            message = f"{spec.name} must be {_WANTED.get(spec.kind, 'a string')}, not {_json_type(value)}"
            return Fault(message, entity=entity.name, field=spec.name)
        texts[spec.name] = text
    return record_of_texts(entity, {**dict.fromkeys(map(str, given), ""), **texts})


def record_of_texts(entity: Entity, texts: Mapping[str, str], number: int = 1) -> Record | Fault:
    """The record of texts by the names of their fields, such as a row of CSV with a header."""
    known = {field.name for field in entity.given}
    for name in texts:
        if name not in known:
            return Fault(f"{entity.name} has no field {shown(name)}", number, entity.name)
    for spec in entity.given:
        if wrong := explain(spec, texts.get(spec.name, "")):
            return Fault(f"{spec.name} {wrong}", number, entity.name, spec.name)
    return _record(entity, texts)


def _record(entity: Entity, texts: Mapping[str, str]) -> Record:
    values = {
        field.name: read(field, texts.get(field.name, "") if field.constant is None else field.constant)
        for field in entity.fields
    }
    return Record(entity, values)


def _wrong(line: str, layout: Layout, cells: Sequence[str]) -> tuple[str, str | None]:
    """What is wrong with a line, and with which of its fields; an empty message when nothing is."""
    if not line.isascii() and (match := _NOT_UTF_8.search(line)):
        return f"byte {len(_bytes(line[: match.start()]))} of the line is not UTF-8", None
    if len(cells) != len(layout.fields):
        hint = _BREAKS_LACK if len(cells) > len(layout.fields) + 1 else ""
        return f"expected {len(layout.fields)} fields after {layout.prefix}, found {len(cells)}{hint}", None
    for spec, cell in zip(layout.fields, cells, strict=True):
        if wrong := explain(spec, cell):
            return f"{spec.name} {wrong}", spec.name
        if "\r" in cell:
            return f"{spec.name} must not hold a carriage return", spec.name
    return "", None


def _text(block: bytes, *, is_first: bool) -> str:
    """The lines of a block, each with its break."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
    text = block.decode(errors="surrogateescape")
    if is_first:
        text = text.removeprefix(_BYTE_ORDER_MARK)
    return text if not text or text.endswith("\n") else f"{text}\n"


def _printable(line: str) -> str:
    return line if line.isascii() else _bytes(line).decode(errors="replace")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _good_lines(layouts: Collection[Layout]) -> str:
    # Possessive from end to end: what was taken is never looked at again, so time is linear in the text.
    readable = (layout for layout in layouts if not any(field.kind.is_json for field in layout.fields))
    lines = "|".join([*(rf"{_good_line(layout)}\|?+" for layout in readable), r"#[^\n]*+", ""])
    return rf"(?>(?:{lines})\n)*+"


def _good_line(layout: Layout) -> str:
    return r"\|".join([re.escape(layout.prefix), *(pattern(field, CHARACTER) for field in layout.fields)])


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "a number")
