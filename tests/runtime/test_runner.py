"""The runner: nodes go on, whatever their functions do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from headgate.core.message import Message
from headgate.errors import NodeError, Unavailable
from headgate.runtime.node import _MARK, node
from headgate.runtime.runner import Node
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.testing.transport import PATIENCE
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


@asynccontextmanager
async def running(function: Callable[..., Any], **settings: Any) -> AsyncIterator[Running]:
    declaration = getattr(function, _MARK, None) or getattr(node(input="a", output="b")(function), _MARK)
    async with streams("a", "b", **settings) as made, Tasks() as tasks:
        started = Node(declaration, made)
        started.start(tasks)
        yield Running(started, made)
        await started.stop(PATIENCE)


async def test_a_function_gets_values_and_its_results_are_published() -> None:
    def double(value: int) -> int:
        return value * 2

    async with running(double) as it:
        await it.feed(1, 2, 3)
        assert await published(it.streams["b"], 3) == [2, 4, 6]
        assert it.node.stats.handled == 3


async def test_values_are_converted_to_the_parameters_type() -> None:
    async def hot(reading: Reading) -> bool:
        return reading.celsius > 90

    async with running(hot) as it:
        await it.feed({"celsius": 95}, {"celsius": 20})
        assert await published(it.streams["b"], 2) == [True, False]


async def test_a_message_parameter_gets_the_whole_message() -> None:
    async def keyed(message: Message[Any]) -> Message[Any]:
        return Message(value=message.value, key=b"k", headers=(("from", b"a"),))

    async with running(keyed) as it:
        await it.feed("x")
        assert await published(it.streams["b"], 1) == ["x"]


async def test_a_list_of_messages_gets_a_batch() -> None:
    def count(batch: list[Message[Any]]) -> int:
        return len(batch)

    async with running(count) as it:
        await it.feed(1, 2, 3)
        assert await published(it.streams["b"], 1) == [3]


async def test_a_generator_may_publish_several_or_none() -> None:
    async def repeat(value: int) -> AsyncIterator[int]:
        for _ in range(value):
            yield value

    async with running(repeat) as it:
        await it.feed(0, 2, 1)
        assert await published(it.streams["b"], 3) == [2, 2, 1]


async def test_none_publishes_nothing_and_a_list_each_of_its_items() -> None:
    async def some(value: int) -> list[int] | None:
        return [value, value] if value else None

    async with running(some) as it:
        await it.feed(0, 1)
        assert await published(it.streams["b"], 2) == [1, 1]


async def test_an_exception_costs_one_message_and_is_counted() -> None:
    async def fragile(value: int) -> float:
        return 1 / value

    async with running(fragile) as it:
        await it.feed(1, 0, 2)
        assert await published(it.streams["b"], 2) == [1.0, 0.5]
        assert (it.node.stats.handled, it.node.stats.failed) == (2, 1)


async def test_a_value_of_the_wrong_type_costs_one_message(caplog: pytest.LogCaptureFixture) -> None:
    async def strict(reading: Reading) -> float:
        return reading.celsius

    async with running(strict) as it:
        await it.feed("not a reading", {"celsius": 1.5})
        assert await published(it.streams["b"], 1) == [1.5]
        assert it.node.stats.failed == 1
    [record] = [record for record in caplog.records if record.name == "headgate.node"]
    assert (record.__dict__["stream"], record.__dict__["offset"]) == ("a", 0)


async def test_a_result_that_cannot_be_encoded_costs_one_message() -> None:
    async def odd(value: int) -> Any:
        return object() if value == 1 else value

    async with running(odd) as it:
        await it.feed(1, 2)
        assert await published(it.streams["b"], 1) == [2]
        assert it.node.stats.failed == 1


async def test_an_output_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def same(value: int) -> int:
        return value

    async with running(same) as it:
        publish, refusals = it.streams["b"].publish, iter([True, True])

        async def away_at_first(batch: list[Message[bytes]]) -> Any:
            if next(refusals, False):
                raise Unavailable("away")
            return await publish(batch)

        monkeypatch.setattr(it.streams["b"], "publish", away_at_first)
        await it.feed(1, 2)
        assert await published(it.streams["b"], 2) == [1, 2]
        assert it.node.stats.failed == 0


async def test_stopping_finishes_what_is_in_hand() -> None:
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
        leave.set()
        await stopping
        assert await published(it.streams["b"], 1) == [1]


async def test_a_source_makes_messages_until_it_is_stopped() -> None:
    @node(output="b")
    async def count() -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1
            await asyncio.sleep(0)

    async with running(count) as it:
        assert await published(it.streams["b"], 5) == [0, 1, 2, 3, 4]


async def test_a_source_that_fails_starts_again() -> None:
    lives = iter(range(10))

    @node(output="b")
    async def fragile() -> AsyncIterator[int]:
        yield next(lives)
        raise RuntimeError("broken")

    async with running(fragile) as it:
        assert await published(it.streams["b"], 2) == [0, 1]
        assert it.node.stats.restarts >= 1


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
