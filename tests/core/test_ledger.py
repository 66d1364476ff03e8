"""The ledger: every offset once, unless it came back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headgate.core.ledger import Ledger

READERS = st.integers(0, 3)


class Queue(RuleBasedStateMachine):
    """A ledger beside the plainest account of the same: what waits, what is out, what was dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.newest = 0
        self.waiting: set[int] = set()
        self.out: dict[int, list[int]] = {}  # in the order in which it was taken
        self.finished: set[int] = set()
        self.dropped = 0

    @rule(count=st.integers(1, 20))
    def publish(self, count: int) -> None:
        self.waiting |= set(range(self.newest, self.newest + count))
        self.newest += count

    @rule(reader=READERS, limit=st.integers(1, 15))
    def take(self, reader: int, limit: int) -> None:
        taken = self.ledger.take(reader, newest=self.newest, limit=limit)
        assert len(taken) <= limit
        assert set(taken) <= self.waiting
        assert bool(taken) == bool(self.waiting)
        self.waiting -= set(taken)
        self.out.setdefault(reader, []).extend(taken)

    @rule(reader=READERS, data=st.data())
    def done(self, reader: int, data: st.DataObject) -> None:
        """A reader finishes what it took first, and says so by the place after the last of it."""
        if out := self.out.get(reader):
            count = data.draw(st.integers(1, len(out)))
            self.ledger.done(reader, out[count - 1] + 1)
            self.finished |= set(out[:count])
            del out[:count]

    @rule(reader=READERS, before=st.integers(0, 300))
    def done_with_what_it_does_not_have(self, reader: int, before: int) -> None:
        if before - 1 not in self.out.get(reader, ()):
            self.ledger.done(reader, before)

    @rule(reader=READERS)
    def give_back(self, reader: int) -> None:
        self.ledger.give_back(reader)
        self.waiting |= set(self.out.pop(reader, ()))

    @rule(oldest=st.integers(0, 200))
    def drop(self, oldest: int) -> None:
        oldest = min(oldest, self.newest)
        lost = {offset for offset in self.waiting if offset < oldest}
        assert self.ledger.drop_before(oldest) == len(lost)
        self.waiting -= lost
        self.dropped += len(lost)

    @invariant()
    def accounts_agree(self) -> None:
        assert self.ledger.waiting(self.newest) == len(self.waiting)
        assert self.ledger.dropped == self.dropped
        needed = self.waiting.union(*self.out.values())
        assert self.ledger.floor() == min(needed, default=self.newest)
        # Nothing is lost without a word and nothing is there twice.
        assert len(needed) + len(self.finished) + self.dropped == self.newest


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_came_back_goes_out_first_and_in_order() -> None:
    ledger = Ledger()
    assert [ledger.take(reader, newest=9, limit=3) for reader in (1, 2, 1)] == [range(3), range(3, 6), range(6, 9)]
    ledger.give_back(2)
    ledger.give_back(1)
    assert [ledger.take(3, newest=9, limit=9) for _ in range(4)] == [range(3), range(3, 6), range(6, 9), range(9, 9)]


def test_what_a_reader_took_later_is_still_out_when_it_has_lower_offsets() -> None:
    ledger = Ledger()
    ledger.take(1, newest=6, limit=3)
    ledger.take(2, newest=6, limit=3)
    ledger.give_back(1)
    assert ledger.take(2, newest=6, limit=3) == range(3)
    ledger.done(2, 6)
    assert ledger.floor() == 0
    ledger.give_back(2)
    assert ledger.take(3, newest=6, limit=9) == range(3)


def test_what_is_dropped_while_it_is_out_counts_only_when_it_comes_back() -> None:
    ledger = Ledger()
    ledger.take(1, newest=10, limit=4)
    assert ledger.drop_before(6) == 2
    ledger.give_back(1)
    assert ledger.drop_before(6) == 4
    assert (ledger.dropped, ledger.waiting(10)) == (6, 4)


def test_a_ledger_shows_itself() -> None:
    ledger = Ledger()
    ledger.take(1, newest=5, limit=3)
    assert repr(ledger) == "<Ledger: next 3, 3 out, 0 returned>"
