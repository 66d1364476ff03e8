"""The lanes: commands of a high priority have a stream of their own, and overtake the others there."""

from collections.abc import Mapping, Sequence

from headgate.core.command import HIGHEST_PRIORITY
from headgate.core.message import Message
from headgate.runtime.stream import Stream


class Lanes:
    """Which stream a command goes to."""

    def __init__(self, stream: Stream, lanes: Mapping[int, Stream]) -> None:
        """`lanes` says from which priority on another stream is taken."""
        self._by_priority = [
            lanes[max(start)] if (start := [low for low in lanes if low <= priority]) else stream
            for priority in range(HIGHEST_PRIORITY + 1)
        ]
        self.streams: Mapping[str, Stream] = {found.name: found for found in [stream, *self._by_priority]}

    def __repr__(self) -> str:
        return f"<Lanes: {', '.join(self.streams)}>"

    def of(self, priority: int) -> Stream:
        """The stream of commands of this priority."""
        return self._by_priority[priority]

    async def publish(self, name: str, messages: Sequence[Message[bytes]]) -> None:
        """Publish to one of the streams. May raise a `TransportError`."""
        if messages:
            await self.streams[name].publish(messages)
