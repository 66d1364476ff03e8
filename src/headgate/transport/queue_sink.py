"""A bounded queue as a message sink: what a service publishes waits here until somebody drains it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from headgate.core.codec import JsonCodec, MessageSerializer
from headgate.core.message import Message

T = TypeVar("T")


class QueueBasedMessageSink(Generic[T]):
    """Takes messages and keeps the newest `max_size`, none older than `max_age_seconds`. Reading drains.

    When it is full the oldest go, and `dropped` counts them. An age is measured from the message's own
    timestamp when it is read. Safe to use from several threads.
    """

    def __init__(
        self,
        max_size: int = 1000,
        max_age_seconds: float | None = None,
        *,
        serializer: MessageSerializer[T] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        if max_size < 1:
            raise ValueError("a queue keeps at least one message")
        self.max_size = max_size
        self.dropped = 0  # how many had to go before anybody read them
        self._age = None if max_age_seconds is None else int(max_age_seconds * 1e9)
        self._codec: MessageSerializer[T] = serializer or JsonCodec()
        self._clock = clock
        self._waiting: deque[Message[bytes]] = deque()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<QueueBasedMessageSink: {len(self)} waiting, {self.dropped} dropped>"

    def __len__(self) -> int:
        with self._lock:
            self._drop_old()
            return len(self._waiting)

    def publish_messages(self, messages: Sequence[Message[T]]) -> None:
        """Keep a batch. Values are encoded now: one that cannot be is a `CodecError`, and nothing is kept."""
        encoded: list[Any] = [replace(message, value=self._codec.encode(message.value)) for message in messages]
        with self._lock:
            self._waiting.extend(encoded)
            for _ in range(len(self._waiting) - self.max_size):
                self._waiting.popleft()
                self.dropped += 1

    def drain(self, limit: int | None = None) -> list[Message[T]]:
        """What waits, oldest first; it waits no longer."""
        with self._lock:
            self._drop_old()
            count = len(self._waiting) if limit is None else min(limit, len(self._waiting))
            messages: list[Any] = [self._waiting.popleft() for _ in range(count)]
        return [replace(message, value=self._codec.decode(message.value)) for message in messages]

    def _drop_old(self) -> None:
        if self._age is not None:
            horizon, before = self._clock() - self._age, len(self._waiting)
            self._waiting = deque(message for message in self._waiting if message.timestamp >= horizon)
            self.dropped += before - len(self._waiting)
