"""The workload: how much of its clients' bodies a gate holds at once. More is refused before it is read."""

from dataclasses import dataclass

from headgate.errors import Overloaded


@dataclass(slots=True)
class Workload:
    """Requests whose bodies are being read or dealt with, and the bytes of those."""

    most_requests: int = 1000
    most_bytes: int = 64 * 1024 * 1024
    requests: int = 0
    bytes: int = 0

    def begin(self, declared: int) -> None:
        """One more, of so many bytes as far as it says. Raises `Overloaded` when that is too much."""
        if self.requests >= self.most_requests:
            raise Overloaded(f"{self.requests} requests are being dealt with; try again in a moment")
        if self.requests and self.bytes + declared > self.most_bytes:
            raise Overloaded(f"{self.bytes} bytes of requests are being dealt with; try again in a moment")
        self.requests += 1
        self.bytes += declared

    def grow(self, count: int) -> None:
        """One of them has so many bytes more than it said."""
        if self.requests > 1 and self.bytes + count > self.most_bytes:
            raise Overloaded(f"{self.bytes} bytes of requests are being dealt with; try again in a moment")
        self.bytes += count

    def end(self, count: int) -> None:
        """One of them, which had so many bytes, is answered."""
        self.requests -= 1
        self.bytes -= count
