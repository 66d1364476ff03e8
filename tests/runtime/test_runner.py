"""The runner: nodes go on, whatever their functions do."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import NodeError, TransportError, Unavailable
from headgate.runtime.node import _MARK, node
from headgate.runtime.runner import Node
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.testing.transport import PATIENCE
from headgate.transport.base import Delivery, Overflow, StreamSettings
from tests.runtime.streams import published, streams


class Reading(msgspec.Struct):
    celsius: float


@dataclass
class Running:
    """A node between a stream `a` and a stream `b`."""

    node: Node
    streams: dict[str, Stream]

    async def feed(self, *values: Any) -> None:
        await self.streams["a"].publish(self.streams["a"].encode(values))

    async def until(self, condition: Callable[[], object]) -> None:
        """Give way until this holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.001)


@asynccontextmanager
async def running(function: Callable[..., Any], **settings: Any) -> AsyncIterator[Running]:
    declaration = getattr(function, _MARK, None) or getattr(node(input="a", output="b")(function), _MARK)
    async with streams("a", "b", **settings) as made, Tasks() as tasks:
        started = Node(declaration, made)
        started.start(tasks)
        yield Running(started, made)
        await started.stop(PATIENCE)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Nobody waits before another attempt, but every attempt is noted."""
    attempts: list[int] = []

    def none(attempt: int, **_: float) -> float:
        attempts.append(attempt)
        return 0.0

    monkeypatch.setattr("headgate.runtime.runner.backoff", none)
    return attempts


# What a function gets and what becomes of its results


async def test_a_function_gets_values_and_its_results_are_published() -> None:
    def double(value: int) -> int:
        return value * 2

    async with running(double) as it:
        await it.feed(1, 2, 3)
        assert await published(it.streams["b"], 3) == [2, 4, 6]
        await it.until(lambda: it.node.stats.emitted == 3)
        assert repr(it.node) == "<Node double: 3 handled, 0 failed>"


async def test_a_plain_function_runs_in_a_thread_and_a_coroutine_in_the_loop() -> None:
    def plain(value: int) -> bool:
        return threading.current_thread() is threading.main_thread()

    async def coroutine(value: int) -> bool:
        return plain(value)

    for function, in_loop in ((plain, False), (coroutine, True)):
        async with running(function) as it:
            await it.feed(1)
            assert await published(it.streams["b"], 1) == [in_loop]


async def test_a_function_that_blocks_its_thread_holds_up_no_other_node() -> None:
    leave = threading.Event()

    def blocked(value: int) -> None:
        leave.wait(PATIENCE)

    async with streams("a", "b") as made, Tasks() as tasks:
        nodes = [
            Node(getattr(declare(function), _MARK), made)
            for function in (blocked, lambda value: value)
            for declare in [node(function.__name__, input="a", output="b")]
        ]
        for started in nodes:
            started.start(tasks)
        await made["a"].publish(made["a"].encode([1]))
        assert await published(made["b"], 1) == [1]
        leave.set()
        for started in nodes:
            await started.stop(PATIENCE)


async def test_values_are_converted_to_the_parameters_type() -> None:
    async def hot(reading: Reading) -> bool:
        return reading.celsius > 90

    async with running(hot) as it:
        await it.feed({"celsius": 95}, {"celsius": 20})
        assert await published(it.streams["b"], 2) == [True, False]


async def test_a_message_parameter_gets_the_whole_message() -> None:
    async def swapped(message: Message[Any]) -> Message[Any]:
        assert message.key is not None
        return Message(value=message.key.decode(), key=message.value.encode(), headers=message.headers)

    async with running(swapped) as it:
        await it.feed(Message(value="x", key=b"k", headers=(("from", b"a"),)))
        async with it.streams["b"].subscribe(Oldest()) as subscription:
            [message] = (await subscription.take()).messages
        assert (message.value, message.key, message.headers) == (b'"k"', b"x", (("from", b"a"),))


async def test_a_message_parameter_may_name_the_type_of_its_value() -> None:
    async def warm(message: Message[Reading]) -> float:
        return message.value.celsius

    async with running(warm) as it:
        await it.feed({"celsius": 1.5}, "no reading", {"celsius": 2.5})
        assert await published(it.streams["b"], 2) == [1.5, 2.5]
        assert it.node.stats.failed == 1


async def test_a_list_of_messages_gets_a_batch() -> None:
    def count(batch: list[Message[Any]]) -> int:
        return len(batch)

    async with running(count) as it:
        await it.feed(1, 2, 3)
        assert await published(it.streams["b"], 1) == [3]


async def test_a_message_that_cannot_be_read_costs_its_batch_nothing_else() -> None:
    def total(batch: list[Message[Reading]]) -> float:
        return sum(message.value.celsius for message in batch)

    async with running(total) as it:
        await it.streams["a"].publish([Message(value=v) for v in (b'{"celsius":1}', b"{", b"5", b'{"celsius":2}')])
        assert await published(it.streams["b"], 1) == [3.0]
        await it.until(lambda: it.node.stats.handled == 2)
        assert it.node.stats.failed == 2


async def test_a_batch_of_which_nothing_is_left_calls_nobody() -> None:
    calls: list[int] = []

    def count(batch: list[Message[Any]]) -> None:
        calls.append(len(batch))

    async with running(count, keep_age=60 * 10**9) as it:
        await it.until(lambda: it.streams["a"].readers)
        await it.feed(Message(value=1, timestamp=7))  # too old when it is read: all there is to tell is one missed
        await it.until(lambda: it.streams["a"].stats.missed == 1)
        await it.streams["a"].publish([Message(value=b"{")])
        await it.feed(2)
        await it.until(lambda: calls)
        assert calls == [1]
        assert it.node.stats.restarts == 0


async def test_an_async_generators_values_are_published() -> None:
    async def repeat(value: int) -> AsyncIterator[Any]:
        for _ in range(value):
            yield value
        yield None
        yield [value, Message(value=-value)]

    async with running(repeat) as it:
        await it.feed(0, 2)
        assert await published(it.streams["b"], 6) == [0, 0, 2, 2, 2, -2]


async def test_a_plain_generators_values_are_published() -> None:
    def repeat(value: int) -> Iterator[Any]:
        assert threading.current_thread() is not threading.main_thread()
        for _ in range(value):
            yield value
        yield None
        yield [value]

    async with running(repeat) as it:
        await it.feed(0, 2)
        assert await published(it.streams["b"], 4) == [0, 2, 2, 2]


async def test_none_publishes_nothing_and_a_list_each_of_its_items() -> None:
    async def some(value: int) -> list[int] | None:
        return [value, value] if value else None

    async with running(some) as it:
        await it.feed(0, 1)
        assert await published(it.streams["b"], 2) == [1, 1]
        await it.until(lambda: it.node.stats.handled == 2)
        assert it.node.stats.emitted == 2


async def test_a_node_may_have_several_inputs_and_outputs() -> None:
    @node(input=["a", "b"], output=["c", "d"])
    async def same(value: int) -> int:
        return value

    async with streams("a", "b", "c", "d") as made, Tasks() as tasks:
        started = Node(getattr(same, _MARK), made)
        started.start(tasks)
        for number, name in enumerate("abab"):
            await made[name].publish(made[name].encode([number]))
        assert sorted(await published(made["c"], 4)) == sorted(await published(made["d"], 4)) == [0, 1, 2, 3]
        await started.stop(PATIENCE)


# What goes wrong costs what it must and no more


async def test_an_exception_costs_one_message_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def fragile(value: int) -> float:
        return 1 / value

    async with running(fragile) as it:
        await it.feed(1, 0, 2)
        assert await published(it.streams["b"], 2) == [1.0, 0.5]
        await it.until(lambda: it.node.stats.handled == 2)
        assert it.node.stats.failed == 1
    [record] = [record for record in caplog.records if record.name == "headgate.node"]
    facts = record.__dict__
    assert (facts["node"], facts["stream"], facts["partition"], facts["offset"]) == ("fragile", "a", 0, 1)
    assert "ZeroDivisionError" in facts["reason"]
    assert "ZeroDivisionError" in facts["traceback"]


async def test_a_value_of_the_wrong_type_costs_one_message(caplog: pytest.LogCaptureFixture) -> None:
    async def strict(reading: Reading) -> float:
        return reading.celsius

    async with running(strict) as it:
        await it.feed("not a reading", {"celsius": 1.5})
        assert await published(it.streams["b"], 1) == [1.5]
        assert it.node.stats.failed == 1
    [record] = [record for record in caplog.records if record.name == "headgate.node"]
    assert (record.__dict__["stream"], record.__dict__["offset"]) == ("a", 0)
    assert "traceback" not in record.__dict__  # the client's mistake, and not the function's


async def test_a_result_that_cannot_be_encoded_costs_one_message() -> None:
    async def odd(value: int) -> Any:
        return [value, object()] if value == 1 else value

    async with running(odd) as it:
        await it.feed(1, 2)
        assert await published(it.streams["b"], 1) == [2]
        await it.until(lambda: it.node.stats.handled == 1)
        assert (it.node.stats.failed, it.node.stats.emitted) == (1, 1)


async def test_a_stop_iteration_costs_one_message() -> None:
    """It cannot pass from a thread to a future: whoever waited would wait for ever."""

    def first(values: list[int]) -> int:
        return next(iter(values))

    async with running(first) as it:
        await it.feed([], [5])
        assert await published(it.streams["b"], 1) == [5]
        assert it.node.stats.failed == 1


async def test_a_cancellation_that_escapes_a_function_costs_one_message() -> None:
    async def leaky(value: int) -> int:
        if value == 1:
            lost = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost
        return value

    async with running(leaky) as it:
        await it.feed(1, 2)
        assert await published(it.streams["b"], 1) == [2]
        assert it.node.stats.failed == 1


async def test_an_output_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch, waits: list[int]) -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        refuse(it.streams["b"], [Unavailable("away")] * 3, monkeypatch)
        await it.feed(1, 2)
        assert await published(it.streams["b"], 2) == [1, 2]
        assert it.node.stats.failed == 0
        assert waits == [1, 2, 3]


async def test_an_output_that_refuses_for_good_is_waited_for_and_gets_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, waits: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        refuse(it.streams["b"], [None, TransportError("let this user write to the topic")] * 2, monkeypatch)
        await it.feed(1, 2, 3)
        assert await published(it.streams["b"], 3) == [1, 2, 3]
        assert (it.node.stats.failed, it.node.stats.restarts) == (0, 0)
    reasons = {record.__dict__["reason"] for record in caplog.records if record.levelname == "ERROR"}
    assert reasons == {"let this user write to the topic"}


def refuse(stream: Stream, errors: list[Exception | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next publishes to this stream fail with these, or pass where there is none."""
    publish, coming = stream.publish, iter(errors)

    async def publish_or_fail(batch: list[Message[bytes]]) -> Any:
        if error := next(coming, None):
            raise error
        return await publish(batch)

    monkeypatch.setattr(stream, "publish", publish_or_fail)


