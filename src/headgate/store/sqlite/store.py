"""The store: a file of SQLite, its tables, and the sessions that write to it."""

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from headgate.core.entity import Entity
from headgate.errors import Unavailable
from headgate.store.sqlite.failures import translated
from headgate.store.sqlite.schema import OWN_TABLES, statements
from headgate.store.sqlite.session import SQLiteSession

_BUSY_SECONDS = 10.0
_AGAIN_SECONDS = 0.01


class SQLiteStore:
    """A database in a file."""

    most_sessions = 1
    exclusive = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._entities: tuple[Entity, ...] = ()
        # A database in memory lives as long as a connection to it does.
        self._held = sqlite3.connect(":memory:", check_same_thread=False) if path == ":memory:" else None

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path}>"

    def prepare(self, entities: Sequence[Entity]) -> None:
        with translated(self._path):
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                for statement in (*OWN_TABLES.split(";"), *statements(connection, entities)):
                    connection.execute(statement)
                connection.execute("COMMIT")
            finally:
                if self._held is None:
                    connection.close()
        self._entities = tuple(entities)

    def connect(self) -> SQLiteSession:
        with translated(self._path):
            return SQLiteSession(self._open(), self._path, self._entities, keep_open=self._held is not None)

    def close(self) -> None:
        if self._held is not None:
            self._held.close()

    def _open(self) -> sqlite3.Connection:
        if self._held is not None:
            connection = self._held
            connection.isolation_level = None
        else:
            try:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(f"the folder of {self._path} cannot be made: {error.strerror}") from None
            connection = sqlite3.connect(
                os.fspath(self._path), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite does not wait when another does the same to a fresh file, so we do."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
