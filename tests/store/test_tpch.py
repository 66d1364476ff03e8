"""The eight tables of TPC-H in both stores: what goes in comes out, whether it is offered or sorted."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from headgate.core.cut import Piece
from headgate.core.entity import Entity, Kind, Value
from headgate.core.page import LineReader, Page
from headgate.core.table import quoted
from headgate.store import open_store
from headgate.store.base import Connection, Duplicates
from tests.layouts import EXAMPLE, TPCH
from tests.services.postgres import PostgresCluster


@pytest.fixture(scope="module")
def messages() -> bytes:
    script = str(EXAMPLE.parent / "make_messages.py")
    return subprocess.run([sys.executable, script, "--scale", "0.0001"], check=True, capture_output=True).stdout


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.create_database()


@pytest.mark.parametrize("offered", [True, False])
def test_every_record_comes_out_as_it_went_in(url: str, messages: bytes, offered: bool) -> None:
    store = open_store(url)
    store.prepare(list(TPCH.values()))
    session = store.connect()
    page = LineReader(list(TPCH.values())).read(Piece(messages, 1))
    assert not page.faults
    if offered:
        assert session.offer(page)
    else:
        assert not session.sort(page, {}).faults
    session.commit()
    assert set(page.good) == {name for name, entity in TPCH.items() if entity.storage}
    for entity in TPCH.values():
        assert kept(session, entity) == sent(page, entity)
    again = session.sort(page, dict.fromkeys(TPCH, Duplicates.SKIP))
    assert (len(again.skipped), again.faults) == (page.good.total(), ())
    session.close()
    store.close()


def kept(session: Connection, entity: Entity) -> set[tuple[Value, ...]]:
    assert entity.storage is not None
    columns = ", ".join(quoted(field.column) for field in entity.stored)
    rows = session._connection.execute(f"SELECT {columns} FROM {quoted(entity.storage.table)}").fetchall()  # type: ignore[attr-defined]
    kinds = [field.kind for field in entity.stored]
    return {tuple(map(value, kinds, row)) for row in rows}


def value(kind: Kind, cell: object) -> Value:
    """What a database gives, as Python's own; SQLite has texts for dates and floats for decimals."""
    if kind is Kind.DECIMAL and cell is not None:
        return Decimal(str(cell))
    return str(cell) if kind is Kind.DATE else cell  # type: ignore[return-value]


def sent(page: Page, entity: Entity) -> set[tuple[Value, ...]]:
    numbers = [number for number, name in page.messages() if name == entity.name]
    return {
        tuple(value(field.kind, record.values[field.name]) for field in entity.stored)
        for _, record in page.records(numbers)
    }