async def test_an_output_that_is_full_loses_nothing(waits: list[int]) -> None:
    async def tenfold(value: int) -> list[int]:
        return list(range(value * 10, value * 10 + 4))

    async with running(tenfold, keep_messages=5, overflow=Overflow.REJECT, delivery=Delivery.QUEUE) as it:
        got: list[int] = []
        await it.feed(0, 1, 2, 3, 4)
        await it.until(lambda: waits)  # there is room for four of the first eight
        async with asyncio.timeout(PATIENCE), it.streams["b"].subscribe(Oldest()) as subscription:
            while len(got) < 20:
                batch = await subscription.take(3)
                got += [it.streams["b"].decode(message).value for message in batch.messages]
                await subscription.commit(batch.position)
        assert got == [ten * 10 + one for ten in range(5) for one in range(4)]
        assert it.node.stats.failed == 0


async def test_a_reader_that_fails_is_opened_again_where_it_was(
    monkeypatch: pytest.MonkeyPatch, waits: list[int]
) -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        opened, failing = it.streams["a"].transport.open_source, iter([True, True])

        async def away(settings: StreamSettings, *arguments: Any) -> Any:
            if settings.name == "a" and next(failing, False):
                raise Unavailable("away")
            return await opened(settings, *arguments)

        await it.feed(1)
        assert await published(it.streams["b"], 1) == [1]
        monkeypatch.setattr(it.streams["a"].transport, "open_source", away)
        for source in list(it.streams["a"]._sources):
            monkeypatch.setattr(source, "read", lambda *_: _fails(Unavailable("away")))
        await it.feed(2)  # ends the read under way, and the next one fails
        await it.until(lambda: it.node.stats.restarts == 3)
        await it.feed(3)
        assert await published(it.streams["b"], 3) == [1, 2, 3]


