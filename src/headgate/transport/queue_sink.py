"""A bounded queue as a message sink: what a service publishes waits here until somebody drains it."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec.structs import replace

from headgate.core.codec import JsonCodec, MessageSerializer
from headgate.core.ledger import Ledger
from headgate.core.message import Message
from headgate.core.ring import Ring

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
        age = None if max_age_seconds is None else int(max_age_seconds * 1e9)
        self._codec: MessageSerializer[T] = serializer or JsonCodec()
        self._ring = Ring(messages=max_size, age=age, clock=clock)
        self._ledger = Ledger()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<QueueBasedMessageSink: {len(self)} waiting, {self.dropped} dropped>"

    def __len__(self) -> int:
        with self._lock:
            self._refresh()
            return self._ledger.waiting(self._ring.newest)

    @property
    def dropped(self) -> int:
        """How many nobody read before they had to go."""
        return self._ledger.dropped

    def publish_messages(self, messages: Sequence[Message[T]]) -> None:
        """Keep a batch. Values are encoded now: one that cannot be is a `CodecError`, and nothing is kept."""
        encoded = [replace(message, value=self._codec.encode(message.value)) for message in messages]
        with self._lock:
            self._ring.append(encoded)  # type: ignore[arg-type]
            self._refresh()

    def drain(self, limit: int | None = None) -> list[Message[T]]:
        """What waits, oldest first; it waits no longer."""
        with self._lock:
            self._refresh()
            most = self._ring.capacity if limit is None else limit
            taken = self._ledger.take(0, newest=self._ring.newest, limit=most)
            self._ledger.done(0, taken.stop)
            messages = self._ring.read(taken.start, len(taken))
        return [replace(message, value=self._codec.decode(message.value)) for message in messages]  # type: ignore[arg-type]

    def _refresh(self) -> None:
        self._ring.expire()
        self._ledger.drop_before(self._ring.oldest)
