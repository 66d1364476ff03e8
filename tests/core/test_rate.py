"""Rates: each kind against a plain model, and what no kind may ever let through."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.rate import MAKERS, Bucket, FixedWindow, Meter, Meters, Places, SlidingCounter, SlidingLog

KINDS = sorted(MAKERS)
TIMES = st.lists(st.floats(0, 20, allow_nan=False).map(lambda seconds: round(seconds, 3)), max_size=60).map(sorted)
LIMITS = st.integers(1, 7)


def taken(meter: Meter, times: Sequence[float]) -> list[float]:
    """The times at which one more was allowed."""
    return [at for at in times if meter.take(at).allowed]


@given(LIMITS, TIMES)
def test_a_fixed_window_lets_so_many_through_in_each(limit: int, times: list[float]) -> None:
    for number in range(11):
        window = [at for at in times if 2 * number <= at < 2 * (number + 1)]
        assert taken(FixedWindow(limit, 2.0), window) == window[:limit]
    assert len(taken(FixedWindow(limit, 2.0), times)) == sum(
        min(limit, sum(at // 2 == number for at in times)) for number in range(11)
    )


@given(LIMITS, TIMES)
def test_a_sliding_log_never_has_more_in_any_window(limit: int, times: list[float]) -> None:
    allowed = taken(SlidingLog(limit, 2.0), times)
    assert all(sum(at - 2 < other <= at for other in allowed) <= limit for at in allowed)
    refused = sorted(times)
    for at in allowed:
        refused.remove(at)
    # Nobody is refused without need.
    assert all(sum(at - 2 < other <= at for other in allowed) >= limit for at in refused)


@given(LIMITS, TIMES)
def test_a_sliding_counter_never_passes_the_limit_in_its_own_windows(limit: int, times: list[float]) -> None:
    allowed = taken(SlidingCounter(limit, 2.0), times)
    assert all(sum(at // 2 == number for at in allowed) <= limit for number in range(11))
    if times:
        assert allowed[0] == times[0]


@given(LIMITS, TIMES)
def test_a_bucket_lets_a_burst_through_and_then_as_many_as_drip_in(limit: int, times: list[float]) -> None:
    allowed = taken(Bucket(limit, 2.0), times)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            span = allowed[last] - allowed[first]
            assert last - first + 1 <= limit + span * limit / 2 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@given(limit=LIMITS, times=TIMES)
def test_who_is_refused_and_waits_as_long_as_is_said_is_let_in(kind: str, limit: int, times: list[float]) -> None:
    meter = MAKERS[kind](limit, 2.0)
    for at in times:
        verdict = meter.take(at)
        if not verdict.allowed:
            assert verdict.reset > 0
            assert meter.take(at + verdict.reset + 1e-6).allowed
            return


@pytest.mark.parametrize("kind", KINDS)
def test_what_remains_is_what_is_let_through(kind: str) -> None:
    meter = MAKERS[kind](5, 60.0)
    verdicts = [meter.take(600.0) for _ in range(8)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 3
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0, 0, 0]
    assert all(0 < verdict.reset <= 120 for verdict in verdicts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_stands_still_gives_nothing_away(kind: str) -> None:
    meter = MAKERS[kind](3, 1.0)
    assert sum(meter.take(5.0).allowed for _ in range(1000)) == 3


def test_clients_are_counted_apart_and_the_idle_ones_forgotten_first() -> None:
    meters = Meters(partial(FixedWindow, 1, 60.0), most=3)
    assert [meters.take(who, 0.0).allowed for who in "aabc"] == [True, False, True, True]
    assert not meters.take("a", 1.0).allowed  # it is no longer the most idle
    assert meters.take("d", 1.0).allowed  # b is forgotten
    assert len(meters) == 3
    assert [meters.take(who, 1.0).allowed for who in "ab"] == [False, True]


def test_a_hundred_thousand_clients_cost_no_more_than_the_most() -> None:
    meters = Meters(partial(FixedWindow, 1, 60.0), most=1000)
    for number in range(100_000):
        meters.take(str(number), 0.0)
    assert len(meters) == 1000


def test_places_are_taken_and_left() -> None:
    places = Places(2)
    assert [places.take("a").allowed for _ in range(3)] == [True, True, False]
    assert places.take("b").allowed
    places.leave("a")
    assert [places.take("a").allowed for _ in range(2)] == [True, False]
    for who in "aab":
        places.leave(who)
    assert len(places) == 0


def test_every_kind_is_made() -> None:
    kinds: dict[str, Callable[[int, float], Meter]] = MAKERS
    assert sorted(kinds) == [
        "fixed_window",
        "leaky_bucket",
        "sliding_window_counter",
        "sliding_window_log",
        "token_bucket",
    ]
