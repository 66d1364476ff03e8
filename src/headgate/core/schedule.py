"""The schedule: which messages of a node's input may begin, in which order, and up to where all are settled.

Messages stand in lanes. Those of one lane are dealt with one after the other, whatever happens: one that has to
wait before it is tried again holds up its lane and nobody else. A reader may only commit what lies before the first
message that is not settled.
"""

import heapq
from collections import deque
from collections.abc import Collection, Hashable, Iterator, Sequence
from enum import StrEnum

from headgate.core.message import Message
from headgate.core.position import Batch, Position

_ALL = "all"
WINDOW = 10_000  # messages between the first one that is not settled and the last one that was read
WINDOW_BYTES = 64 * 2**20
AHEAD = 1000  # messages that may begin; with more of them there is no need to read


class Order(StrEnum):
    """Which messages are dealt with one after the other."""

    STREAM = "stream"  # all of them
    KEY = "key"  # those of one key; what has no key is free
    NONE = "none"


class Item:
    """A message on its way through a node."""

    __slots__ = ("alone", "attempts", "deaths", "index", "lane", "message", "not_before", "suspect", "taken")

    def __init__(self, message: Message[bytes], lane: "_Lane", taken: "_Taken", index: int) -> None:
        self.message = message
        self.lane = lane
        self.taken = taken
        self.index = index
        self.attempts = 0
        self.alone = False  # it has to be dealt with apart from others
        self.suspect = False  # a process that had it ended
        self.deaths = 0  # of processes that had it, and nothing else, in hand
        self.not_before = 0.0

    def __repr__(self) -> str:
        return f"<Item {self.message.partition}-{self.message.offset}: {self.attempts} attempts>"


class _Lane:
    """Messages that are dealt with one after the other."""

    __slots__ = ("items", "later", "name")

    def __init__(self, name: Hashable) -> None:
        self.name = name  # None is that of a lane for one message only
        self.items: deque[Item] = deque()
        self.later = False  # its first message has to wait for a time

    def cut(self, limit: int) -> Iterator[Item]:
        """Up to so many of its first messages; one that is to be dealt with apart is all."""
        apart = self.items[0].alone
        yield self.items.popleft()
        for _ in range(min(limit - 1, len(self.items))):
            if apart or self.items[0].alone:
                return
            yield self.items.popleft()


class _Taken:
    """A batch that was read, and which of it is settled."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.left = len(batch.messages)
        self.first = 0  # everything before it is settled
        self._settled = bytearray(self.left)

    def settle(self, index: int) -> None:
        self._settled[index] = 1
        self.left -= 1
        at = self._settled.find(0, self.first)
        self.first = len(self._settled) if at < 0 else at

    def place(self) -> Position:
        return self.batch.position.before(self.batch.messages[self.first :])


class Schedule:
    """The messages of one input between being read and being committed."""

    def __init__(self, order: Order = Order.STREAM, *, window: int = WINDOW, window_bytes: int = WINDOW_BYTES) -> None:
        self._order = order
        self._window, self._window_bytes = window, window_bytes
        self._lanes: dict[Hashable, _Lane] = {}
        self._free: deque[_Lane] = deque()  # those whose first message may begin
        self._later: list[tuple[float, int, _Lane]] = []  # those whose first message has to wait
        self._waits = 0  # how often a lane had to, so that equal times are told apart
        self._taken: deque[_Taken] = deque()
        self._distance = self._bytes = 0
        self._committed = 0  # how many messages of the first batch
        self.ready = 0  # messages that nothing but those before them holds up
        self.begun = 0  # messages that are being dealt with

    def __repr__(self) -> str:
        return f"<Schedule: {self.ready} ready, {self.begun} begun, {self._distance} not committed>"

    def room(self) -> int:
        """How many more may be read now."""
        if self.ready >= AHEAD or self._bytes >= self._window_bytes:
            return 0
        return min(AHEAD, self._window - self._distance)

    def add(self, batch: Batch) -> None:
        """What was read."""
        taken = _Taken(batch)
        self._taken.append(taken)
        self._distance += len(batch.messages)
        self._bytes += sum([len(message.value) for message in batch.messages])
        for index, message in enumerate(batch.messages):
            lane = self._lane_of(message)
            lane.items.append(Item(message, lane, taken, index))
            self.ready += not lane.later

    def _lane_of(self, message: Message[bytes]) -> _Lane:
        name = _ALL if self._order is Order.STREAM else message.key if self._order is Order.KEY else None
        lane = self._lanes.get(name)
        if lane is None:
            lane = _Lane(name)
            self._free.append(lane)
            if name is not None:
                self._lanes[name] = lane
        return lane

    def take(self, limit: int, now: float) -> list[Item]:
        """Up to `limit` messages to deal with in this order; their lanes are taken until they are given back."""
        self._wake(now)
        portion: list[Item] = []
        while self._free and len(portion) < limit:
            lane = self._free[0]
            if portion and (lane.items[0].alone or portion[0].alone):
                break
            self._free.popleft()
            portion += lane.cut(limit - len(portion))
        self.begun += len(portion)
        self.ready -= len(portion)
        return portion

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            lane = heapq.heappop(self._later)[2]
            lane.later = False
            self.ready += len(lane.items)
            self._free.append(lane)

    def give_back(self, portion: Sequence[Item], settled: Collection[Item], now: float) -> None:
        """A portion was dealt with. What is not settled of it comes again, before all others of its lane."""
        self.begun -= len(portion)
        for item in settled:
            item.taken.settle(item.index)
            self._bytes -= len(item.message.value)
        for item in reversed(portion):
            if item not in settled:
                item.lane.items.appendleft(item)
                self.ready += 1
        first = {item.lane: item for item in reversed(portion)}  # of each lane, the last one first
        for lane, item in first.items():
            self._go_on(lane, now, begun=item in settled)

    def _go_on(self, lane: _Lane, now: float, *, begun: bool) -> None:
        if not lane.items:
            self._lanes.pop(lane.name, None)
        elif lane.items[0].not_before > now:
            self._waits += 1
            lane.later = True
            self.ready -= len(lane.items)
            heapq.heappush(self._later, (lane.items[0].not_before, self._waits, lane))
        elif begun:
            self._free.append(lane)
        else:  # its turn it was and was not
            self._free.appendleft(lane)

    def wait(self, now: float) -> float | None:
        """In how many seconds another lane is free; None when none waits for a time."""
        return max(0.0, self._later[0][0] - now) if self._later else None

    @property
    def whole(self) -> bool:
        """The first batch that is not committed is settled to its end."""
        return bool(self._taken) and not self._taken[0].left

    def commits(self) -> Iterator[Position]:
        """The places that may be committed and have not been, one for each batch that was read."""
        while self._taken:
            head = self._taken[0]
            if head.first > self._committed or not head.left:
                self._distance -= head.first - self._committed
                self._committed = head.first
                yield head.place()
            if head.left:
                return
            self._taken.popleft()
            self._committed = 0
