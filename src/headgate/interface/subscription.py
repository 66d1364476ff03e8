"""The subscription: one way in which the client of a WebSocket follows a stream."""

from headgate.errors import BadRequest
from headgate.interface.following import Following
from headgate.interface.frames import Voice
from headgate.interface.outlet import Outlet
from headgate.interface.socket import GOING_AWAY, Goodbye


class Subscription(Following):
    """What comes is written as frames; the place is the client's affair."""

    def __init__(self, voice: Voice, on_slow: str, way: Outlet) -> None:
        super().__init__(voice, on_slow)
        self._voice, self._way = voice, way

    async def opened(self, place: str) -> None:
        if self.over:
            return
        self.outlet = self._way
        self.write(self._voice.word("subscribed", **({"position": place} if place else {})))
        self.wake()

    def stop(self) -> None:
        super().stop()
        self.outlet = None  # what was being read for it comes too late

    def acknowledge(self, position: str) -> None:
        """The client dealt with all up to this place. May raise a `HeadgateError`."""
        raise BadRequest(f"this subscription has no cursor: there is nothing to acknowledge at {position[:80]!r}")

    @property
    def goodbye(self) -> Goodbye | None:
        """Why the whole socket is to be closed, now that this is over; None when it is not."""
        return Goodbye(GOING_AWAY, "the stream is closed; come again") if self.closed else None
