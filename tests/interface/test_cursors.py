"""Who has which cursor: one at a time."""

import asyncio

import pytest

from headgate.errors import Refused
from headgate.interface import cursors as cursors_room
from headgate.interface.cursors import Cursors
from tests.gates.web import eventually


class Reader:
    """One who reads until it is asked to give way, and then takes its time."""

    def __init__(self) -> None:
        self.asked, self.may_go = asyncio.Event(), asyncio.Event()
        self.has = False

    def give_way(self) -> None:
        self.asked.set()

    async def read(self, cursors: Cursors, name: str) -> None:
        async with cursors.held(name, self):
            self.has = True
            await self.asked.wait()
            await self.may_go.wait()
            self.has = False


async def test_a_newcomer_waits_until_the_cursor_was_let_go_of() -> None:
    cursors, first, second = Cursors(), Reader(), Reader()
    one = asyncio.ensure_future(first.read(cursors, "c"))
    await eventually(lambda: first.has)
    other = asyncio.ensure_future(second.read(cursors, "c"))
    await first.asked.wait()
    await asyncio.sleep(0)
    assert (first.has, second.has, repr(cursors)) == (True, False, "<Cursors: 1 held>")
    first.may_go.set()
    await one
    await eventually(lambda: second.has)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert len(cursors) == 0


async def test_of_all_who_come_the_last_one_stays() -> None:
    cursors, readers = Cursors(), [Reader() for _ in range(20)]
    for reader in readers:
        reader.may_go.set()
    reading = [asyncio.ensure_future(reader.read(cursors, "c")) for reader in readers]
    await eventually(lambda: sum(task.done() for task in reading) == 19)
    assert sum(reader.has for reader in readers) == len(cursors) == 1
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)


async def test_names_are_not_invented_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors_room, "MOST_NAMES", 2)
    cursors = Cursors()
    for name in ("a", "b", "a"):
        async with cursors.held(name, Reader()):
            assert len(cursors) == 1
    with pytest.raises(Refused, match="2 cursors are the limit"):
        async with cursors.held("c", Reader()):
            pass
    assert len(cursors) == 0


async def test_cursors_of_other_names_are_nobodys_business() -> None:
    cursors, first, second = Cursors(), Reader(), Reader()
    reading = [asyncio.ensure_future(reader.read(cursors, name)) for reader, name in ((first, "a"), (second, "b"))]
    await eventually(lambda: first.has and second.has)
    assert not first.asked.is_set()
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
