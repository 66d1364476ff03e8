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
        self.out: dict[int, set[int]] = {}
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
        self.out.setdefault(reader, set()).update(taken)

    @rule(reader=READERS, before=st.integers(0, 200))
    def done(self, reader: int, before: int) -> None:
        self.ledger.done(reader, before)
        self.out[reader] = {offset for offset in self.out.get(reader, ()) if offset >= before}

    @rule(reader=READERS)
    def give_back(self, reader: int) -> None:
        self.ledger.give_back(reader)
        self.waiting |= self.out.pop(reader, set())

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


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_ledger_shows_itself() -> None:
    ledger = Ledger()
    ledger.take(1, newest=5, limit=3)
    assert repr(ledger) == "<Ledger: next 3, 3 out, 0 returned>"
