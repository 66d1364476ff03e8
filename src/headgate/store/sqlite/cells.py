"""The cells: rows as PostgreSQL's COPY reads them become parameters of SQLite's statements."""

import re
from collections.abc import Iterator, Sequence

from headgate.core.entity import DELIMITER, Field, Kind, Layout
from headgate.core.kinds import read
from headgate.core.rows import Rows
from headgate.core.table import quoted

_CELL = re.compile(r"((?:[^|\\]|\\.)*)(?:\||$)")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r"}


def cells(rows: Rows) -> Iterator[Sequence[str]]:
    """The texts of each row; an empty one is null."""
    text = rows.data.decode()
    lines = text[:-1].split("\n")
    if "\\" not in text:
        return (line.split(DELIMITER) for line in lines)
    return (_unescaped(line) for line in lines)


def _unescaped(line: str) -> list[str]:
    if "\\" not in line:
        return line.split(DELIMITER)
    found = [_ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), cell) for cell in _CELL.findall(line)]
    return found[:-1] if not line.endswith(DELIMITER) or line.endswith(f"\\{DELIMITER}") else found


def parameters(rows: Rows, *, numbered: bool = False) -> Iterator[Sequence[str]]:
    """The cells of each row, as its statement takes them."""
    first = 1 if numbered else 0
    times = [at for at, field in enumerate(_fields(rows.layout), first) if field.kind is Kind.TIMESTAMP]
    if not times:
        return cells(rows)
    fields = dict(enumerate(_fields(rows.layout), first))
    return (_timed(list(row), times, fields) for row in cells(rows))


def _timed(row: list[str], times: Sequence[int], fields: dict[int, Field]) -> list[str]:
    for at in times:
        if row[at]:
            row[at] = str(read(fields[at], row[at])).replace(" ", "T")
    return row


def insert(layout: Layout, table: str) -> str:
    """The statement that takes the cells of a row."""
    columns = ", ".join(quoted(name) for name in layout.columns)
    values = ", ".join(value(field, at) for at, field in enumerate(_fields(layout), 1))
    return f"INSERT INTO {quoted(table)} ({columns}) VALUES ({values})"


def value(field: Field, at: int) -> str:
    """What a column gets of the cell with this number."""
    if field.kind is Kind.BOOLEAN:
        return f"CASE WHEN ?{at} = '' THEN NULL ELSE lower(?{at}) IN ('true', 't', 'yes', 'y', '1') END"
    if field.kind is Kind.UUID:
        return f"NULLIF(lower(?{at}), '')"
    return f"NULLIF(?{at}, '')" if field.nullable else f"?{at}"


def _fields(layout: Layout) -> tuple[Field, ...]:
    return (*layout.fields, *layout.constants)
