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
        self.serializer: MessageSerializer[T] = serializer or JsonCodec()
        self._clock = clock
        self._waiting: deque[Message[bytes]] = deque()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<QueueBasedMessageSink: {len(self)} waiting, {self.dropped} dropped>"

    def __len__(self) -> int:
        with self._lock:
            self._drop_old()
            return len(self._waiting)

    def publish_messages(self, messages: Sequence[Message[T]]) -> None:
        """Keep a batch. Values are encoded now: one that cannot be is a `CodecError`, and nothing is kept."""
        encoded: list[Any] = [replace(message, value=self.serializer.encode(message.value)) for message in messages]
        with self._lock:
            self._waiting.extend(encoded)
            self._drop_oldest()
        for tell in self._listeners:
            tell()

    def drain(self, limit: int | None = None) -> list[Message[T]]:
        """What waits, oldest first; it waits no longer."""
        messages: list[Any] = self.take(limit)
        return [replace(message, value=self.serializer.decode(message.value)) for message in messages]

    def take(self, limit: int | None = None) -> list[Message[bytes]]:
        """The same with the values as bytes, for those who hand them on."""
        with self._lock:
            self._drop_old()
            count = len(self._waiting) if limit is None else min(limit, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def give_back(self, messages: Sequence[Message[bytes]]) -> None:
        """What was taken and could not be handed on waits again, before everything else."""
        with self._lock:
            self._waiting.extendleft(reversed(messages))
            self._drop_oldest()
        for tell in self._listeners:
            tell()

    def listen(self, tell: Callable[[], None]) -> None:
        """Call this, in the publisher's thread, when something waits. It must not raise or wait."""
        self._listeners.append(tell)

    def leave(self, tell: Callable[[], None]) -> None:
        """Call it no longer."""
        self._listeners = [other for other in self._listeners if other != tell]

    def _drop_oldest(self) -> None:
        for _ in range(len(self._waiting) - self.max_size):
            self._waiting.popleft()
            self.dropped += 1

    def _drop_old(self) -> None:
        if self._age is not None:
            horizon, before = self._clock() - self._age, len(self._waiting)
            self._waiting = deque(message for message in self._waiting if message.timestamp >= horizon)
            self.dropped += before - len(self._waiting)