async def _fails(error: Exception) -> None:
    raise error


# Stopping


async def test_stopping_finishes_what_is_in_hand_and_takes_nothing_new() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(value: int) -> int:
        entered.set()
        await leave.wait()
        return value

    async with running(slow) as it:
        await it.feed(1)
        await entered.wait()
        stopping = asyncio.ensure_future(it.node.stop(PATIENCE))
        await asyncio.sleep(0)
        await it.feed(2)
        leave.set()
        await stopping
        assert await published(it.streams["b"], 1) == [1]
        assert (await it.streams["b"].extent()).messages == 1


async def test_a_node_that_waits_for_its_input_stops_at_once() -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        await it.feed(1)
        assert await published(it.streams["b"], 1) == [1]
        await at_once(it.node.stop(PATIENCE))


async def test_a_node_that_waits_before_its_next_attempt_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.runtime.runner.backoff", lambda _: PATIENCE)

    @node(output="b")
    async def broken() -> AsyncIterator[int]:
        raise RuntimeError("broken")
        yield 1

    async with running(broken) as it:
        await it.until(lambda: it.node.stats.restarts)
        await at_once(it.node.stop(PATIENCE))


async def test_a_node_that_never_began_stops_at_once() -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        await at_once(it.node.stop(PATIENCE))
    async with streams("a", "b") as made:
        idle = Node(getattr(same, _MARK), made)
        assert not idle.running
        await at_once(idle.stop(PATIENCE))


