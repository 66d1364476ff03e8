"""The ring: the last N messages of a stream, numbered, oldest dropped first."""

import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from headgate.core.message import Message


class Ring:
    """Keeps at most `messages`, none older than `age` ns. An age is measured by a message's own timestamp.

    Messages go in the order in which they came: one that is too old goes after all that came before it.
    """

    def __init__(
        self,
        *,
        messages: int = 10_000,
        age: int | None = None,
        clock: Callable[[], int] = time.time_ns,
        first: int = 0,
    ) -> None:
        if messages < 1:
            raise ValueError("a ring keeps at least one message")
        self.capacity = messages
        self.age = age
        self.oldest = first
        self.newest = first  # the offset that the next message gets
        self._clock = clock
        self._slots: list[Message[bytes] | None] = []

    def __repr__(self) -> str:
        return f"<Ring: {len(self)} of {self.capacity} kept, {self.oldest}..{self.newest}>"

    def __len__(self) -> int:
        return self.newest - self.oldest

    def append(self, batch: Sequence[Message[bytes]]) -> range:
        """Keep a batch and give its offsets; the oldest go where there is no room."""
        first, self.newest = self.newest, self.newest + len(batch)
        kept = batch[-self.capacity :]
        start = self.newest - len(kept)
        stamped = [
            replace(m, offset=offset, partition=0) for m, offset in zip(kept, range(start, self.newest), strict=True)
        ]
        self._store(start, stamped)
        self.oldest = max(self.oldest, self.newest - self.capacity)
        return range(first, self.newest)

    def _store(self, start: int, stamped: list[Message[bytes]]) -> None:
        if len(self._slots) < self.capacity:
            self._grow(min(self.capacity, self.newest))
        at = start % self.capacity
        tail = min(len(stamped), self.capacity - at)
        self._slots[at : at + tail] = stamped[:tail]
        self._slots[: len(stamped) - tail] = stamped[tail:]

    def _grow(self, length: int) -> None:
        # Until the ring first wraps, slot and offset are the same number.
        self._slots.extend([None] * (length - len(self._slots)))

    def read(self, offset: int, limit: int) -> list[Message[bytes]]:
        """Up to `limit` messages from `offset`, which must not be before `oldest`."""
        end = min(offset + limit, self.newest)
        if offset >= end:
            return []
        at, stop = offset % self.capacity, end % self.capacity
        if at < stop or stop == 0:
            return self._slots[at : stop or self.capacity]  # type: ignore[return-value]
        return self._slots[at:] + self._slots[:stop]  # type: ignore[return-value]

    def expire(self) -> None:
        """Let go of what is older than the ring keeps."""
        if self.age is None:
            return
        horizon = self._clock() - self.age
        while self.oldest < self.newest and self._at(self.oldest).timestamp < horizon:
            self._slots[self.oldest % self.capacity] = None
            self.oldest += 1

    def expires_in(self) -> int | None:
        """In how many ns the oldest message is too old; None when none ever is."""
        if self.age is None or not len(self):
            return None
        return max(0, self._at(self.oldest).timestamp + self.age - self._clock() + 1)

    def since(self, timestamp: int) -> int:
        """The offset of the first message whose timestamp is this or later."""
        kept = range(self.oldest, self.newest)
        return next((offset for offset in kept if self._at(offset).timestamp >= timestamp), self.newest)

    def _at(self, offset: int) -> Message[bytes]:
        message = self._slots[offset % self.capacity]
        assert message is not None
        return message
