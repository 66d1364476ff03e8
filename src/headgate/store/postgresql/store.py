"""The store: a database of PostgreSQL, its tables, and the sessions that write to it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from headgate.core.entity import Entity
from headgate.errors import SchemaRefusal
from headgate.store.postgresql.failures import translated
from headgate.store.postgresql.schema import OWN_TABLES, statements
from headgate.store.postgresql.session import PostgreSQLSession

_LOCK = 0x6865616467617465  # "headgate": whoever makes tables holds it
_CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "headgate",
    # A time without an offset is in UTC, and what we read back has to look the same everywhere.
    "options": "-c TimeZone=UTC -c DateStyle=ISO -c extra_float_digits=1 -c standard_conforming_strings=on",
}


class PostgreSQLStore:
    """A database on a server."""

    most_sessions = 8
    exclusive = False

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = urlunsplit(parts._replace(scheme="postgresql"))
        self._where = f"{parts.hostname or 'the local socket'}:{parts.port or 5432}"
        self._entities: tuple[Entity, ...] = ()
        self._version = 0

    def __repr__(self) -> str:
        return f"<PostgreSQLStore {self._where}>"

    def prepare(self, entities: Sequence[Entity]) -> None:
        with translated(self._where), self._connection() as connection:
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    connection.execute(OWN_TABLES)
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
        return psycopg.connect(self._url, autocommit=True, prepare_threshold=None, **_CONNECT)
