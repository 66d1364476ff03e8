"""The cells: rows as PostgreSQL's COPY reads them become parameters of SQLite's statements."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from headgate.core.entity import DELIMITER, Field, Kind, Layout
from headgate.core.kinds import read
from headgate.core.rows import Rows
from headgate.core.table import quoted

Write = Callable[[Field, str], str]

# No text of a row has a NUL, so it can stand for the backslash of an escape until the lines and cells are apart.
_HIDDEN = {"\\\\": "\0b", f"\\{DELIMITER}": "\0d", "\\n": "\0n", "\\r": "\0r"}
_MEANT = {"\0d": DELIMITER, "\0n": "\n", "\0r": "\r", "\0b": "\\"}


def cells(rows: Rows) -> Iterator[list[str]]:
    """The texts of each row; an empty one is null."""
    text = rows.data.decode()
    if "\\" not in text:
        return (line.split(DELIMITER) for line in text[:-1].split("\n"))
    for escape, hidden in _HIDDEN.items():
        text = text.replace(escape, hidden)
    return (_meant(line) for line in text[:-1].split("\n"))


def _meant(line: str) -> list[str]:
    found = line.split(DELIMITER)
    if "\0" in line:
        for hidden, meant in _MEANT.items():
            found = [cell.replace(hidden, meant) for cell in found]
    return found


def parameters(rows: Rows, *, numbered: bool = False) -> Iterator[list[str]]:
    """The cells of each row, as its statement takes them: what is equal is the same text."""
    fields = enumerate(_fields(rows.layout), 1 if numbered else 0)
    written = [(at, field, _WRITTEN[field.kind]) for at, field in fields if field.kind in _WRITTEN]
    return (_canonical(row, written) for row in cells(rows)) if written else cells(rows)


def _canonical(row: list[str], written: Sequence[tuple[int, Field, Write]]) -> list[str]:
    for at, field, write in written:
        if row[at]:
            row[at] = write(field, row[at])
    return row


def _time(field: Field, text: str) -> str:
    value = read(field, text)
    assert isinstance(value, datetime)
    return value.astimezone(UTC).isoformat()


_WRITTEN: dict[Kind, Write] = {
    Kind.BOOLEAN: lambda field, text: "1" if read(field, text) else "0",
    Kind.TIMESTAMP: _time,
    Kind.UUID: lambda _, text: text.lower(),
}


def insert(layout: Layout, table: str) -> str:
    """The statement that takes the cells of a row."""
    columns = ", ".join(quoted(name) for name in layout.columns)
    values = ", ".join(value(field, at) for at, field in enumerate(_fields(layout), 1))
    return f"INSERT INTO {quoted(table)} ({columns}) VALUES ({values})"


def value(field: Field, at: int) -> str:
    """What a column gets of the cell with this number."""
    return f"NULLIF(?{at}, '')" if field.nullable else f"?{at}"


def _fields(layout: Layout) -> tuple[Field, ...]:
    return (*layout.fields, *layout.constants)
