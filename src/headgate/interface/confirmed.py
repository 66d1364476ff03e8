"""The confirmed: a subscription with a cursor, whose messages come again until its client acknowledges them."""

import asyncio
import contextlib
import logging
import re
from collections import OrderedDict

from headgate.core.codec import Codec
from headgate.core.lanes import MOST, Payload
from headgate.core.match import Selection
from headgate.core.position import Batch, Position, Snapshot, Start
from headgate.core.window import Entry, gap_before
from headgate.errors import BadRequest, InvalidParameter, StreamClosed, TransportError, Unavailable
from headgate.interface.cursors import Cursors
from headgate.interface.frames import Subscribe, Voice
from headgate.interface.outlet import Outlet
from headgate.interface.socket import POLICY, Goodbye
from headgate.interface.subscription import Subscription
from headgate.interface.terms import Terms
from headgate.runtime.hub import Hub
from headgate.runtime.stream import Subscription as Reader
from headgate.runtime.tasks import backoff, cancel, finish_or_cancel
from headgate.transport.bell import Bell

logger = logging.getLogger("headgate.web")
MOST_UNCONFIRMED = 1000  # messages of a cursor that may be under way
STEP = 500  # messages per read
MOVE_ALONG = 1.0  # seconds between commits of what no client has to acknowledge
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def refuse_cursor(asked: Subscribe, terms: Terms) -> None:
    """Refuse a cursor that cannot be. May raise `BadRequest`."""
    if asked.cursor is None:
        return
    if terms.cursors is None:
        raise BadRequest("there are no cursors here: leave `cursor` out")
    if _NAME.fullmatch(asked.cursor) is None:
        words = "letters, digits, _ . and -, up to 64"
        raise InvalidParameter(f"'cursor' must be a name of {words}, not {asked.cursor[:80]!r}")
    if asked.after is not None or asked.start == "snapshot":
        raise BadRequest("a cursor has a place of its own: leave `after` out; `from` says where a new one begins")


def confirmed(name: str, voice: Voice, way: Outlet, terms: Terms) -> "Confirmed":
    """A subscription by the cursor of this name, which is another one at each interface."""
    assert terms.cursors is not None
    # Those who see other messages have cursors of their own: one that they move on would leave out what others see.
    seen = "".join(f"#{pattern}" for pattern in terms.readable.patterns)
    return Confirmed(voice, way, terms.cursors, f"socket:{terms.path}{seen}:{name}")


