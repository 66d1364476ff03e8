"""The rows: lines that were accepted, and single records, as PostgreSQL's COPY reads them.

The text format, with `|` between the columns and nothing for null: all of a line but its prefix passes as it came. Only
a backslash is doubled, for COPY would read it as the start of an escape.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from headgate.core.entity import DELIMITER, Layout, Record
from headgate.core.kinds import write

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", DELIMITER: f"\\{DELIMITER}"})


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one layout, of the columns that it names; each ends with a line break."""

    layout: Layout
    data: bytes
    count: int


def rows_of(text: str, lines: int, layouts: Mapping[str, Layout]) -> tuple[Rows, ...]:
    """The rows of so many lines that were accepted, by layout; comments and blank lines are left out."""
    head = text[: text.find(DELIMITER) + 1]
    if layout := layouts.get(head[:-1]):
        # Most bodies hold lines of one kind: those are taken as one text.
        rows = text[len(head) : -1].split(f"\n{head}")
        delimiters = text.count(DELIMITER) - lines * len(layout.fields)
        if len(rows) == lines and delimiters in (0, lines):
            joined = "\n".join(rows) + "\n"
            return (_rows(layout, joined.replace(f"{DELIMITER}\n", "\n") if delimiters else joined, lines),)
    groups: dict[str, list[str]] = defaultdict(list)
    for line in filter(None, text.split("\n")):
        head, _, row = line.partition(DELIMITER)
        groups[head].append(row)
    return tuple(_rows_of_lines(layouts[head], groups[head]) for head in groups if head in layouts)


def numbered_rows(text: str, first: int, refused: Collection[int], layouts: Mapping[str, Layout]) -> tuple[Rows, ...]:
    """The rows of all lines that were not refused, each with the number of its line before it."""
    groups: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(text.split("\n"), first):
        head, _, row = line.partition(DELIMITER)
        if head in layouts and number not in refused:
            groups[head].append(f"{number}{DELIMITER}{_bare(layouts[head], row)}")
    return tuple(_rows(layouts[head], "\n".join(rows) + "\n", len(rows)) for head, rows in groups.items())


def _rows_of_lines(layout: Layout, rows: list[str]) -> Rows:
    joined = "\n".join(rows) + "\n"
    if f"{DELIMITER}\n" in joined:  # an empty last field, or a delimiter too many
        joined = "\n".join([_bare(layout, row) for row in rows]) + "\n"
    return _rows(layout, joined, len(rows))


def _bare(layout: Layout, row: str) -> str:
    """A row without the delimiter that may stand at its end."""
    return row[:-1] if row.count(DELIMITER) == len(layout.fields) else row


def _rows(layout: Layout, rows: str, count: int) -> Rows:
    if "\\" in rows:
        rows = rows.replace("\\", "\\\\")
    if layout.constants:
        constants = "".join(DELIMITER + _escaped(field.constant or "") for field in layout.constants)
        rows = rows.replace("\n", f"{constants}\n")
    return Rows(layout, rows.encode(), count)


def row_of(record: Record) -> Rows:
    """One record as a row of every column that is kept."""
    layout = record.entity.whole
    texts = (write(field, record.values[field.name]) for field in (*layout.fields, *layout.constants))
    return Rows(layout, (DELIMITER.join(_escaped(text or "") for text in texts) + "\n").encode(), 1)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)
