"""The halves: how rows that the database refuses are found without trying each of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from headgate.store.postgresql.failures import FOREIGN_KEY, failure, is_held

Connection = psycopg.Connection[Any]
_ALL = (0, 2**63 - 1)


@dataclass(slots=True)
class Halves:
    """Does something with rows by the numbers of their lines, and keeps what the database says of those it refuses."""

    connection: Connection
    lines: Callable[[], Sequence[int]]  # of all rows; asked for when not all of them are taken
    raises: Callable[[psycopg.Error], bool]  # what is not looked into here
    beside: bool = False  # rows refer to each other: one that misses another of them is not refused for that
    errors: dict[int, psycopg.Error] = field(default_factory=dict)
    missed: bool = False  # some row missed another one

    def do(self, statement: str, listed: Sequence[int] = ()) -> None:
        """Do this with all rows. The statement takes the first line, the last, and those of the list between them."""
        self.connection.execute(b"SAVEPOINT half")
        if (error := self._error(statement, *_ALL, listed)) is None:
            self.connection.execute(b"RELEASE half")
        else:
            self._divide(statement, listed, error)

    def _divide(self, statement: str, listed: Sequence[int], error: psycopg.Error | None) -> None:
        self.connection.execute(b"RELEASE half")
        lines = self.lines()  # this may make an index, which the next savepoint must not undo
        self.connection.execute(b"SAVEPOINT half")
        ranges = [(0, len(lines) - 1)]
        while ranges:
            first, last = ranges.pop()
            if error is None:
                error = self._error(statement, lines[first], lines[last], listed)
            if error is None:
                self.connection.execute(b"RELEASE half; SAVEPOINT half")
            elif self._misses(error):
                self.missed = True
            elif first == last:
                self.errors[lines[first]] = error
            else:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
            error = None
        self.connection.execute(b"RELEASE half")

    def _error(self, statement: str, first: int, last: int, listed: Sequence[int]) -> psycopg.Error | None:
        between = list(listed[bisect_left(listed, first) : bisect_right(listed, last)])
        try:
            self.connection.execute(statement.encode(), (first, last, between))
        except psycopg.Error as error:
            if not self._misses(error) and (is_held(error) or failure(error, "") or self.raises(error)):
                raise
            self.connection.execute(b"ROLLBACK TO half")
            return error
        return None

    def _misses(self, error: psycopg.Error) -> bool:
        return self.beside and error.sqlstate == FOREIGN_KEY
