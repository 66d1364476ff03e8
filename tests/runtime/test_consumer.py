"""The consumer: retries, dead letters, timeouts, batches, lanes and many calls at once."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import Draining, NodeError, WorkerLost
from headgate.runtime.consumer import MOST_DEATHS
from headgate.runtime.node import _MARK, node
from headgate.runtime.runner import Node
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.runtime.work import Inline, Ran, Runs, Work
from headgate.testing.transport import PATIENCE
from headgate.transport.base import Delivery
from tests.runtime.streams import published, streams


class Running:
    """A node from stream `a` to stream `b`, with its dead letters in `c`."""

    def __init__(self, started: Node, made: dict[str, Stream]) -> None:
        self.node, self.streams, self.stats = started, made, started.stats

    async def feed(self, *values: Any) -> None:
        await self.streams["a"].publish(self.streams["a"].encode(values))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.001)

    async def messages(self, name: str, count: int) -> list[Message[bytes]]:
        found: list[Message[bytes]] = []
        async with asyncio.timeout(PATIENCE), self.streams[name].subscribe(Oldest()) as subscription:
            while len(found) < count:
                found += (await subscription.take(count - len(found))).messages
        return found


@asynccontextmanager
async def running(
    function: Callable[..., Any],
    runs: Callable[[Work], Runs] = Inline,
    delivery: Delivery = Delivery.BROADCAST,
    **manners: Any,
) -> AsyncIterator[Running]:
    manners = {"retry_delay": 0.001, "dead_letters": "c", **manners}
    declaration = getattr(node("it", input="a", output="b", **manners)(function), _MARK)
    async with streams("a", "b", "c", delivery=delivery) as made, Tasks() as tasks:
        started = Node(declaration, made, runs)
        started.start(tasks)
        yield Running(started, made)
        await started.stop(PATIENCE)


def keyed(value: Any, key: bytes | None) -> Message[Any]:
    return Message(value=value, key=key)


async def test_a_message_that_fails_is_tried_again() -> None:
    failures = iter([True, True, False])

    async def moody(value: int) -> int:
        if value == 1 and next(failures):
            raise RuntimeError("not now")
        return value

    async with running(moody, retries=2) as it:
        await it.feed(0, 1, 2)
        assert await published(it.streams["b"], 3) == [0, 1, 2]
        await it.until(lambda: it.stats.handled == 3)
        assert (it.stats.retried, it.stats.failed, it.stats.dead_letters) == (2, 0, 0)


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_fails_every_time_goes_to_the_dead_letters_with_its_reason(is_async: bool) -> None:
    async def coroutine(value: int) -> float:
        return 1 / value

    def plain(value: int) -> float:
        return 1 / value

    async with running(coroutine if is_async else plain, retries=2) as it:
        await it.feed(1, Message(value=0, key=b"k", timestamp=7, headers=(("from", b"me"),)), 2)
        assert await published(it.streams["b"], 2) == [1.0, 0.5]
        [letter] = await it.messages("c", 1)
        assert (letter.value, letter.key, letter.timestamp) == (b"0", b"k", 7)
        assert dict(letter.headers) == {
            "from": b"me",
            "reason": b"ZeroDivisionError('division by zero')",
            "node": b"it",
            "stream": b"a",
            "position": b"0-1",
            "attempts": b"3",
        }
        await it.until(lambda: it.stats.handled == 2)
        assert (it.stats.retried, it.stats.failed, it.stats.dead_letters) == (2, 1, 1)


async def test_what_cannot_be_read_is_not_tried_again() -> None:
    async def same(value: int) -> int:
        return value

    async with running(same, retries=5) as it:
        await it.streams["a"].publish([Message(value=value) for value in (b"{", b'"x"', b"3")])
        assert await published(it.streams["b"], 1) == [3]
        assert [letter.value for letter in await it.messages("c", 2)] == [b"{", b'"x"']
        assert it.stats.retried == 0


async def test_a_batch_that_fails_costs_only_who_is_at_fault() -> None:
    calls: list[list[int]] = []

    def inverse(batch: list[Message[int]]) -> list[float]:
        calls.append([message.value for message in batch])
        return [1 / message.value for message in batch]

    async with running(inverse, batch=3, retries=1) as it:
        await it.feed(1, 0, 2, 4, 5)
        assert await published(it.streams["b"], 4) == [1.0, 0.5, 0.25, 0.2]
        assert [letter.value for letter in await it.messages("c", 1)] == [b"0"]
        assert calls[0] == [1, 0, 2]
        assert calls.count([0]) == 2
        assert max(map(len, calls)) == 3


async def test_a_call_that_takes_too_long_is_a_failure() -> None:
    async def slow(value: int) -> int:
        if value == 0:
            await asyncio.get_running_loop().create_future()
        return value

    async with running(slow, timeout=0.02) as it:
        await it.feed(0, 1)
        assert await published(it.streams["b"], 1) == [1]
        [letter] = await it.messages("c", 1)
        assert dict(letter.headers)["reason"] == b"it took longer than its timeout of 0.02 s"


async def test_a_timeout_that_the_function_raises_itself_is_its_own() -> None:
    async def impatient(value: int) -> int:
        raise TimeoutError("of my own")

    async with running(impatient, timeout=PATIENCE) as it:
        await it.feed(0)
        [letter] = await it.messages("c", 1)
        assert b"of my own" in dict(letter.headers)["reason"]


async def test_a_thread_that_takes_too_long_holds_its_place_until_it_ends() -> None:
    leave = threading.Event()

    def stuck(value: int) -> int:
        if value == 0:
            leave.wait(PATIENCE)
        return value

    async with running(stuck, timeout=0.02, concurrency=1) as it:
        await it.feed(7, 0, 1)
        [letter] = await it.messages("c", 1)
        assert letter.value == b"0"
        assert await published(it.streams["b"], 1) == [7]
        assert it.stats.handled == 1  # nobody else has its turn, for a thread cannot be stopped
        leave.set()
        assert await published(it.streams["b"], 2) == [7, 1]
        assert it.stats.failed == 1


async def test_many_calls_at_once_keep_the_order_of_each_key() -> None:
    under_way, most = 0, 0
    seen: dict[str, list[int]] = defaultdict(list)

    async def note(message: Message[int]) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001 * (message.value % 3))
        assert message.key is not None
        seen[message.key.decode()].append(message.value)
        under_way -= 1

    async with running(note, concurrency=8) as it:
        await it.feed(*[keyed(number, b"k%d" % (number % 12)) for number in range(240)])
        await it.until(lambda: it.stats.handled == 240)
    assert 1 < most <= 8
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert sum(map(len, seen.values())) == 240


async def test_without_order_a_slow_message_holds_up_nobody() -> None:
    leave = asyncio.Event()

    async def note(message: Message[int]) -> int:
        if message.value == 0:
            await leave.wait()
        return message.value

    async with running(note, concurrency=2, order="none") as it:
        await it.feed(*[keyed(number, b"same") for number in range(20)])
        assert await published(it.streams["b"], 19) == list(range(1, 20))
        leave.set()
        await it.until(lambda: it.stats.handled == 20)


async def test_one_at_a_time_keeps_the_order_of_the_stream_over_a_retry() -> None:
    failures = iter([True, True])

    async def moody(message: Message[int]) -> int:
        if message.value == 3 and next(failures, False):
            raise RuntimeError("not now")
        return message.value

    async with running(moody, retries=5) as it:
        await it.feed(*[keyed(number, b"k%d" % number) for number in range(8)])
        assert await published(it.streams["b"], 8) == list(range(8))


async def test_a_poisoned_key_holds_up_no_other() -> None:
    async def picky(message: Message[int]) -> int:
        if message.key == b"poison":
            raise RuntimeError("never")
        return message.value

    async with running(picky, concurrency=4, retries=3, retry_delay=30.0) as it:
        await it.feed(*[keyed(number, b"poison" if number % 10 == 0 else b"k%d" % number) for number in range(900)])
        assert len(await published(it.streams["b"], 810)) == 810
        assert it.stats.failed == 0


async def test_only_what_is_settled_from_the_front_is_committed() -> None:
    leave = asyncio.Event()

    async def first_waits(message: Message[int]) -> int:
        if message.value == 0:
            await leave.wait()
        return message.value

    async with running(first_waits, concurrency=2) as it:
        await it.feed(*[keyed(number, b"k%d" % number) for number in range(5)])
        assert await published(it.streams["b"], 4) == [1, 2, 3, 4]
        await it.node.stop(0.01)
        async with it.streams["a"].subscribe(Oldest(), cursor="node-it") as subscription:
            assert len((await subscription.take()).messages) == 5
        leave.set()


async def test_a_queue_is_committed_batch_by_batch() -> None:
    async def same(value: int) -> int:
        return value

    async with running(same, delivery=Delivery.QUEUE, concurrency=3) as it:
        for number in range(5):
            await it.feed(*range(number * 10, number * 10 + 10))
        await it.until(lambda: it.stats.handled == 50)
        await it.node.stop(PATIENCE)
        assert (await it.streams["a"].extent()).messages == 0


# Who runs the function may be gone


class Lossy:
    """Runs portions elsewhere, where some messages are the end of whoever has them."""

    def __init__(self, work: Work, deadly: bytes, most: int = 10**9) -> None:
        self._inline, self._deadly, self._left = Inline(work), deadly, most
        self.portions: list[list[bytes]] = []

    async def run(self, stream: str, messages: Sequence[Message[bytes]], *, apart: bool = False) -> Ran:
        self.portions.append([message.value for message in messages])
        if self._left and any(message.value == self._deadly for message in messages):
            self._left -= 1
            raise WorkerLost("worker x-1 died of signal 9")
        return await self._inline.run(stream, messages)


async def same(value: int) -> int:
    return value


async def test_what_a_lost_worker_had_is_given_out_again_in_order() -> None:
    lossy: list[Lossy] = []

    def runs(work: Work) -> Lossy:
        lossy.append(Lossy(work, b"5", most=2))
        return lossy[0]

    async with running(same, runs) as it:
        await it.feed(*range(9))
        assert await published(it.streams["b"], 9) == list(range(9))
        assert (it.stats.failed, it.stats.handled) == (0, 9)
    assert [b"5"] in lossy[0].portions  # apart from the others, after it was lost with them


async def test_a_message_that_is_the_end_of_every_worker_is_refused() -> None:
    async with running(same, lambda work: Lossy(work, b"5")) as it:
        await it.feed(*range(9))
        assert await published(it.streams["b"], 8) == [0, 1, 2, 3, 4, 6, 7, 8]
        [letter] = await it.messages("c", 1)
        assert dict(letter.headers)["reason"] == b"worker x-1 died of signal 9, %d times" % MOST_DEATHS


async def test_what_nobody_takes_while_all_stops_comes_again() -> None:
    class Stopped:
        def __init__(self, work: Work) -> None:
            self.asked = 0

        async def run(self, stream: str, messages: Sequence[Message[bytes]], *, apart: bool = False) -> Ran:
            self.asked += 1
            raise Draining("the group stops")

    async with running(same, Stopped) as it:
        await it.feed(1)
        await it.until(lambda: it.node._runs.asked)  # type: ignore[attr-defined]
        await it.node.stop(PATIENCE)
        async with it.streams["a"].subscribe(Oldest(), cursor="node-it") as subscription:
            assert len((await subscription.take()).messages) == 1


def test_dead_letters_that_come_in_again_are_refused() -> None:
    with pytest.raises(NodeError, match="node 'same' reads 'a', so its dead letters must go to another stream"):
        Node(getattr(node(input="a", dead_letters="a")(same), _MARK), {"a": None})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "wrong", [{"retries": -1}, {"concurrency": 0}, {"batch": True}, {"timeout": 0}, {"order": "some"}]
)
def test_manners_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(NodeError, match=f"node 'same': {next(iter(wrong))} must be"):
        node(input="a", **wrong)(same)
