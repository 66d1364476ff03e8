"""What SQLite does beside the contract: disks that are full, tables made by hand, files that others write to."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.core.cut import Piece
from headgate.core.entity import Kind, Storage
from headgate.core.page import LineReader
from headgate.errors import SchemaRefusal, StorageFull, Unavailable
from headgate.store.sqlite import SQLiteStore
from headgate.store.sqlite import store as room
from headgate.store.sqlite.session import SQLiteSession
from headgate.testing.store import ENTITIES, PLACE, THING, page
from tests.layouts import entity, field

PLACES = "CREATE TABLE places (place INTEGER NOT NULL PRIMARY KEY, name TEXT)"
USUAL = """CREATE TABLE things (
    thing integer PRIMARY KEY, tag BIGINT UNIQUE, place INT REFERENCES places, note VARCHAR(40) NOT NULL
)"""
MORE = """CREATE TABLE things (
    thing INTEGER NOT NULL PRIMARY KEY, tag INTEGER UNIQUE, place INTEGER, note TEXT NOT NULL,
    own INTEGER REFERENCES places, own_too INTEGER UNIQUE, FOREIGN KEY (place) REFERENCES places (place)
)"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


@pytest.fixture
def session(path: str) -> Iterator[SQLiteSession]:
    store = SQLiteStore(path)
    store.prepare(ENTITIES)
    session = store.connect()
    yield session
    session.close()


def count(path: str) -> int:
    with sqlite3.connect(path) as connection:
        [[found]] = connection.execute("SELECT count(*) FROM places")
    connection.close()
    return int(found)


@pytest.mark.parametrize("sorted_out", [False, True])
def test_a_full_disk_keeps_nothing_and_the_session_goes_on(session: SQLiteSession, path: str, sorted_out: bool) -> None:
    assert session.offer(page("P|1|a"))
    session.commit()
    [[pages]] = session._connection.execute("PRAGMA page_count")
    session._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    much = page(*(f"P|{number}|{'x' * 50}" for number in range(2, 2000)))
    assert session.offer(page("P|2000|earlier in the transaction"))
    with pytest.raises(StorageFull):
        session.sort(much, {}) if sorted_out else session.offer(much)
    session.commit()
    assert count(path) == 1
    assert session.offer(page("P|2|b"))
    session.commit()
    assert count(path) == 2


def test_who_waits_too_long_for_others_is_told(
    session: SQLiteSession, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.offer(page("P|1|a"))
    monkeypatch.setattr(room, "_BUSY_SECONDS", 0.05)
    other = SQLiteStore(path).connect()
    with pytest.raises(Unavailable, match="locked"):
        other.offer(page("P|2|a"))
    other.close()


def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(Unavailable):
        SQLiteStore(str(tmp_path / "folder.db")).prepare(ENTITIES)


def test_equal_values_are_equal_texts(path: str) -> None:
    fields = [field("at", Kind.TIMESTAMP), field("id", Kind.UUID), field("on", Kind.BOOLEAN, nullable=True)]
    visit = entity("Visit", "V", *fields, storage=Storage("visits", ("at", "id")))
    store, reader = SQLiteStore(path), LineReader([visit])
    store.prepare([visit])
    session = store.connect()
    uuid = "123e4567-e89b-12d3-a456-426614174abc"
    assert session.offer(reader.read(Piece(f"V|2020-01-01T01:30:00+02:00|{uuid}|yes".encode(), 1)))
    for same in ("2019-12-31 23:30", "2019-12-31T23:30:00Z", "2019-12-31T23:30:00.000000-00:00"):
        assert not session.offer(reader.read(Piece(f"V|{same}|{uuid.upper()}|".encode(), 1)))
    kept = session._connection.execute("SELECT * FROM visits").fetchall()
    assert kept == [("2019-12-31T23:30:00+00:00", uuid, 1)]
    session.close()


@pytest.mark.parametrize("statement", [USUAL, MORE])
@pytest.mark.parametrize("places", ["SELECT 1", PLACES])
def test_a_table_that_somebody_made_in_the_same_shape_is_taken(path: str, statement: str, places: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(places)
        connection.execute(statement)
    connection.close()
    store = SQLiteStore(path)
    store.prepare([PLACE, THING])
    session = store.connect()
    assert session.offer(page("P|1|a", "T|1|1|1|x"))
    assert session.sort(page("T|2|1||x"), {}).faults
    session.close()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (USUAL.replace("UNIQUE", ""), "unique columns"),
        (USUAL.replace("REFERENCES places", ""), "foreign keys"),
        (USUAL.replace("tag BIGINT", "tag TEXT"), "tag"),
    ],
)
def test_a_table_that_lacks_something_is_refused(path: str, statement: str, reason: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(SchemaRefusal, match=reason):
        SQLiteStore(path).prepare([PLACE, THING])
