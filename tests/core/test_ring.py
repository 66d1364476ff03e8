"""The ring against a list that keeps everything."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headgate.core.message import Message
from headgate.core.ring import Ring


def numbered(numbers: range) -> list[Message[bytes]]:
    return [Message(value=b"%d" % number, timestamp=number) for number in numbers]


class ListBesideRing(RuleBasedStateMachine):
    """Timestamps go up and down; what is kept is always the end of the list."""

    @initialize(capacity=st.integers(1, 12), age=st.none() | st.integers(0, 30), first=st.integers(0, 30))
    def make(self, capacity: int, age: int | None, first: int) -> None:
        self.now = 0
        self.ring = Ring(messages=capacity, age=age, clock=lambda: self.now, first=first)
        self.all: list[Message[bytes]] = [Message(value=b"of an earlier ring", timestamp=-1000)] * first
        self.oldest = first

    @rule(timestamps=st.lists(st.integers(-40, 10), max_size=30))
    def append(self, timestamps: list[int]) -> None:
        first = len(self.all)
        batch = [Message(value=b"%d" % (first + n), timestamp=self.now + t) for n, t in enumerate(timestamps)]
        assert self.ring.append(batch) == range(first, first + len(batch))
        self.all += batch
        self.oldest = max(self.oldest, len(self.all) - self.ring.capacity)

    @rule(passed=st.integers(-20, 20))
    def expire(self, passed: int) -> None:
        self.now += passed
        self.ring.expire()
        if self.ring.age is not None:
            young = (n for n in range(self.oldest, len(self.all)) if self._is_young(self.all[n].timestamp))
            self.oldest = next(young, len(self.all))

    def _is_young(self, timestamp: int) -> bool:
        return self.ring.age is None or timestamp >= self.now - self.ring.age

    @rule(ahead=st.integers(0, 15), limit=st.integers(0, 20))
    def read(self, ahead: int, limit: int) -> None:
        first = self.oldest + ahead
        found = self.ring.read(first, limit)
        expected = range(first, max(first, min(first + limit, len(self.all))))
        assert [(m.offset, m.partition, m.value) for m in found] == [(n, 0, b"%d" % n) for n in expected]

    @rule(timestamp=st.integers(-60, 60))
    def look_for_a_time(self, timestamp: int) -> None:
        kept = range(self.oldest, len(self.all))
        found = next((n for n in kept if self.all[n].timestamp >= timestamp), len(self.all))
        assert self.ring.since(timestamp) == found

    @rule()
    def wait_until_something_is_too_old(self) -> None:
        if (left := self.ring.expires_in()) is not None:
            self.now += left
            before = self.oldest
            self.expire(0)
            assert self.oldest > before

    @invariant()
    def the_extent_is_the_lists_end(self) -> None:
        assert (self.ring.oldest, self.ring.newest) == (self.oldest, len(self.all))
        assert len(self.ring) == len(self.all) - self.oldest


TestListBesideRing = ListBesideRing.TestCase
TestListBesideRing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_batch_larger_than_the_ring_leaves_its_end() -> None:
    ring = Ring(messages=3)
    ring.append(numbered(range(2)))
    assert ring.append(numbered(range(2, 10))) == range(2, 10)
    assert [m.value for m in ring.read(ring.oldest, 10)] == [b"7", b"8", b"9"]


def test_what_is_too_old_is_let_go_by_its_own_timestamp() -> None:
    now = 100
    ring = Ring(messages=10, age=10, clock=lambda: now)
    ring.append(numbered(range(85, 95)))
    ring.expire()
    assert (ring.oldest, len(ring)) == (5, 5)
    now = 200
    ring.expire()
    assert len(ring) == 0
    assert ring.read(ring.oldest, 5) == []


def test_what_is_too_old_is_no_longer_held_in_memory() -> None:
    ring = Ring(messages=10, age=10, clock=lambda: 100)
    ring.append(numbered(range(85, 95)))
    ring.expire()
    assert [slot is None for slot in ring._slots] == [True] * 5 + [False] * 5


def test_a_clock_that_goes_back_brings_nothing_back() -> None:
    now = 100
    ring = Ring(messages=10, age=10, clock=lambda: now)
    ring.append(numbered(range(85, 95)))
    ring.expire()
    now = 50
    ring.expire()
    assert (ring.oldest, len(ring)) == (5, 5)


def test_without_an_age_nothing_expires() -> None:
    ring = Ring(messages=10)
    ring.append(numbered(range(3)))
    ring.expire()
    assert len(ring) == 3
    assert ring.expires_in() is None


def test_a_time_is_found_by_its_first_message() -> None:
    ring = Ring(messages=4)
    ring.append([Message(value=b"", timestamp=time) for time in (5, 1, 7, 3, 9)])
    assert ring.since(6) == 2
    assert ring.since(8) == 4
    assert ring.since(10) == ring.newest


def test_a_ring_keeps_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ring(messages=0)


def test_a_ring_shows_itself() -> None:
    assert repr(Ring(messages=5)) == "<Ring: 0 of 5 kept, 0..0>"
