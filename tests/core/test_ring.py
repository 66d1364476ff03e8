"""The ring against a list that keeps everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.message import Message
from headgate.core.ring import Ring


def numbered(numbers: range) -> list[Message[bytes]]:
    return [Message(value=b"%d" % number, timestamp=number) for number in numbers]


@given(st.integers(1, 12), st.lists(st.integers(0, 30), max_size=20), st.integers(0, 40), st.integers(0, 40))
def test_a_ring_is_the_end_of_a_list(capacity: int, batches: list[int], offset: int, limit: int) -> None:
    ring, kept = Ring(messages=capacity), 0
    for size in batches:
        assert ring.append(numbered(range(kept, kept + size))) == range(kept, kept + size)
        kept += size
    assert (ring.oldest, ring.newest, len(ring)) == (max(0, kept - capacity), kept, min(kept, capacity))
    first = max(offset, ring.oldest)
    found = ring.read(first, limit)
    assert [(m.offset, m.value) for m in found] == [(n, b"%d" % n) for n in range(first, min(first + limit, kept))]


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


def test_without_an_age_nothing_expires() -> None:
    ring = Ring(messages=10)
    ring.append(numbered(range(3)))
    ring.expire()
    assert len(ring) == 3


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
