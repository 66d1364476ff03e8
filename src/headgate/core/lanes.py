"""The lanes: all who follow a stream, those who want the same side by side.

The window keeps the last messages. Followers that want the same, rendered alike, share a lane: a message is
matched once for all of them and rendered once for all lanes. A follower that keeps up is handed each payload
as it comes. One that does not is only a number in the window, and takes what it missed when it can; if the
window has moved on by then, it is told what was lost. Nothing is queued for anybody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from headgate.core.match import Selection, Shape, ask
from headgate.core.position import Batch, Position
from headgate.core.window import Entry, Gap, Rendering, Window, gap_before

MOST = 64 * 1024  # bytes of a payload for one that lags


class Payload:
    """The frames that a follower gets at once."""

    __slots__ = ("_wire", "_wrap", "frames")

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.frames = frames
        self._wrap: Callable[[Sequence[bytes]], bytes] | None = None
        self._wire = b""

    def wire(self, wrap: Callable[[Sequence[bytes]], bytes]) -> bytes:
        """The frames as a protocol writes them; made once for all who get them the same way."""
        if self._wrap is not wrap:
            self._wrap, self._wire = wrap, wrap(self.frames)
        return self._wire


class Lane:
    """Followers that want the same, rendered alike."""

    __slots__ = ("count", "keeping_up", "members", "rendering", "selection")

    def __init__(self, selection: Selection, rendering: Rendering) -> None:
        self.selection = selection
        self.rendering = rendering
        self.members: dict[Follower, None] = {}
        self.keeping_up: dict[Follower, None] = {}
        self.count = 0  # messages that came for this lane


class Listener(Protocol):
    """What a follower hands its payloads to. None of this may wait."""

    def deliver(self, payload: Payload) -> bool:
        """Take a payload; False when there is no room, and then it will `take` when there is."""
        ...

    def wake(self) -> None:
        """There may be something to `take`."""
        ...

    def end(self) -> None:
        """The stream is closed."""
        ...


class Follower:
    """One who follows, from the place where it begins."""

    __slots__ = (
        "_count",
        "_epoch",
        "_floor",
        "_is_ahead",
        "_lanes",
        "_lost",
        "_next",
        "_place",
        "lane",
        "latest",
        "listener",
    )

    def __init__(self, lanes: "Lanes", lane: Lane, listener: Listener, *, latest: bool) -> None:
        self.listener, self.lane = listener, lane
        self.latest = latest  # when it lags, the last message of each key is all that it wants
        self._lanes = lanes
        self._next: int | None = None  # the number that it goes on with; None while it keeps up, or has not begun
        self._floor: Mapping[int, int] | None = None  # what it has seen beyond that
        self._is_ahead = False  # some of which has not come here yet
        self._epoch, self._place = "", ""
        self._count = self._lost = 0  # of the lane and the window, when it began to lag

    @property
    def lags(self) -> bool:
        """Whether there may be something to take."""
        return self._next is not None

    def begin(self) -> None:
        """Go on with what comes next."""
        self.lane.keeping_up[self] = None

    def begin_after(self, position: Position) -> None:
        """Go on after this place, which the window covers."""
        window = self._lanes.window
        number = window.seek(position.offsets)
        self._floor, self._is_ahead = position.offsets, window.is_beyond(position.offsets)
        found = sum(1 for _ in window.wanted(self.lane.selection, number, self._floor))
        self.lag(number, self.lane.count - found)
        self._place = str(position)

    def lag(self, number: int, count: int) -> None:
        """It could not take what begins with the message of this number; before that the lane had `count`."""
        self.lane.keeping_up.pop(self, None)
        window = self._lanes.window
        self._next, self._count = number, count
        self._epoch, self._lost, self._place = window.epoch, window.lost, window.place_before(number)

    def take(self, most: int = MOST) -> Payload | None:
        """What it has not had yet, about so many bytes; None when that is nothing."""
        assert self._next is not None
        window, lane = self._lanes.window, self.lane
        frames: list[bytes] = []
        if self.overtaken and (gap := self._go_on()) is not None:
            frames.append(lane.rendering.gap(gap))
        size = 0
        pending = window.wanted(lane.selection, self._next, self._floor)
        for number, entry in _latest(pending) if self.latest else pending:
            frames.append(self._frame(entry))
            size += len(frames[-1])
            self._next, self._count = number + 1, self._count + 1
            if size >= most and not self.latest:
                self._place = entry.place
                break
        else:
            self._catch_up()
        return Payload(frames) if frames else None

    def _frame(self, entry: Entry) -> bytes:
        """What all get; but one who has seen more elsewhere must not be told a place that lies before that."""
        if self._floor is None or "," not in entry.place:  # of several partitions, they came in another order there
            return entry.frame(self.lane.rendering)
        ahead = self._seen(entry.place)
        if ahead == entry.place:
            return entry.frame(self.lane.rendering)
        return self.lane.rendering.frame(entry.message, ahead)

    @property
    def overtaken(self) -> bool:
        """Whether what it goes on with is not what follows on what it had."""
        window = self._lanes.window
        return self._next is not None and (
            self._next < window.oldest or (self._epoch, self._lost) != (window.epoch, window.lost)
        )

    def _catch_up(self) -> None:
        """All that the window has is taken: from here on it keeps up, unless it is ahead of the window."""
        window = self._lanes.window
        if self._floor is not None and window.is_beyond(self._floor):
            self.lag(window.newest, self.lane.count)
            self._lanes.ahead[self] = None
            return
        self._next = self._floor = None
        self._lanes.ahead.pop(self, None)
        self.lane.keeping_up[self] = None

    def _go_on(self) -> Gap | None:
        """Go on with the oldest message there is, and say what was lost; None when that was nothing of interest."""
        window, lane = self._lanes.window, self.lane
        begin, restarted = self._seen(self._place), self._epoch != window.epoch
        self._floor = None if restarted else self._floor
        still_there = sum(1 for _ in window.wanted(lane.selection, window.oldest, self._floor))
        elsewhere = window.lost - self._lost
        missed = lane.count - self._count - still_there + elsewhere
        if self._floor is not None and window.covers(Position(window.epoch, self._floor)):
            missed = 0  # it has seen elsewhere what did not come here
        self.lag(window.oldest, lane.count - still_there)
        end = self._seen(str(window.tail))
        if not restarted and (not missed or begin == end):
            return None
        return Gap(
            missed=None if restarted else missed,
            of="stream" if elsewhere or (self._floor is not None and self._is_ahead) else "subscription",
            reason="restarted" if restarted else "overtaken",
            begin=begin,
            end=end,
        )

    def _seen(self, place: str) -> str:
        """This place, or where it had been further on elsewhere."""
        if self._floor is None:
            return place
        here = Position.parse(place)
        return str(here.furthest(Position(here.epoch, self._floor)))

    def stop(self) -> None:
        """Get nothing more."""
        self.lane.keeping_up.pop(self, None)
        self._lanes.ahead.pop(self, None)
        self._next = None


def _latest(pending: Iterable[tuple[int, Entry]]) -> list[tuple[int, Entry]]:
    """The last message of each key, in their order."""
    newest: dict[bytes | None, tuple[int, Entry]] = {}
    for number, entry in pending:
        newest.pop(entry.message.key, None)
        newest[entry.message.key] = (number, entry)
    return list(newest.values())


class Lanes:
    """All who follow a stream, in lanes, over one window. No loop and no clock: whoever reads the stream brings
    its batches here."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.followers = 0
        self.ahead: dict[Follower, None] = {}  # those that have seen more, elsewhere, than came here by now
        self._lanes: dict[tuple[Selection, Rendering], Lane] = {}
        self._found: dict[Shape, dict[tuple[Any, ...], list[Lane]]] = {}

    def __repr__(self) -> str:
        return f"<Lanes: {self.followers} followers in {len(self._lanes)} lanes, {self.window!r}>"

    def enter(
        self, selection: Selection, rendering: Rendering, listener: Listener, *, latest: bool = False
    ) -> Follower:
        """A place among the followers. Nothing is delivered before it begins."""
        lane = self._lane(selection, rendering)
        follower = Follower(self, lane, listener, latest=latest)
        lane.members[follower] = None
        self.followers += 1
        return follower

    def _lane(self, selection: Selection, rendering: Rendering) -> Lane:
        lane = self._lanes.get((selection, rendering))
        if lane is None:
            lane = self._lanes[selection, rendering] = Lane(selection, rendering)
            answers = self._found.setdefault(selection.shape, {})
            for answer in selection.answers():
                answers.setdefault(answer, []).append(lane)
        return lane

    def leave(self, follower: Follower) -> None:
        """Follow no longer."""
        lane = follower.lane
        follower.stop()
        del lane.members[follower]
        self.followers -= 1
        if not lane.members:
            self._remove(lane)

    def _remove(self, lane: Lane) -> None:
        del self._lanes[lane.selection, lane.rendering]
        answers = self._found.get(lane.selection.shape, {})
        for answer in lane.selection.answers():
            answers[answer].remove(lane)
            if not answers[answer]:
                del answers[answer]
        if not answers:
            self._found.pop(lane.selection.shape, None)

    def end(self) -> None:
        """Tell all that the stream is closed."""
        for lane in list(self._lanes.values()):
            for follower in list(lane.members):
                follower.listener.end()

    def publish(self, batch: Batch) -> None:
        """Take a batch into the window and hand it to those who want it."""
        window = self.window
        gap = gap_before(batch, window.head)
        if gap is not None:
            if window.epoch:
                self._tell(gap)
            window.restart(batch.position.before(batch.messages), batch.missed)
        numbers = window.append(batch)
        for lane, entries in self._sort(numbers).items():
            self._dispatch(lane, entries)
        for follower in list(self.ahead):
            follower.listener.wake()
        window.trim()  # only now: they may want what a large batch brought and pushes out at once

    def _sort(self, numbers: range) -> dict[Lane, list[tuple[int, Entry]]]:
        """Which lane wants which of these messages."""
        sorted_out: dict[Lane, list[tuple[int, Entry]]] = {}
        for number in numbers:
            entry = self.window[number]
            for shape, answers in self._found.items():
                for lane in answers.get(ask(shape, entry.message, entry.decoded), ()):
                    sorted_out.setdefault(lane, []).append((number, entry))
        return sorted_out

    def _dispatch(self, lane: Lane, entries: Sequence[tuple[int, Entry]]) -> None:
        count, lane.count = lane.count, lane.count + len(entries)
        if not lane.keeping_up:
            return
        payload = Payload([entry.frame(lane.rendering) for _, entry in entries])
        first = entries[0][0]
        for follower in list(lane.keeping_up):
            if not follower.listener.deliver(payload):
                follower.lag(first, count)

    def _tell(self, gap: Gap) -> None:
        """The stream does not go on where the window ends: those who keep up are told, the others find out."""
        for lane in list(self._lanes.values()):
            payload = Payload([lane.rendering.gap(gap)])
            for follower in list(lane.keeping_up):
                if not follower.listener.deliver(payload):
                    follower.lag(self.window.newest, lane.count)
