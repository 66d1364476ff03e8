"""The terms of a WebSocket interface: who may connect, and what is offered to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from headgate.interface.cursors import Cursors
from headgate.interface.filter import Filter
from headgate.runtime.hub import Hub
from headgate.runtime.stream import Stream


@dataclass(frozen=True, slots=True)
class Terms:
    """What an interface offers."""

    hub: Hub | None  # of the stream that can be followed
    inlet: Stream | None  # the stream that can be published to
    filters: Sequence[Filter] = ()
    keyed: bool = False  # messages come and go with keys and headers
    on_slow: str = "drop_oldest"
    stall: float = 30.0  # seconds that a client may leave what it was sent
    frame_bytes: int = 65_536
    rate: float = 1000.0  # frames per second from one client
    path: str = ""
    cursors: Cursors | None = None  # that clients may bring
    origins: frozenset[str] = field(default_factory=frozenset)  # of other sites' pages that may connect

    @property
    def spoken(self) -> Stream:
        """The stream whose codec is spoken."""
        stream = self.hub.stream if self.hub is not None else self.inlet
        assert stream is not None
        return stream
