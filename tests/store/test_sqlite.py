"""SQLite as a store."""

from pathlib import Path

import pytest

from headgate.store.base import Connection
from headgate.store.sqlite import SQLiteStore
from headgate.testing.store import Make, Rows, StoreContract


class TestSQLite(StoreContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: SQLiteStore(str(tmp_path / "deep" / "store.db"))

    def rows(self, table: str, columns: str, session: Connection) -> Rows:
        found = session._connection.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}").fetchall()
        return [tuple(None if cell is None else str(cell) for cell in row) for row in found]

    def execute(self, session: Connection, statement: str) -> None:
        session._connection.execute(statement)

    def forbid(self, session: Connection) -> None:
        self.execute(
            session,
            "CREATE TRIGGER no BEFORE INSERT ON places WHEN NEW.name = 'no' BEGIN SELECT RAISE(ABORT, 'no_no'); END",
        )
