"""The hub: when it reads, what newcomers get, and what happens when the stream fails it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from headgate.core.codec import JsonCodec
from headgate.core.lanes import Follower, Lanes, Payload
from headgate.core.match import EVERYTHING
from headgate.core.message import Message
from headgate.core.position import At, Last, Newest, Oldest, Position, Start
from headgate.errors import StreamClosed, Unavailable
from headgate.interface.rendering import Lines
from headgate.runtime import hub as hub_module
from headgate.runtime.hub import Hub
from headgate.runtime.replay import replay
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.transport.base import StreamSettings
from headgate.transport.memory import MemoryTransport
from tests.gates.web import eventually

CODEC = JsonCodec()


@dataclass
class Client:
    """Takes everything at once."""

    got: list[bytes] = field(default_factory=list)
    ended: bool = False
    follower: Follower | None = None

    def deliver(self, payload: Payload) -> bool:
        self.got += payload.frames
        return True

    def wake(self) -> None:
        while self.follower is not None and self.follower.lags and (payload := self.follower.take()) is not None:
            self.got += payload.frames

    def end(self) -> None:
        self.ended = True

    @property
    def values(self) -> list[int]:
        return [int(frame.partition(b'"value":')[2].partition(b",")[0]) for frame in self.got if b'"value"' in frame]


@asynccontextmanager
async def hubs(keep: int = 100, linger: float = 0.05) -> AsyncIterator[tuple[Hub, Stream]]:
    transport = MemoryTransport()
    stream = Stream(StreamSettings("numbers", keep_messages=keep), CODEC, transport, transport_name="memory")
    async with Tasks() as tasks:
        await stream.open()
        hub = Hub(stream, tasks, linger=linger)
        yield hub, stream
        await hub.close()


@asynccontextmanager
async def following(hub: Hub, start: Start) -> AsyncIterator[Client]:
    client = Client()
    client.follower = await hub.enter(EVERYTHING, Lines(CODEC), client)
    try:
        async for payload in replay(hub, client.follower, start):
            client.deliver(payload)
        client.wake()
        yield client
    finally:
        hub.leave(client.follower)


async def publish(stream: Stream, *numbers: int) -> None:
    await stream.publish([Message(value=b"%d" % number) for number in numbers])


async def test_it_reads_while_somebody_follows_and_a_little_longer() -> None:
    async with hubs() as (hub, stream):
        assert stream.readers == 0
        async with following(hub, Newest()):
            assert stream.readers == 1
            async with following(hub, Newest()):
                assert stream.readers == 1
        async with following(hub, Newest()):
            assert stream.readers == 1
        await eventually(lambda: stream.readers == 0)


async def test_one_that_does_not_read_keeps_nothing() -> None:
    async with hubs() as (hub, stream):
        await publish(stream, *range(10))
        async with following(hub, Oldest()) as client:
            assert len(client.values) == 10
        await eventually(lambda: stream.readers == 0)
        assert hub.window._bytes == len(hub.window._entries) == 0
        async with following(hub, Oldest()) as client:
            assert len(client.values) == 10


async def test_it_stays_when_it_is_told_to_and_goes_when_it_is_told_so() -> None:
    async with hubs() as (hub, stream):
        hub.stay(True)
        await hub.come_up()
        async with following(hub, Newest()):
            pass
        await asyncio.sleep(0.1)  # longer than it lingers: it must not go
        assert stream.readers == 1
        hub.stay(False)
        await eventually(lambda: stream.readers == 0)


@pytest.mark.parametrize(("start", "wanted"), [(Newest(), []), (Oldest(), [0, 1, 2]), (Last(2), [1, 2])])
async def test_a_newcomer_gets_what_it_asked_for_and_then_what_comes(start: Start, wanted: list[int]) -> None:
    async with hubs() as (hub, stream):
        await publish(stream, 0, 1, 2)
        async with following(hub, start) as client:
            assert client.values == wanted
            await publish(stream, 3)
            await eventually(lambda: client.values == [*wanted, 3])


async def test_what_was_published_while_nobody_followed_is_history_and_no_news() -> None:
    async with hubs() as (hub, stream):
        async with following(hub, Newest()):
            await publish(stream, 0)
        await eventually(lambda: stream.readers == 0)
        await publish(stream, 1, 2)
        async with following(hub, Newest()) as client:
            await publish(stream, 3)
            await eventually(lambda: client.values)
            assert client.values == [3]


async def test_what_is_at_hand_is_given_without_another_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hubs() as (hub, stream):
        await publish(stream, *range(10))
        async with following(hub, Newest()):
            monkeypatch.setattr(stream, "subscribe", None)
            place = Position(hub.window.epoch, {0: 4})
            async with following(hub, At(place)) as client:
                assert client.values == [4, 5, 6, 7, 8, 9]


async def test_only_so_many_read_what_is_older_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PREFILL", 1)
    async with hubs(keep=1000) as (hub, stream):
        await publish(stream, *range(500))
        await hub.come_up()
        most = 0

        async def visit() -> list[int]:
            nonlocal most
            client = Client()
            client.follower = await hub.enter(EVERYTHING, Lines(CODEC), client)
            async for payload in replay(hub, client.follower, Oldest()):
                most = max(most, stream.readers)
                client.deliver(payload)
                await asyncio.sleep(0)
            client.wake()
            hub.leave(client.follower)
            return client.values

        assert await asyncio.gather(*(visit() for _ in range(30))) == [list(range(500))] * 30
        assert most <= 1 + hub_module.REPLAYS


async def test_a_hub_that_breaks_sends_all_away_and_reads_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with hubs() as (hub, stream):
        async with following(hub, Newest()) as client:
            whole = Lanes.publish

            def broken(*_: object) -> None:
                monkeypatch.setattr(Lanes, "publish", whole)
                raise ZeroDivisionError

            monkeypatch.setattr(Lanes, "publish", broken)
            await publish(stream, 0)
            await eventually(lambda: client.ended)
            assert "the hub of numbers broke" in caplog.text
        place = Position(hub.window.epoch, {0: 0})
        async with following(hub, At(place)) as client:
            await eventually(lambda: client.values == [0])


async def test_a_stream_that_cannot_be_read_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PATIENCE", 0.05)
    async with hubs() as (hub, stream):
        whole = stream.subscribe

        @asynccontextmanager
        async def broken(*_: object) -> AsyncIterator[object]:
            raise Unavailable("the broker is away")
            yield

        monkeypatch.setattr(stream, "subscribe", broken)
        with pytest.raises(Unavailable, match="cannot be read just now: the broker is away"):
            await hub.come_up()
        assert hub.trouble == "stream 'numbers' cannot be read: the broker is away"
        assert hub.lanes.followers == 0
        monkeypatch.setattr(stream, "subscribe", whole)
        await eventually(lambda: hub.trouble is None)
        async with following(hub, Newest()):
            assert stream.readers == 1


async def test_a_closed_hub_tells_those_who_follow_and_lets_nobody_in() -> None:
    async with hubs() as (hub, _), following(hub, Newest()) as client:
        await hub.close()
        assert client.ended
        with pytest.raises(StreamClosed):
            await hub.come_up()


# Reading at hand


async def test_a_poll_gets_what_was_acknowledged_before_it() -> None:
    async with hubs() as (hub, stream):
        await publish(stream, 0)
        place = Position((await stream.extent()).newest.epoch, {0: 0})
        for number in range(1, 50):
            await publish(stream, number)
            batch = await hub.read(place, 100, 0)
            assert batch is not None
            assert [message.value for message in batch.messages] == [b"%d" % n for n in range(number + 1)]
            assert batch.position.offset == number + 1


async def test_a_poll_waits_for_news_and_no_longer_than_it_was_asked_to() -> None:
    async with hubs() as (hub, stream):
        await hub.come_up()
        place = hub.window.head
        assert (await hub.read(place, 10, 0.01)).messages == []  # type: ignore[union-attr]
        reading = asyncio.ensure_future(hub.read(place, 10, 10))
        await asyncio.sleep(0)
        await publish(stream, 7)
        batch = await reading
        assert batch is not None
        assert [message.value for message in batch.messages] == [b"7"]


async def test_a_limited_poll_is_full_before_the_hub_has_read_all() -> None:
    async with hubs() as (hub, stream):
        await hub.come_up()
        place = hub.window.head
        await publish(stream, *range(25))
        assert len((await hub.read(place, 10, 5)).messages) == 10  # type: ignore[union-attr]


async def test_a_poll_is_limited_and_goes_on_where_it_was() -> None:
    async with hubs() as (hub, stream):
        await hub.come_up()
        place, got = hub.window.head, []
        await publish(stream, *range(25))
        while batch := await hub.read(place, 10, 0):
            if not batch.messages:
                break
            got += [int(message.value) for message in batch.messages]
            place = batch.position
        assert got == list(range(25))


async def test_what_is_not_at_hand_is_nothing_that_a_hub_answers() -> None:
    async with hubs(keep=5) as (hub, stream):
        await hub.come_up()
        place = hub.window.head
        await publish(stream, *range(3))
        await eventually(lambda: hub.window.newest == 3)
        await publish(stream, *range(5))
        await eventually(lambda: hub.window.oldest == 3)
        assert await hub.read(place, 10, 0) is None
        assert await hub.read(Position("another", {0: 1}), 10, 0) is None
