"""The lanes: ten thousand small worlds of followers that pause, leave, come back elsewhere, and are overtaken."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from headgate.core.codec import JsonCodec
from headgate.core.lanes import Follower, Lanes, Payload
from headgate.core.match import EVERYTHING, Facet, Selection, Source
from headgate.core.message import Message
from headgate.core.position import Batch, Position
from headgate.core.window import Gap, Window

CODEC = JsonCodec()
SEEDS, STEPS = 10_000, 40
KEY = Facet(Source.KEY)
IDENT = Facet(Source.FIELD, ("id",), ignore_case=True)


@dataclass(frozen=True)
class Plain:
    """Frames that say what they are."""

    def frame(self, message: Message[bytes], place: str) -> bytes:
        return b"%d %d %b" % (message.partition, message.offset, place.encode())

    def gap(self, gap: Gap) -> bytes:
        return b"gap " + json.dumps([gap.missed, gap.of, gap.reason, gap.begin, gap.end]).encode()


class Topic:
    """What is published: messages in partitions, keys bound to one each."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.epoch = "e"
        self.partitions: list[list[Message[bytes]]] = [[] for _ in range(dice.randint(1, 4))]

    def publish(self) -> None:
        for _ in range(self.dice.randint(1, 4)):
            p = self.dice.randrange(len(self.partitions))
            value = json.dumps({self.dice.choice(["id", "ID"]): self.dice.choice("ab")}).encode()
            key = b"k%d%d" % (p, self.dice.randrange(2))
            self.partitions[p].append(Message(value=value, key=key, partition=p, offset=len(self.partitions[p])))


class Gate:
    """Reads a topic in an order of its own, and serves it."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.next = dict.fromkeys(range(len(topic.partitions)), 0)
        self.lanes = Lanes(Window(CODEC, messages=topic.dice.randint(1, 12), size=10**9))
        self.lanes.publish(Batch([], Position(topic.epoch, dict(self.next))))

    def read(self, *, all_there_is: bool = False) -> None:
        dice, topic = self.topic.dice, self.topic
        missed = 0
        if not all_there_is and dice.random() < 0.05:  # retention overtook the reader in one partition
            p = dice.randrange(len(topic.partitions))
            stop = min(len(topic.partitions[p]), self.next[p] + dice.randint(1, 3))
            missed, self.next[p] = stop - self.next[p], stop
        messages = []
        while waiting := [p for p, n in self.next.items() if n < len(topic.partitions[p])]:
            p = dice.choice(waiting)
            messages.append(topic.partitions[p][self.next[p]])
            self.next[p] += 1
            if not all_there_is and dice.random() < 0.3:
                break
        if messages or missed:
            self.lanes.publish(Batch(messages, Position(topic.epoch, dict(self.next)), missed))


@dataclass
class Client:
    """Follows, is slow now and then, and remembers everything."""

    gate: Gate
    selection: Selection
    latest: bool
    paused: bool = False
    place: Position | None = None
    start: dict[int, int] = field(default_factory=dict)
    seen: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[list[object]] = field(default_factory=list)
    untaken: int = 0  # gaps since the last message: they move no place, so who comes back may get it all the same
    follower: Follower | None = None

    def enter(self) -> None:
        self.gaps, self.untaken = self.gaps[: len(self.gaps) - self.untaken], 0
        self.follower = self.gate.lanes.enter(self.selection, Plain(), self, latest=self.latest)
        if self.place is None:
            self.place = self.gate.lanes.window.head
            self.start = dict(self.place.offsets)
            self.follower.begin()
        else:
            self.follower.begin_after(self.place)
            self.wake()

    def leave(self) -> None:
        assert self.follower is not None
        self.gate.lanes.leave(self.follower)
        self.follower = None

    def deliver(self, payload: Payload) -> bool:
        assert self.follower is not None
        if self.paused:
            return False
        for frame in payload.frames:
            self.take(frame)
        return True

    def take(self, frame: bytes) -> None:
        if frame.startswith(b"gap "):
            told = json.loads(frame[4:])
            self.gaps.append(told)
            self.untaken += 1
        else:
            p, offset, place = frame.decode().split()
            self.seen.append((int(p), int(offset)))
            self.untaken = 0
            self.place = Position.parse(place)

    def wake(self) -> None:
        dice = self.gate.topic.dice
        while not self.paused and self.follower is not None and self.follower.lags:
            payload = self.follower.take(dice.choice([1, 40, 10**6]))
            if payload is None:
                return
            self.deliver(payload)
            self.paused = dice.random() < 0.2

    def end(self) -> None:
        raise AssertionError


class World:
    """A topic, two gates and some clients."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.topic = Topic(dice)
        self.gates = [Gate(self.topic), Gate(self.topic)]
        keys = [f"k{p}{n}" for p in range(len(self.topic.partitions)) for n in range(2)]
        choices = [
            EVERYTHING,
            Selection({KEY: frozenset([dice.choice(keys)])}),
            Selection({KEY: frozenset(dice.sample(keys, 2))}),
            Selection({IDENT: frozenset(["a"])}),
            Selection({KEY: frozenset([dice.choice(keys)]), IDENT: frozenset(["b"])}),
        ]
        self.clients = [Client(dice.choice(self.gates), dice.choice(choices), dice.random() < 0.2) for _ in range(4)]

    def run(self) -> list[object]:
        for client in self.clients:
            client.enter()
        for _ in range(STEPS):
            self.dice.choice([self.topic.publish, self.read, self.read, self.pause, self.move])()
        for gate in self.gates:
            gate.read(all_there_is=True)
        for client in self.clients:
            while client.paused or (client.follower is not None and client.follower.lags):
                client.paused = False
                client.wake()
        for client in self.clients:
            self.judge(client)
            client.leave()
        for gate in self.gates:
            assert gate.lanes.followers == 0
            assert gate.lanes._lanes == gate.lanes._found == gate.lanes.ahead == {}
        return [(client.seen, client.gaps) for client in self.clients]

    def read(self) -> None:
        self.dice.choice(self.gates).read()

    def pause(self) -> None:
        client = self.dice.choice(self.clients)
        client.paused = not client.paused
        client.wake()

    def move(self) -> None:
        """A client comes back after its last event, here or elsewhere; where that is too old, it stays."""
        client, gate = self.dice.choice(self.clients), self.dice.choice(self.gates)
        assert client.place is not None
        if gate.lanes.window.covers(client.place):
            client.leave()
            client.gate, client.paused = gate, False
            client.enter()

    def judge(self, client: Client) -> None:
        wanted = [
            (message.partition, message.offset)
            for messages in self.topic.partitions
            for message in messages
            if message.offset >= client.start[message.partition]
            and client.selection.wants(message, lambda m=message: CODEC.decode(m.value))
        ]
        assert len(client.seen) == len(set(client.seen)), "twice"
        assert set(client.seen) <= set(wanted), "not wanted"
        for p in range(len(self.topic.partitions)):
            offsets = [offset for partition, offset in client.seen if partition == p]
            assert offsets == sorted(offsets), "out of order"
        for missed, of, _, begin, end in client.gaps:
            assert isinstance(missed, int)
            assert missed > 0
            assert of in ("stream", "subscription")
            assert Position.parse(str(begin)) != Position.parse(str(end))
        lost = len(wanted) - len(client.seen)
        if client.latest:
            return
        told = sum(int(str(gap[0])) for gap in client.gaps)
        if all(gap[1] == "subscription" for gap in client.gaps):
            assert lost == told, f"lost {lost}, told {told}"
        else:
            assert lost <= told, f"lost {lost}, told {told}"


