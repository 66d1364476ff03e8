"""The schedule: every message is dealt with, in the order of its lane, and only what is settled is committed."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headgate.core.message import Message
from headgate.core.position import Batch, Position
from headgate.core.schedule import AHEAD, Item, Order, Schedule


def batch(first: int, keys: list[bytes | None], size: int = 1) -> Batch:
    """Messages from this offset on, with these keys."""
    messages = [Message(value=b"x" * size, key=key, offset=first + n) for n, key in enumerate(keys)]
    return Batch(messages, Position.single("e", first + len(keys)))


def offsets(portion: list[Item]) -> list[int]:
    return [item.message.offset for item in portion]


def committed(schedule: Schedule) -> list[int]:
    return [place.offset for place in schedule.commits()]


class Life(RuleBasedStateMachine):
    """A schedule beside the plainest account of the same."""

    @initialize(order=st.sampled_from(Order))
    def begin(self, order: Order) -> None:
        self.order = order
        self.schedule = Schedule(order, window=60)
        self.next = 0
        self.now = 0.0
        self.keys: dict[int, bytes | None] = {}
        self.out: list[list[Item]] = []
        self.settled: set[int] = set()
        self.place = 0
        self.seen: dict[object, list[int]] = defaultdict(list)

    def lane(self, offset: int) -> object:
        if self.order is Order.STREAM:
            return "all"
        return (self.keys[offset] or offset) if self.order is Order.KEY else offset

    @rule(keys=st.lists(st.sampled_from([None, b"a", b"b", b"c"]), max_size=15))
    def read(self, keys: list[bytes | None]) -> None:
        keys = keys[: self.schedule.room()]
        self.keys.update((self.next + n, key) for n, key in enumerate(keys))
        self.schedule.add(batch(self.next, keys))
        self.next += len(keys)

    @rule(limit=st.integers(1, 20))
    def take(self, limit: int) -> None:
        portion = self.schedule.take(limit, self.now)
        assert len(portion) <= limit
        busy = {self.lane(offset) for other in self.out for offset in offsets(other)}
        assert not busy & {self.lane(offset) for offset in offsets(portion)}, "a lane is dealt with twice at once"
        assert len(portion) < 2 or not any(item.alone for item in portion)
        assert all(item.not_before <= self.now for item in portion[:1])
        if portion:
            self.out.append(portion)

    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.0, 1.0, 5.0]), alone=st.booleans())
    def deal(self, data: st.DataObject, delay: float, alone: bool) -> None:
        """As a runner does: settle some from the front, and perhaps let the next one wait."""
        if not self.out:
            return
        portion = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        count = data.draw(st.integers(0, len(portion)))
        if count < len(portion):
            portion[count].not_before, portion[count].alone = self.now + delay, alone
        for item in portion[:count]:
            self.seen[self.lane(item.message.offset)].append(item.message.offset)
        self.settled |= set(offsets(portion[:count]))
        self.schedule.give_back(portion, set(portion[:count]), self.now)

    @rule(seconds=st.floats(0, 10))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def commit(self) -> None:
        for place in committed(self.schedule):
            assert place >= self.place
            self.place = place
        assert self.place == next((n for n in range(self.next) if n not in self.settled), self.next)

    @invariant()
    def lanes_keep_their_order(self) -> None:
        for seen in getattr(self, "seen", {}).values():
            assert seen == sorted(seen)

    def teardown(self) -> None:
        """Whatever happened before, all is dealt with in the end."""
        if not hasattr(self, "schedule"):
            return
        for portion in self.out:
            self.settled |= set(offsets(portion))
            self.schedule.give_back(portion, set(portion), self.now)
        self.now += 10
        while portion := self.schedule.take(7, self.now):
            self.settled |= set(offsets(portion))
            self.schedule.give_back(portion, set(portion), self.now)
        assert self.settled == set(range(self.next))
        assert (self.schedule.ready, self.schedule.begun, self.schedule.wait(self.now)) == (0, 0, None)
        assert [*committed(self.schedule), self.next][-1] == self.next
        assert self.schedule.room() == 60


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_lane_that_waits_holds_up_nobody_else() -> None:
    schedule = Schedule(Order.KEY)
    schedule.add(batch(0, [b"a", b"b", b"a", b"c"]))
    [poison] = portion = schedule.take(1, now=0.0)
    poison.not_before = 5.0
    schedule.give_back(portion, set(), now=0.0)
    assert schedule.wait(now=2.0) == 3.0
    others = schedule.take(10, now=0.0)
    assert offsets(others) == [1, 3]
    schedule.give_back(others, set(others), now=1.0)
    assert schedule.take(10, now=4.9) == []
    assert committed(schedule) == []
    last = schedule.take(10, now=5.0)
    assert offsets(last) == [0, 2]
    schedule.give_back(last, set(last), now=5.0)
    assert committed(schedule) == [4]


def test_each_batch_is_committed_for_itself_and_the_first_also_in_part() -> None:
    schedule = Schedule()
    schedule.add(batch(0, [None] * 3))
    schedule.add(batch(3, [None] * 3))
    first = schedule.take(2, now=0.0)
    schedule.give_back(first, set(first), now=0.0)
    assert committed(schedule) == [2]
    assert committed(schedule) == []
    rest = schedule.take(10, now=0.0)
    schedule.give_back(rest, set(rest), now=0.0)
    assert committed(schedule) == [3, 6]


def test_a_batch_without_messages_is_committed_in_its_turn() -> None:
    schedule = Schedule()
    schedule.add(batch(7, []))
    assert committed(schedule) == [7]


def test_what_is_read_ahead_is_bounded_in_number_and_in_bytes() -> None:
    schedule = Schedule(window=1500, window_bytes=100)
    assert schedule.room() == AHEAD
    schedule.add(batch(0, [None] * 10, size=10))
    assert schedule.room() == 0
    portion = schedule.take(10, now=0.0)
    assert schedule.room() == 0
    schedule.give_back(portion, set(portion), now=0.0)
    assert schedule.room() == AHEAD
    schedule.add(batch(10, [None] * 1000, size=0))
    assert schedule.room() == 0
    schedule.take(1000, now=0.0)
    assert list(schedule.commits())
    assert schedule.room() == 500


def test_it_tells_how_it_is() -> None:
    schedule = Schedule()
    schedule.add(batch(0, [None] * 3))
    assert repr(schedule.take(1, now=0.0)[0]) == "<Item 0-0: 0 attempts>"
    assert repr(schedule) == "<Schedule: 2 ready, 1 begun, 3 not committed>"
