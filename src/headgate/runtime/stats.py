"""The gate's counters: plain numbers, counted where things happen, read by `/metrics` and `/streams`."""

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
    restarts: int = 0


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
