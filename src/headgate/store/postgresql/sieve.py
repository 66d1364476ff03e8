"""The sieve: which keys of a block are there already is asked with the keys alone, and all other rows go by COPY.

That is quicker than the stage where rows that are passed over are all that is wrong, as when something is sent again.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from headgate.core.entity import DELIMITER
from headgate.core.rows import Rows

_DELIMITER = DELIMITER.encode()


def keys_alone(rows: Rows, columns: Sequence[str]) -> bytes | None:
    """The number of each numbered row, and these columns of it; None where it takes more than cutting to find them."""
    if b"\\" in rows.data or not set(columns) <= set(rows.layout.columns):
        return None
    places = [0, *(1 + rows.layout.columns.index(column) for column in columns)]
    cuts = max(places) + 1
    cells = (line.split(_DELIMITER, cuts) for line in _lines(rows))
    return _joined(_DELIMITER.join([row[place] for place in places]) for row in cells)


def repeated(found: Iterable[bytes], keys: Sequence[Sequence[int]], passed: Collection[int]) -> set[int]:
    """Of numbers and keys alone: the rows that have a key of an earlier one. `keys` are the places of each one's cells.

    Keys that are the same in other digits are not seen: those the database refuses.
    """
    again: set[int] = set()
    seen: set[tuple[bytes, ...]] = set()
    for number, cells in sorted(_numbered(found)):
        if number not in passed:
            own = [(b"%d" % at, *(cells[place] for place in places)) for at, places in enumerate(keys)]
            own = [key for key in own if b"" not in key]
            if seen.isdisjoint(own):
                seen.update(own)
            else:
                again.add(number)
    return again


def _numbered(found: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for data in found:
        for line in data.split(b"\n")[:-1]:
            number, *cells = line.split(_DELIMITER)
            yield int(number), cells


def without(rows: Rows, passed: Collection[int]) -> bytes:
    """Numbered rows without their numbers, but for some."""
    numbered = (line.split(_DELIMITER, 1) for line in _lines(rows))
    return _joined(row for number, row in numbered if int(number) not in passed)


def _lines(rows: Rows) -> Sequence[bytes]:
    return rows.data.split(b"\n")[:-1]


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join([line + b"\n" for line in lines])
