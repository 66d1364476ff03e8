"""Ten thousand small worlds: a queue over a ring, with readers that are slow, crash, and say things twice or late."""

import random

from headgate.core.ledger import Ledger
from headgate.core.message import Message
from headgate.core.position import Position
from headgate.core.ring import Ring

SEEDS = 10_000
STEPS = 25


class World:
    """A queue as a transport builds it from the ring and the ledger, and four readers."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0
        age = self.dice.choice([None, 5, 20])
        self.ring = Ring(messages=self.dice.randint(1, 12), age=age, clock=lambda: self.now)
        self.ledger = Ledger()
        self.held: dict[int, list[tuple[Position, list[bytes]]]] = {reader: [] for reader in range(4)}
        self.done: list[bytes] = []
        self.trace: list[object] = []

    def run(self) -> list[object]:
        for _ in range(STEPS):
            act = self.dice.choice(
                [self.publish, self.publish, self.take, self.take, self.finish, self.repeat, self.crash]
            )
            self.trace.append((act.__name__, act()))
            self.now += self.dice.randint(-1, 3)  # the clock goes back now and then
        for reader in self.held:
            self.crash(reader)
        while self.take(0):
            self.finish(0)
        return self.trace

    def publish(self) -> range:
        first = self.ring.newest
        batch = [Message(value=b"%d" % (first + n), timestamp=self.now) for n in range(self.dice.randint(1, 6))]
        offsets = self.ring.append(batch)
        self.refresh()
        return offsets

    def refresh(self) -> None:
        self.ring.expire()
        self.ledger.drop_before(self.ring.oldest)

    def take(self, reader: int | None = None) -> list[bytes]:
        reader = self.dice.randrange(4) if reader is None else reader
        self.refresh()
        run = self.ledger.take(reader, newest=self.ring.newest, limit=self.dice.randint(1, 5))
        values = [message.value for message in self.ring.read(run.start, len(run))]
        if run:
            self.held[reader].append((Position.single("e", run.stop), values))
        return values

    def finish(self, reader: int | None = None) -> str | None:
        """A reader hands over what it took first, and says so by its place, as text."""
        reader = self.dice.randrange(4) if reader is None else reader
        if not self.held[reader]:
            return None
        place, values = self.held[reader].pop(0)
        self.done += values
        self.ledger.done(reader, Position.parse(str(place)).offset)
        return str(place)

    def repeat(self) -> None:
        """A reader says again, or too late, what it said, or what another one has."""
        before = self.dice.randint(0, self.ring.newest)
        reader = self.dice.randrange(4)
        if b"%d" % (before - 1) not in [value for _, values in self.held[reader] for value in values]:
            self.ledger.done(reader, before)

    def crash(self, reader: int | None = None) -> int:
        """A reader is gone with all that it has not handed over."""
        reader = self.dice.randrange(4) if reader is None else reader
        self.ledger.give_back(reader)
        self.held[reader].clear()
        self.refresh()
        return reader


def test_each_message_is_handed_over_once_or_counted_as_dropped() -> None:
    for seed in range(SEEDS):
        world = World(seed)
        world.run()
        assert len(world.done) == len(set(world.done)), seed
        assert len(world.done) + world.ledger.dropped == world.ring.newest, seed
        assert world.ledger.waiting(world.ring.newest) == 0, seed


def test_the_same_seed_gives_the_same_world() -> None:
    for seed in range(0, SEEDS, 100):
        assert World(seed).run() == World(seed).run()
