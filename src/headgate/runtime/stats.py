"""The gate's counters: plain numbers, counted where things happen, read by `/metrics` and `/streams`."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class StreamStats:
    """What one stream has seen."""

    published: int = 0
    published_bytes: int = 0
    refused: int = 0  # messages whose batch the transport did not keep
    delivered: int = 0
    missed: int = 0  # messages that readers were too late for


@dataclass(slots=True)
class NodeStats:
    """What one node has done."""

    handled: int = 0
    emitted: int = 0
    failed: int = 0
    retried: int = 0
    dead_letters: int = 0
    restarts: int = 0


@dataclass(slots=True)
class GroupStats:
    """What became of one group's workers."""

    started: int = 0
    lost: int = 0
    cpu_seconds: float = 0.0  # of those that have ended


@dataclass(frozen=True, slots=True)
class GroupState:
    """How one group's workers are just now."""

    workers: int
    portions: int
    resident_bytes: int
    cpu_seconds: float


@dataclass(slots=True)
class WebStats:
    """What came in by HTTP: requests and seconds by route, method and status class."""

    requests: dict[tuple[str, str, int], int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request is done. Routes come from the plan, so the labels are bounded."""
        label = (route, method, status)
        self.requests[label] = self.requests.get(label, 0) + 1
        self.seconds[route] = self.seconds.get(route, 0.0) + seconds

    def count_error(self, code: str) -> None:
        """One request ended in this error of the tree."""
        self.errors[code] = self.errors.get(code, 0) + 1


@dataclass(slots=True)
class ConfigStats:
    """What became of the settings that this service was told."""

    applied: int = 0
    refused: int = 0


DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RECENT = 60  # seconds that count for the rate


@dataclass(slots=True)
class Durations:
    """How long things took, by classes of their length."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS) + 1))
    seconds: float = 0.0

    def count(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(DURATIONS, seconds)] += 1
        self.seconds += seconds


@dataclass(slots=True)
class CommandStats:
    """What came in for devices."""

    sent: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_time: float | None = None
    durations: Durations = field(default_factory=Durations)

    def fail(self, error: str, now: float) -> None:
        """One command was not acknowledged."""
        self.failed += 1
        self.last_error, self.last_error_time = error, now


@dataclass(slots=True)
class IngestStats:
    """What came in for the database. Entities come from the plan, so the labels are bounded."""

    messages: Counter[tuple[str, str]] = field(default_factory=Counter)  # by entity and success, duplicate or error
    durations: Durations = field(default_factory=Durations)  # of requests
    _by_second: dict[int, int] = field(default_factory=dict)

    def count_messages(self, good: Mapping[str, int], duplicates: Mapping[str, int], bad: Mapping[str, int]) -> None:
        """Messages that are settled."""
        for status, counts in (("success", good), ("duplicate", duplicates), ("error", bad)):
            for entity, count in counts.items():
                if count:
                    self.messages[entity, status] += count

    def count_request(self, seconds: float, now: float) -> None:
        """One request is answered."""
        self.durations.count(seconds)
        second = int(now)
        self._by_second[second] = self._by_second.get(second, 0) + 1
        if len(self._by_second) > 2 * _RECENT:
            self._by_second = {at: count for at, count in self._by_second.items() if at > second - _RECENT}

    def requests_per_second(self, now: float, since: float) -> float:
        """Of the last minute, or of the time since the start when that is shorter."""
        span = min(max(now - since, 1.0), float(_RECENT))
        recent = sum(count for at, count in self._by_second.items() if at > now - span - 1)
        return round(recent / span, 1)
