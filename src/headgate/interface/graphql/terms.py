"""The terms of a graphql interface: what it serves, to whom, and how."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from headgate.interface.graphql.service import Service
from headgate.interface.visitors import Visitors


@dataclass(frozen=True, slots=True)
class Terms:
    """One interface. `drained` returns when the gate shuts down and nobody may wait longer."""

    path: str
    service: Service
    visitors: Visitors
    drained: Callable[[], Awaitable[object]]
    page: bool = False  # to try queries with
    subscriptions: int = 100  # of one connection, with the queries that are being carried out on it
    frame_bytes: int = 131_072
    rate: float = 1000.0  # frames per second from one client
    stall: float = 30.0  # seconds that a client may leave what it was sent
    on_slow: str = "drop_oldest"
    origins: frozenset[str] = frozenset()  # of other sites' pages that may connect
