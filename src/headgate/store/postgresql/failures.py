"""What PostgreSQL's errors mean: the data is refused, the disk is full, or the server is of no use."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from headgate.errors import HeadgateError, StorageFull, Unavailable

_FULL = ("53100", "53200")  # disk full, out of memory
_AWAY = ("08", "53", "57", "58", "XX")  # connection, resources, intervention, system, internal
_READ_ONLY = "25006"
_AGAIN = ("40001", "40P01")  # serialization failure, deadlock
_RACES = (*_AGAIN, "23505", "23503")  # and keys that somebody else took, or took away, meanwhile


def is_race(error: psycopg.Error) -> bool:
    """Whether the same may go well at once: others were in the way."""
    return error.sqlstate in _RACES


def is_deadlock(error: psycopg.Error) -> bool:
    """Whether the transactions of others are the reason, and not the data."""
    return error.sqlstate in _AGAIN


def failure(error: psycopg.Error, where: str) -> HeadgateError | None:
    """What an error is to those above; None when it is about the data."""
    state = error.sqlstate or ""
    if state in _FULL:
        return StorageFull(f"the database at {where} has no room: {_told(error)}")
    if not state or state[:2] in _AWAY or state == _READ_ONLY:
        return Unavailable(f"the database at {where} cannot be used: {_told(error)}")
    return None


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise a `HeadgateError` for what is wrong with the server; errors of the data pass."""
    try:
        yield
    except psycopg.Error as error:
        if (found := failure(error, where)) is not None:
            raise found from None
        raise


def _told(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return text.strip().split("\n")[0]