async def at_once(act: Awaitable[object]) -> None:
    async with asyncio.timeout(PATIENCE / 10):
        await act


async def test_what_takes_longer_than_the_time_to_stop_comes_again() -> None:
    entered = asyncio.Event()
    lives = iter(["first", "second"])

    async def slow(value: int) -> int:
        if next(lives) == "first":
            entered.set()
            await asyncio.get_running_loop().create_future()
        return value

    async with running(slow) as it:
        await it.feed(1)
        await entered.wait()
        await it.node.stop(0.01)
        assert it.node.stats.handled == 0
        async with Tasks() as tasks:
            again = Node(it.node.declaration, it.streams)
            again.start(tasks)
            assert await published(it.streams["b"], 1) == [1]
            await again.stop(PATIENCE)


async def test_a_node_goes_on_where_it_committed() -> None:
    seen: list[int] = []

    async def note(value: int) -> None:
        seen.append(value)

    async with running(note) as it:
        await it.feed(1, 2)
        await it.until(lambda: len(seen) == 2)
        await it.node.stop(PATIENCE)
        await it.feed(3)
        async with Tasks() as tasks:
            again = Node(it.node.declaration, it.streams)
            again.start(tasks)
            await it.until(lambda: len(seen) == 3)
            await again.stop(PATIENCE)
        assert seen == [1, 2, 3]


# Sources


async def test_a_source_makes_messages_until_it_is_stopped() -> None:
    closed = False

    @node(output="b")
    async def count() -> AsyncIterator[int]:
        nonlocal closed
        try:
            number = 0
            while True:
                yield number
                number += 1
                await asyncio.sleep(0)
        finally:
            closed = True

    async with running(count) as it:
        assert await published(it.streams["b"], 5) == [0, 1, 2, 3, 4]
        await it.node.stop(PATIENCE)
        made = it.node.stats.emitted
        assert closed
        assert (await it.streams["b"].extent()).messages == made


async def test_a_source_that_waits_for_the_world_stops_at_once_and_tidies_up() -> None:
    waiting, tidy = asyncio.Event(), False

    @node(output="b")
    async def patient() -> AsyncIterator[int]:
        nonlocal tidy
        try:
            waiting.set()
            await asyncio.get_running_loop().create_future()
            yield 1
        finally:
            await asyncio.sleep(0)
            tidy = True

    async with running(patient) as it:
        await waiting.wait()
        await at_once(it.node.stop(PATIENCE))
        assert tidy