class Confirmed(Subscription):
    """It reads for its client alone, from where the cursor is. The cursor moves on when the client says that it
    has dealt with what it got; what the client does not want is dealt with when all before it is."""

    def __init__(self, voice: Voice, way: Outlet, cursors: Cursors, name: str) -> None:
        super().__init__(voice, "wait", way)
        self._cursors, self._name = cursors, name
        self._place: Position | None = None  # all before it was read
        self._committed: Position | None = None
        self._confirmed: Position | None = None  # what the client said last
        self._unconfirmed: OrderedDict[str, Position] = OrderedDict()  # place after a message -> place before it
        self._gave_way = False
        self._news = asyncio.Event()  # from the client
        self._room_for_more = Bell()

    def __repr__(self) -> str:
        return f"<Confirmed {self._name}: {len(self._unconfirmed)} unconfirmed>"

    # What the socket and the next holder call

    def acknowledge(self, position: str) -> None:
        if position not in self._unconfirmed:
            self._refuse_unknown(Position.parse(position))
            return
        last = ""
        while last != position:
            last, _ = self._unconfirmed.popitem(last=False)
        self._confirmed = Position.parse(position)
        self._news.set()
        self._room_for_more.ring()

    def _refuse_unknown(self, place: Position) -> None:
        """Refuse what was never given. What was acknowledged may be so once more."""
        done = self._confirmed
        if done is None or done.epoch != place.epoch or _is_beyond(place, done):
            raise BadRequest(f"{str(place)[:80]!r} was not given here, so it cannot be acknowledged")

    def give_way(self) -> None:
        self._gave_way = True
        self.stop()

    @property
    def goodbye(self) -> Goodbye | None:
        if self._gave_way:
            return Goodbye(POLICY, "another connection took over the cursor")
        return super().goodbye

    def resumed(self) -> None:
        super().resumed()
        self._room_for_more.ring()

    # A client's visit

    async def begin(self, hub: Hub, selection: Selection, start: Start | Snapshot) -> None:
        """Read until it is over. May raise a `TransportError`, before it calls `opened`."""
        assert not isinstance(start, Snapshot)
        await finish_or_cancel(self._read_all(hub, selection, start), self.until_over)

    async def _read_all(self, hub: Hub, selection: Selection, start: Start) -> None:
        async with self._cursors.held(self._name, self), hub.stream.subscribe(start, self._name) as reader:
            batch = await self._next(reader, 0.0)
            # From here on the cursor has a past: a client that is cut before it acknowledges anything comes back here.
            self._place = self._committed = batch.position.before(batch.messages)
            await reader.commit(self._place)
            await self.opened(str(self._place))
            committing = asyncio.create_task(self._commit_all(reader))
            try:
                while True:
                    await self._send(batch, selection, hub.stream.codec)
                    batch = await self._next(reader, None)
            except StreamClosed:
                self.end()
            finally:
                await cancel(committing)
                await self._commit(reader)

    # Reading

    async def _next(self, reader: Reader, wait: float | None) -> Batch:
        """The next batch, when there may be more under way."""
        attempt = 0
        while True:
            try:
                batch = await reader.take(await self._free(), wait)
                if batch.position.is_known:
                    return batch
                wait = 0.25
            except Unavailable as error:
                if self._place is None:
                    raise
                attempt += 1
                logger.info("a cursor cannot be read just now", extra={"cursor": self._name, "reason": str(error)})
                await asyncio.sleep(backoff(attempt, most=2.0))

    async def _free(self) -> int:
        """How many messages there is room for: at least one."""
        while len(self._unconfirmed) >= MOST_UNCONFIRMED or (self.outlet is not None and self.outlet.paused):
            await self._room_for_more.wait()
        return min(STEP, MOST_UNCONFIRMED - len(self._unconfirmed))

    async def _send(self, batch: Batch, selection: Selection, codec: Codec[object]) -> None:
        """Write what the client wants of a batch, in pieces for which there is room."""
        place = batch.position.before(batch.messages)
        frames = self._gap(batch)
        size = 0
        for message in batch.messages:
            before, place = place, place.after(message)
            entry = Entry(message, str(place), codec)
            if selection.wants(message, entry.decoded):
                self._unconfirmed[entry.place] = before
                frames.append(entry.frame(self.rendering))
                size += len(frames[-1])
            if size >= MOST:
                await self._write(frames)
                frames, size = [], 0
        await self._write(frames)
        self._place = batch.position

    async def _write(self, frames: list[bytes]) -> None:
        await self._wait_for_room()
        if frames and self.outlet is not None:
            self.outlet.write(Payload(frames))

    def _gap(self, batch: Batch) -> list[bytes]:
        """What fell out of the stream before this client came to it."""
        gap = gap_before(batch, self._place)
        if gap is None:
            return []
        if gap.missed is None:  # what was under way is of another life
            self._unconfirmed.clear()
        return [self.rendering.gap(gap)]

    # Moving the cursor

    async def _commit_all(self, reader: Reader) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MOVE_ALONG):
                    await self._news.wait()
            self._news.clear()
            await self._commit(reader)

    async def _commit(self, reader: Reader) -> None:
        """Move the cursor to before what is not acknowledged yet. Where that fails now, it comes again."""
        place = next(iter(self._unconfirmed.values()), self._place)
        if place is None or place == self._committed:
            return
        try:
            await reader.commit(place)
            self._committed = place
        except TransportError as error:
            logger.info("a cursor was not moved", extra={"cursor": self._name, "reason": str(error)})


def _is_beyond(place: Position, other: Position) -> bool:
    return any(offset > other.offsets.get(partition, 0) for partition, offset in place.offsets.items())
