"""The store: a database of PostgreSQL, its tables, and the sessions that write to it."""

from collections.abc import Sequence
from typing import Any

import psycopg

from headgate.core.entity import Entity
from headgate.errors import SchemaRefusal
from headgate.store.postgresql.address import Address
from headgate.store.postgresql.failures import translated
from headgate.store.postgresql.schema import statements
from headgate.store.postgresql.session import PostgreSQLSession

_LOCK = 0x6865616467617465  # "headgate": whoever makes tables holds it


class PostgreSQLStore:
    """A database on a server."""

    most_sessions = 8
    exclusive = False

    def __init__(self, url: str) -> None:
        self._address = Address(url)
        self._where = self._address.told
        self._entities: tuple[Entity, ...] = ()
        self._version = 0

    def __repr__(self) -> str:
        return f"<PostgreSQLStore {self._where}>"

    def prepare(self, entities: Sequence[Entity]) -> None:
        with translated(self._where), self._connection() as connection:
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    for statement in statements(connection, entities):
                        connection.execute(statement.encode())
            except psycopg.Error as error:
                if error.sqlstate and error.sqlstate.startswith(("42", "0A", "22", "23", "2B")):
                    raise SchemaRefusal(f"the tables cannot be made: {error.diag.message_primary}") from None
                raise
        self._entities = tuple(entities)
        self._version += 1

    def connect(self) -> PostgreSQLSession:
        with translated(self._where):
            return PostgreSQLSession(self._connection(), self._where, lambda: (self._version, self._entities))

    def close(self) -> None:
        pass  # the sessions are all that there is

    def _connection(self) -> psycopg.Connection[Any]:
        return self._address.connect()