@pytest.mark.parametrize("tenth", range(10))
def test_nobody_misses_or_repeats_a_message_without_being_told(tenth: int) -> None:
    for seed in range(tenth * SEEDS // 10, (tenth + 1) * SEEDS // 10):
        try:
            World(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_the_same_seed_is_the_same_world() -> None:
    assert World(7).run() == World(7).run()


# One lane at a time


@dataclass
class Taker:
    """Takes what it is given, when it has room."""

    room: bool = True
    payloads: list[Payload] = field(default_factory=list)
    ended: bool = False

    def deliver(self, payload: Payload) -> bool:
        if self.room:
            self.payloads.append(payload)
        return self.room

    def wake(self) -> None:
        raise AssertionError

    def end(self) -> None:
        self.ended = True

    @property
    def frames(self) -> list[bytes]:
        return [frame for payload in self.payloads for frame in payload.frames]


def gate(messages: int = 10) -> Lanes:
    lanes = Lanes(Window(CODEC, messages=messages, size=10**9))
    lanes.publish(Batch([], Position("e", {0: 0})))
    return lanes


def batch(first: int, *keys: bytes, epoch: str = "e", missed: int = 0) -> Batch:
    messages = [Message(value=b"1", key=key, offset=first + n) for n, key in enumerate(keys)]
    return Batch(messages, Position(epoch, {0: first + len(keys)}), missed)


def by_key(*keys: str) -> Selection:
    return Selection({KEY: frozenset(keys)})


def test_a_payload_is_rendered_for_a_protocol_once_for_all_who_get_it() -> None:
    lanes = gate()
    takers = [Taker(), Taker()]
    for taker in takers:
        lanes.enter(EVERYTHING, Plain(), taker).begin()
    lanes.publish(batch(0, b"a", b"b"))
    [one], [other] = takers[0].payloads, takers[1].payloads
    calls = []

    def wrap(frames: Sequence[bytes]) -> bytes:
        calls.append(frames)
        return b"|".join(frames)

    assert one.wire(wrap) == other.wire(wrap) == b"0 0 e:1|0 1 e:2"
    assert len(calls) == 1


def test_a_message_costs_those_who_want_it() -> None:
    lanes = gate()
    rendered = []

    class Counting(Plain):
        def frame(self, message: Message[bytes], place: str) -> bytes:
            rendered.append(place)
            return super().frame(message, place)

    class Deaf(Taker):
        def deliver(self, payload: Payload) -> bool:
            raise AssertionError("touched for nothing")

    for number in range(10_000):
        lanes.enter(by_key(f"other{number}"), Counting(), Deaf()).begin()
    taker = Taker()
    lanes.enter(by_key("mine"), Counting(), taker).begin()
    lanes.publish(batch(0, b"mine", b"nobody's", b"mine"))
    assert (taker.frames, rendered) == ([b"0 0 e:1", b"0 2 e:3"], ["e:1", "e:3"])


def test_another_life_is_told_to_those_who_keep_up_and_to_those_who_lag() -> None:
    lanes = gate()
    quick, slow = Taker(), Taker(room=False)
    lanes.enter(EVERYTHING, Plain(), quick).begin()
    lagging = lanes.enter(EVERYTHING, Plain(), slow)
    lagging.begin()
    lanes.publish(batch(0, b"a"))
    lanes.publish(batch(100, b"a", epoch="f"))
    told = b'gap [null, "stream", "restarted", "e:%d", "f:100"]'
    assert quick.frames == [b"0 0 e:1", told % 1, b"0 100 f:101"]
    payload = lagging.take()
    assert payload is not None
    assert payload.frames == [(told % 0).replace(b"stream", b"subscription"), b"0 100 f:101"]


def test_what_never_came_here_is_told_with_its_number() -> None:
    lanes = gate()
    quick, slow = Taker(), Taker(room=False)
    lanes.enter(EVERYTHING, Plain(), quick).begin()
    lagging = lanes.enter(by_key("a"), Plain(), slow)
    lagging.begin()
    lanes.publish(batch(0, b"a"))
    lanes.publish(batch(6, b"a", missed=5))
    assert quick.frames == [b"0 0 e:1", b'gap [5, "stream", "expired", "e:1", "e:6"]', b"0 6 e:7"]
    payload = lagging.take()
    assert payload is not None
    assert payload.frames == [b'gap [6, "stream", "overtaken", "e:0", "e:6"]', b"0 6 e:7"]


def test_who_is_overtaken_by_what_it_does_not_want_is_told_nothing() -> None:
    lanes = gate(messages=2)
    slow = Taker(room=False)
    lagging = lanes.enter(by_key("a"), Plain(), slow)
    lagging.begin()
    lanes.publish(batch(0, b"b", b"a", b"b"))
    lanes.publish(batch(3, b"a"))
    payload = lagging.take()
    assert payload is not None
    assert payload.frames == [b'gap [1, "subscription", "overtaken", "e:1", "e:2"]', b"0 3 e:4"]
    slow.room = False
    lanes.publish(batch(4, b"a"))
    lanes.publish(batch(5, b"b"))
    payload = lagging.take()
    assert payload is not None
    assert payload.frames == [b"0 4 e:5"]


def test_who_wants_nothing_gets_nothing_and_may_go_last() -> None:
    lanes = gate()
    nothing, one = Taker(), Taker()
    followers = [lanes.enter(by_key("a"), Plain(), one), lanes.enter(by_key(), Plain(), nothing)]
    for follower in followers:
        follower.begin()
    lanes.publish(batch(0, b"a"))
    assert (len(one.frames), nothing.frames) == (1, [])
    followers[1].begin_after(Position("e", {0: 0}))
    assert nothing.frames == []
    for follower in followers:
        lanes.leave(follower)
    assert lanes._lanes == lanes._found == {}


def test_all_are_told_when_the_stream_ends() -> None:
    lanes = gate()
    takers = [Taker(), Taker(room=False), Taker()]
    followers = [lanes.enter(EVERYTHING, Plain(), taker) for taker in takers]
    assert repr(lanes).startswith("<Lanes: 3 followers in 1 lanes")
    lanes.end()
    assert all(taker.ended for taker in takers)
    for follower in followers:
        lanes.leave(follower)
    assert lanes.followers == 0
