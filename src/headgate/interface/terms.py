"""The terms of a WebSocket interface: who may connect, and what is offered to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from headgate.core.scopes import ALL_KEYS, EVERYTHING, READ, WRITE, Keys
from headgate.errors import Forbidden
from headgate.interface.cursors import Cursors
from headgate.interface.filter import Filter
from headgate.interface.identity.caller import Caller
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
    readable: Keys = ALL_KEYS  # of the messages that this client may follow, and publish
    writable: Keys = ALL_KEYS
    origins: frozenset[str] = field(default_factory=frozenset)  # of other sites' pages that may connect

    def for_caller(self, caller: Caller) -> "Terms":
        """What of it this client is offered. Raises `Forbidden` when that is nothing."""
        if caller.scopes is EVERYTHING:
            return self
        hub, inlet = self.hub, self.inlet
        readable = None if hub is None else caller.keys(READ, [self.path, hub.stream.name])
        writable = None if inlet is None else caller.keys(WRITE, [self.path, inlet.name])
        if readable is None and writable is None:
            caller.permitted(READ, [self.path])
            raise Forbidden(f"{caller.name} may do nothing that is offered here")
        return replace(
            self,
            hub=None if readable is None else hub,
            inlet=None if writable is None else inlet,
            readable=readable or ALL_KEYS,
            writable=writable or ALL_KEYS,
        )

    @property
    def spoken(self) -> Stream:
        """The stream whose codec is spoken."""
        stream = self.hub.stream if self.hub is not None else self.inlet
        assert stream is not None
        return stream
