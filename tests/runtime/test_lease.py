"""The lease of a book of commands: one holds it, whoever lost it commits nothing, and what was sent may still land."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.core.position import Position
from headgate.runtime.command import lease as module
from headgate.runtime.command.lease import Lease, LeaseLost
from headgate.runtime.ingest.database import Database
from headgate.runtime.tasks import Tasks
from headgate.store import open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Tasks() as tasks:
        found = Database(open_store(f"sqlite:///{tmp_path}/book.db"), ())
        await found.open(tasks)
        yield found
        await found.close()


async def test_one_holds_it_until_it_gives_it_back(database: Database) -> None:
    one, other = Lease("s", database), Lease("s", database)
    assert [await one.take(), await other.take()] == [True, False]
    await one.write(lambda _: None, "stream", Position.single("e", 5))
    await one.give_back()
    assert (await other.take(), other.may_land) == (True, False)
    assert other.place("stream") == Position.single("e", 5)
    assert not one.is_held


async def test_who_lost_it_commits_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Lease("s", database), Lease("s", database)
    monkeypatch.setattr(module, "SECONDS", -1.0)  # over as soon as it is taken
    assert await one.take()
    assert await other.take()
    with pytest.raises(LeaseLost):
        await one.write(lambda session: session.take_note("x", "y", b"z", None))
    async with database.session() as session:
        assert await database.run(session.note, "x", "y") is None


async def test_what_another_sent_may_land_after_it_is_gone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Lease("s", database), Lease("s", database)
    monkeypatch.setattr(module, "SECONDS", -1.0)
    assert await one.take()
    await one.send_within(30.0)
    assert not one.may_land  # its own it knows
    assert await other.take()
    assert other.may_land
    await other.write(lambda _: None)  # it goes on to say so
    after = Lease("s", database)
    assert await after.take()
    assert after.may_land
    await after.give_back()
    last = Lease("s", database)
    assert await last.take()
    assert last.may_land
    monkeypatch.setattr(module, "is_gone", lambda _: True)  # on this machine, and certainly dead: nothing of it is left
    third = Lease("s", database)
    assert await third.take()
    assert not third.may_land
