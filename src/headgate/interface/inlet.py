"""The inlet: what a client publishes by its WebSocket, in its order, and the answer to each."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import repeat

from headgate.core.lanes import Payload
from headgate.core.message import Message
from headgate.core.position import Position
from headgate.core.scopes import ALL_KEYS, Keys
from headgate.errors import BadRequest, CodecError, Forbidden, HeadgateError, StreamClosed, TransportError
from headgate.interface.frames import Publish, PublishBytes, Voice, published
from headgate.interface.outlet import Outlet
from headgate.runtime.stream import Stream
from headgate.transport.bell import Bell

MOST = 1000  # frames that a client may be ahead of what is acknowledged
MOST_BYTES = 1024 * 1024  # of these frames; one that is larger goes alone

Said = Publish | PublishBytes


class Inlet:
    """One client's way into a stream. All that came during the last publishing is published at once."""

    def __init__(self, stream: Stream, voice: Voice, outlet: Outlet, *, keyed: bool, keys: Keys = ALL_KEYS) -> None:
        self._stream, self._voice, self._outlet, self._keyed, self._keys = stream, voice, outlet, keyed, keys
        self._waiting: list[Said] = []
        self._size = 0
        self._busy = False
        self._change = Bell()
        self._room = Bell()  # of the outlet

    def __repr__(self) -> str:
        return f"<Inlet of {self._stream.name}: {len(self._waiting)} waiting>"

    async def take(self, said: Said, size: int) -> None:
        """Publish this frame of so many bytes when it is its turn; waits while too many are before it."""
        while len(self._waiting) >= MOST or (self._waiting and self._size + size > MOST_BYTES):
            await self._change.wait()
        self._waiting.append(said)
        self._size += size
        self._change.ring()

    def resumed(self) -> None:
        """There is room for answers again."""
        self._room.ring()

    async def run(self) -> None:
        """Publish what is taken, until the stream is closed."""
        try:
            is_open = True
            while is_open:
                while not self._waiting:
                    await self._change.wait()
                if self._outlet.paused:  # one look per room: who follows much, too, never leaves any for long
                    await self._room.wait()
                is_open = await self._publish_waiting()
        finally:
            self._waiting.clear()  # nobody will answer these
            self._change.ring()

    async def finish(self, within: float) -> None:
        """Return when all that was taken is answered, or when the time is over."""
        try:
            async with asyncio.timeout(within):
                while self._waiting or self._busy:
                    await self._change.wait()
        except TimeoutError:
            return

    async def _publish_waiting(self) -> bool:
        """Publish what waits; False when the stream is closed."""
        said, self._waiting, self._size, self._busy = self._waiting, [], 0, True
        self._change.ring()
        try:
            results = await self._publish(said)
            self._outlet.write(
                Payload([self._answer(item.ref, result) for item, result in zip(said, results, strict=True)])
            )
        finally:
            self._busy = False
            self._change.ring()
        return not any(isinstance(result, StreamClosed) for result in results)

    async def _publish(self, said: Sequence[Said]) -> list[Position | HeadgateError]:
        """What became of each, in their order."""
        parsed = [self._parsed(item) for item in said]
        good = [item for item in parsed if isinstance(item, Message)]
        kept: Iterator[Position | TransportError]
        try:
            kept = (await self._stream.publish(good)).positions() if good else iter(())
        except TransportError as error:
            kept = repeat(error)
        return [next(kept) if isinstance(item, Message) else item for item in parsed]

    def _parsed(self, said: Said) -> Message[bytes] | HeadgateError:
        if (said.key is None) is self._keyed:
            return BadRequest("a message needs a key here" if self._keyed else "messages have no keys here")
        try:
            message = published(said, self._stream.codec)
        except CodecError as error:
            return error
        if not self._keys.fit(message.key):
            return Forbidden(f"only messages with keys {', '.join(self._keys.patterns)} may be published")
        return message

    def _answer(self, ref: int | str | None, result: Position | HeadgateError) -> bytes:
        facts = {} if ref is None else {"ref": ref}
        if isinstance(result, Position):
            return self._voice.word("ack", position=str(result), **facts)
        return self._voice.failure(result, **facts)
