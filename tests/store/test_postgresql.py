"""PostgreSQL as a store."""

import pytest

from headgate.store.base import Connection
from headgate.store.postgresql import PostgreSQLStore
from headgate.testing.store import Make, Rows, StoreContract
from tests.services.postgres import PostgresCluster


class TestPostgreSQL(StoreContract):
    @pytest.fixture
    def make(self, postgres: PostgresCluster) -> Make:
        url = postgres.create_database()
        return lambda: PostgreSQLStore(url)

    def rows(self, table: str, columns: str, session: Connection) -> Rows:
        texts = ", ".join(f"{column}::text" for column in columns.split(", "))
        order = ", ".join(f"{column} NULLS FIRST" for column in columns.split(", "))
        found: Rows = session._connection.execute(f"SELECT {texts} FROM {table} ORDER BY {order}").fetchall()
        return found

    def execute(self, session: Connection, statement: str) -> None:
        session._connection.execute(statement)

    def forbid(self, session: Connection) -> None:
        self.execute(session, "ALTER TABLE places ADD CONSTRAINT no_no CHECK (name <> 'no')")
