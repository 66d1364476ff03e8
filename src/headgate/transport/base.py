"""The contract of a transport: it opens sinks to send batches and sources to read them.

`headgate.testing.TransportContract` checks every line of it, for our transports and for plug-ins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from headgate.core.message import UNNAMED, Message, StreamId
from headgate.core.position import Batch, Position, Receipt, Start


class Delivery(StrEnum):
    """Who gets a message: every reader, or one of them."""

    BROADCAST = "broadcast"
    QUEUE = "queue"


class Overflow(StrEnum):
    """What happens when a stream holds all it may keep."""

    DROP_OLDEST = "drop_oldest"
    BLOCK = "block"
    REJECT = "reject"


class Ability(StrEnum):
    """What a transport may lack by nature. What it does not declare, it refuses at start."""

    QUEUE = "queue"  # `queue` delivery: each message goes to one reader
    START_TIME = "start_time"  # Since(timestamp)
    LAST = "last"  # Last(count)
    RESUME = "resume"  # a named cursor continues after a restart of the process
    DURABLE = "durable"  # what was acknowledged is there after a restart of the process
    RETAIN_COUNT = "retain_count"  # keeps the newest N, exactly
    RETAIN_AGE = "retain_age"  # keeps nothing older than that
    OVERFLOW = "overflow"  # block and reject, not only drop_oldest
    PARTITIONS = "partitions"  # order is promised within a key only
    SHARED = "shared"  # several processes may use the stream at once


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream, as a transport needs to know it."""

    name: str
    id: StreamId = UNNAMED
    topic: str = ""  # the name over there; empty means the stream's own
    url: str = ""
    delivery: Delivery = Delivery.BROADCAST
    keep_messages: int = 10_000
    keep_age: int | None = None  # nanoseconds
    overflow: Overflow = Overflow.DROP_OLDEST
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a stream reaches now. `messages` is what can be read (a queue: what waits)."""

    oldest: Position
    newest: Position
    messages: int
    dropped: int = 0


class Sink(Protocol):
    """Takes batches for one stream. Safe to use from many tasks of one loop."""

    async def send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        """Keep a batch and return when it is safe: what is acknowledged survives what the transport survives.

        A batch of one sender keeps its order. May raise `Unavailable`, `StreamFull`, `StorageFull` or
        `StreamClosed`; then none of the batch is acknowledged, though part of it may have been kept.
        """
        ...

    async def close(self) -> None:
        """Let what is in flight finish, then refuse further batches. Closing twice is fine."""
        ...


class Source(Protocol):
    """Reads one stream, for one reader at a time."""

    async def read(self, limit: int = 1000, wait: float | None = None) -> Batch:
        """The next messages: at least one, unless `wait` seconds pass first (None waits as long as it takes).

        `missed` counts what fell out of the stream before this reader came to it. May raise `Unavailable`
        or `StreamClosed`; after `Unavailable` the reader may read on, and nothing is skipped.
        """
        ...

    async def commit(self, position: Position) -> None:
        """Everything before this place was handed over. A named cursor, or the queue, continues from here."""
        ...

    async def close(self) -> None:
        """A read that waits raises `StreamClosed`. What a queue's reader did not commit is given out again."""
        ...


class Transport(Protocol):
    """Where streams live. Made once per connection; opens what its streams need.

    Its constructor takes plain keyword arguments and does nothing slow.
    """

    abilities: frozenset[Ability]

    async def open_sink(self, stream: StreamSettings) -> Sink:
        """A way in. Does not fail because the other side is away: sending does."""
        ...

    async def open_source(self, stream: StreamSettings, start: Start, cursor: str | None = None) -> Source:
        """A way out. A named cursor continues where it last committed and holds what it has not.

        `start` counts for a cursor that has no past. With `queue` delivery all readers share one cursor.
        """
        ...

    async def extent(self, stream: StreamSettings) -> Extent:
        """How far the stream reaches. May raise `Unavailable`."""
        ...

    def trouble(self) -> str | None:
        """Why this transport cannot be relied on just now, in words for `/ready`; None when all is well."""
        ...

    async def close(self) -> None:
        """Close all sinks and sources, then the connection."""
        ...
