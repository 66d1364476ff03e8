"""Rates: how often somebody may do something, counted exactly, with the clock handed in."""

from collections import OrderedDict, deque
from collections.abc import Callable
from math import floor
from typing import NamedTuple, Protocol


class Verdict(NamedTuple):
    """Whether one more is allowed; then how many more, and how many seconds until there are more again."""

    allowed: bool
    remaining: int
    reset: float


class Meter(Protocol):
    """What is counted of one client."""

    def take(self, now: float) -> Verdict:
        """Count one more, if it is allowed. What is refused does not count."""
        ...


class FixedWindow:
    """So many in each window, all windows beginning at multiples of their length."""

    __slots__ = ("_limit", "_number", "_taken", "_window")

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._number, self._taken = -1, 0

    def take(self, now: float) -> Verdict:
        number = floor(now / self._window)
        if number != self._number:
            self._number, self._taken = number, 0
        reset = (number + 1) * self._window - now
        if self._taken >= self._limit:
            return Verdict(False, 0, reset)
        self._taken += 1
        return Verdict(True, self._limit - self._taken, reset)


class SlidingCounter:
    """As in a window that ends now; what lies in the window before counts by the share that is still covered."""

    __slots__ = ("_before", "_limit", "_number", "_taken", "_window")

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._number, self._taken, self._before = -2, 0, 0

    def take(self, now: float) -> Verdict:
        number = floor(now / self._window)
        if number != self._number:
            self._before = self._taken if number == self._number + 1 else 0
            self._number, self._taken = number, 0
        passed = now - number * self._window
        older = self._before * (1 - passed / self._window)
        if self._taken + older + 1 > self._limit:
            return Verdict(False, 0, self._until_room(passed))
        self._taken += 1
        return Verdict(True, int(self._limit - self._taken - older), self._window - passed)

    def _until_room(self, passed: float) -> float:
        spare = self._limit - 1 - self._taken
        if spare >= 0 and self._before:  # when so much of the window before has gone by
            return max(0.0, self._window * (1 - spare / self._before) - passed)
        # Not before the next window: there, what was taken in this one is the window before.
        share = 1 - (self._limit - 1) / self._taken if self._taken else 0.0
        return self._window - passed + max(0.0, share) * self._window


class SlidingLog:
    """As in a window that ends now, exactly: the time of each is kept."""

    __slots__ = ("_limit", "_times", "_window")

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._times: deque[float] = deque()

    def take(self, now: float) -> Verdict:
        times = self._times
        while times and times[0] <= now - self._window:
            times.popleft()
        if len(times) >= self._limit:
            return Verdict(False, 0, times[0] + self._window - now)
        times.append(now)
        return Verdict(True, self._limit - len(times), times[0] + self._window - now)


class Bucket:
    """A bucket of so many tokens that fills steadily, as many in a window; each takes one.

    A leaky bucket is the same seen from the other side: what a token is there is room here.
    """

    __slots__ = ("_at", "_limit", "_rate", "_tokens")

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._rate = limit, limit / window
        self._tokens = float(limit)
        self._at: float | None = None

    def take(self, now: float) -> Verdict:
        if self._at is not None:
            self._tokens = min(float(self._limit), self._tokens + (now - self._at) * self._rate)
        self._at = now
        # Sums of fractions miss a whole by a hair: who waited as long as was said is not sent away again.
        if self._tokens < 1 - 1e-9:
            return Verdict(False, 0, (1 - self._tokens) / self._rate)
        self._tokens -= 1
        return Verdict(True, int(self._tokens + 1e-9), (self._limit - self._tokens) / self._rate)


MAKERS: dict[str, Callable[[int, float], Meter]] = {
    "fixed_window": FixedWindow,
    "sliding_window_counter": SlidingCounter,
    "sliding_window_log": SlidingLog,
    "token_bucket": Bucket,
    "leaky_bucket": Bucket,
}


class Meters:
    """A meter for each client. The ones that were idle for longest are forgotten when there are too many."""

    def __init__(self, make: Callable[[], Meter], most: int) -> None:
        self._make, self._most = make, most
        self._meters: OrderedDict[str, Meter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._meters)

    def take(self, who: str, now: float) -> Verdict:
        """Count one more of this client's."""
        meter = self._meters.get(who)
        if meter is None:
            meter = self._meters[who] = self._make()
            if len(self._meters) > self._most:
                self._meters.popitem(last=False)
        else:
            self._meters.move_to_end(who)
        return meter.take(now)


class Places:
    """So many at once for each client."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, who: str) -> Verdict:
        """Take a place, if there is one. When it will be free again nobody knows."""
        taken = self._taken.get(who, 0)
        if taken >= self._limit:
            return Verdict(False, 0, 1.0)
        self._taken[who] = taken + 1
        return Verdict(True, self._limit - taken - 1, 0.0)

    def leave(self, who: str) -> None:
        """A place that was taken is free again."""
        left = self._taken[who] - 1
        if left:
            self._taken[who] = left
        else:
            del self._taken[who]
