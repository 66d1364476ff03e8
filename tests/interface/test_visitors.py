"""The visitors: who is there, who was cut, and the pulse that looks after them."""

import asyncio

import pytest

from headgate.interface import visitors
from headgate.interface.visitors import Stall, Visitors
from headgate.runtime.tasks import Tasks
from tests.gates.web import eventually


class Guest:
    """One who stays until it is sent away."""

    since = 0.0
    cut = False

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.ended = 0

    def look(self, now: float) -> None:
        self.looks.append(now)

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "TICK", 0.001)


def test_a_stall_begins_with_the_first_look_at_a_client_that_takes_nothing() -> None:
    stall = Stall(10)
    assert not stall.lasts_too_long(paused=True, now=100.0)
    assert not stall.lasts_too_long(paused=True, now=109.9)
    assert stall.lasts_too_long(paused=True, now=110.0)


def test_a_client_that_took_something_stalls_anew() -> None:
    stall = Stall(10)
    assert not stall.lasts_too_long(paused=True, now=100.0)
    stall.ends()
    assert not stall.lasts_too_long(paused=True, now=111.0)
    assert not stall.lasts_too_long(paused=False, now=120.0)
    assert not stall.lasts_too_long(paused=True, now=125.0)
    assert stall.lasts_too_long(paused=True, now=135.0)


@pytest.mark.usefixtures("quick")
async def test_all_share_a_pulse_that_beats_while_somebody_is_there() -> None:
    async with Tasks() as tasks:
        there = Visitors(tasks, lambda: 7.0)
        guests = [Guest(), Guest()]
        for guest in guests:
            there.add(guest)
        assert (len(there), len(tasks), guests[0].since) == (2, 1, 7.0)
        await eventually(lambda: all(guest.looks for guest in guests))
        for guest in guests:
            there.remove(guest)
        await eventually(lambda: not len(tasks))
        there.add(guests[0])
        assert len(tasks) == 1


async def test_it_counts_who_came_and_who_was_cut() -> None:
    async with Tasks() as tasks:
        there = Visitors(tasks, lambda: 0.0)
        slow, quick = Guest(), Guest()
        for guest in (slow, quick):
            there.add(guest)
        slow.cut = True
        for guest in (slow, quick, slow, Guest()):
            there.remove(guest)
        assert (there.stats.opened, there.stats.cut, len(there)) == (2, 1, 0)
        assert repr(there) == "<Visitors: 0 there, 1 cut>"


async def test_draining_sends_away_all_that_are_there_even_those_that_leave_by_it() -> None:
    async with Tasks() as tasks:
        there = Visitors(tasks, lambda: 0.0)

        class Leaver(Guest):
            def end(self) -> None:
                super().end()
                there.remove(self)

        guests = [Leaver() for _ in range(10)]
        for guest in guests:
            there.add(guest)
        there.drain()
        assert [guest.ended for guest in guests] == [1] * 10
        await asyncio.sleep(0)
        assert len(there) == 0
