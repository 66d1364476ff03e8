"""What SQLite's errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.errors import HeadgateError, StorageFull, Unavailable

_PRIMARY = 0xFF  # the part of an extended code that names the kind of error


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise a `HeadgateError` for what is wrong with the file; errors of the data pass."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        raise failure(error, path) from None


def failure(error: sqlite3.DatabaseError, path: str) -> HeadgateError:
    """What an error of the file is to those above."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"the disk of {path} is full")
    return Unavailable(f"the database {path} cannot be used: {error}")