async def test_what_a_source_made_when_it_was_stopped_is_published() -> None:
    leave = asyncio.Event()

    @node(output="b")
    async def polite() -> AsyncIterator[int]:
        yield 1
        try:
            await leave.wait()
        except asyncio.CancelledError:
            yield 2

    async with running(polite) as it:
        assert await published(it.streams["b"], 1) == [1]
        await it.node.stop(PATIENCE)
        assert await published(it.streams["b"], 2) == [1, 2]


async def test_a_source_lives_in_one_task() -> None:
    """So it may hold a task group, a timeout or a context variable from one message to the next."""
    variable = contextvars.ContextVar("variable", default=0)

    @node(output="b")
    async def group() -> AsyncIterator[int]:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            for number in range(3):
                variable.set(variable.get() + 1)
                await tasks.create_task(asyncio.sleep(0))
                yield variable.get() * 10 + number

    async with running(group) as it:
        assert await published(it.streams["b"], 3) == [10, 21, 32]
        await it.until(lambda: all(task.done() for task in it.node._tasks))
        assert it.node.stats.failed == 0


async def test_a_source_that_fails_starts_again(waits: list[int]) -> None:
    lives = iter(range(10))

    @node(output="b")
    async def fragile() -> AsyncIterator[int]:
        life = next(lives)
        if life in (2, 3, 4):
            raise RuntimeError("broken at once")
        yield life
        if life == 6:
            return
        raise RuntimeError("broken")

    async with running(fragile) as it:
        assert await published(it.streams["b"], 4) == [0, 1, 5, 6]
        await it.until(lambda: all(task.done() for task in it.node._tasks))
        assert waits == [1, 1, 2, 3, 4, 1]  # it begins anew where something was made in between
        assert (it.node.stats.restarts, it.node.stats.emitted) == (6, 4)


async def test_a_cancellation_that_escapes_a_source_starts_it_again(waits: list[int]) -> None:
    lives = iter(range(2))

    @node(output="b")
    async def leaky() -> AsyncIterator[int]:
        if next(lives) == 0:
            raise asyncio.CancelledError
        yield 1

    async with running(leaky) as it:
        assert await published(it.streams["b"], 1) == [1]
        assert it.node.stats.restarts == 1


async def test_what_a_source_made_and_nobody_can_write_is_left_out() -> None:
    @node(output="b")
    async def odd() -> AsyncIterator[Any]:
        yield [1, object()]
        yield 2
        yield None

    async with running(odd) as it:
        assert await published(it.streams["b"], 1) == [2]
        await it.until(lambda: all(task.done() for task in it.node._tasks))
        assert (it.node.stats.emitted, it.node.stats.failed, it.node.stats.restarts) == (1, 2, 0)


async def test_a_node_ends_with_its_streams() -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        await it.feed(1)
        assert await published(it.streams["b"], 1) == [1]
        await it.streams["b"].close()
        await it.feed(2)
        await it.until(lambda: all(task.done() for task in it.node._tasks))
        assert it.node.stats.restarts == 0


# What cannot work is refused


async def test_a_node_that_names_an_unknown_stream_is_refused() -> None:
    @node(input="nowhere")
    async def lost(value: int) -> None: ...

    async with streams("a") as made:
        with pytest.raises(NodeError, match="names stream 'nowhere', but the file declares: a"):
            Node(getattr(lost, _MARK), made)


async def test_a_node_without_an_input_is_refused() -> None:
    @node(output="a")
    async def idle(value: int) -> None: ...

    async with streams("a") as made:
        with pytest.raises(NodeError, match="has no input stream"):
            Node(getattr(idle, _MARK), made)


async def test_a_source_with_an_input_is_refused() -> None:
    @node(input="a", output="b")
    async def source() -> AsyncIterator[int]:
        yield 1

    async with streams("a", "b") as made:
        with pytest.raises(NodeError, match="node 'source' has no parameter, so it cannot have an input stream"):
            Node(getattr(source, _MARK), made)
