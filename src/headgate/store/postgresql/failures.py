"""What PostgreSQL's errors mean: the data is refused, others are in the way, the disk is full, the server is away."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from headgate.errors import HeadgateError, StorageFull, Unavailable

UNIQUE, FOREIGN_KEY = "23505", "23503"
_FULL = ("53100", "53200")  # disk full, out of memory
# Connection, transaction (read-only, timed out), login, no such database, resources, intervention, system, internal.
_AWAY = ("08", "25", "28", "3D", "53", "57", "58", "XX")
_OTHER_TABLES = ("3F", "42")  # a schema, table or column is not there any more, or is not for us
_ROW_SECURITY = "42501"  # also what a row is told that a policy forbids
_HELD = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock timeout


def is_race(error: psycopg.Error) -> bool:
    """Whether the same may go well at once: others were in the way, or took a key, or took one away."""
    return is_held(error) or error.sqlstate in (UNIQUE, FOREIGN_KEY)


def is_held(error: psycopg.Error) -> bool:
    """Whether the transactions of others are the reason, and not the data."""
    return error.sqlstate in _HELD


def failure(error: psycopg.Error, where: str) -> HeadgateError | None:
    """What an error is to those above; None when it is about the data."""
    state = error.sqlstate or ""
    if state in _FULL:
        return StorageFull(f"the database at {where} has no room: {told(error)}")
    if state == _ROW_SECURITY or not (_is_broken(error) or state[:2] in (*_AWAY, *_OTHER_TABLES)):
        return None
    return Unavailable(f"the database at {where} cannot be used: {told(error)}")


def _is_broken(error: psycopg.Error) -> bool:
    # What the client itself finds has no code: a connection that is gone, or a value that it cannot send.
    return not error.sqlstate and not isinstance(error, psycopg.DataError)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise a `HeadgateError` for what is wrong with the server; errors of the data pass."""
    try:
        yield
    except psycopg.Error as error:
        if (found := failure(error, where)) is not None:
            raise found from None
        raise


def told(error: psycopg.Error) -> str:
    """What the database says, on one line."""
    text = error.diag.message_primary or str(error)
    return text.strip().split("\n")[0]
