"""Patterns for ranges of integers: exactly those, and nothing that only looks like one."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.core.number_range import integers

SMALL = st.integers(-1200, 1200)
ANY = st.integers(-(10**20), 10**20)


@given(st.tuples(SMALL, SMALL).map(sorted))
@example([0, 0])
@example([-1, 0])
@example([1, 10])
def test_a_range_holds_its_integers_and_no_others(limits: list[int]) -> None:
    low, high = limits
    pattern = re.compile(integers(low, high))
    held = [number for number in range(-1300, 1301) if pattern.fullmatch(str(number))]
    assert held == list(range(low, high + 1))


@given(st.tuples(ANY, ANY).map(sorted), ANY)
def test_large_ranges_end_where_they_end(limits: list[int], number: int) -> None:
    low, high = limits
    pattern = re.compile(integers(low, high))
    for tried in (number, low, high, low - 1, high + 1, (low + high) // 2, -low, -high):
        assert bool(pattern.fullmatch(str(tried))) == (low <= tried <= high)


@pytest.mark.parametrize("text", ["", "-", "+1", "01", "-0", "00", "1.0", "1e1", " 1", "1 ", "٣", "0x1", "1_0", "--1"])
def test_only_the_plain_way_to_write_a_number_counts(text: str) -> None:
    assert not re.fullmatch(integers(-(2**63), 2**63 - 1), text)
