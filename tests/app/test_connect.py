"""The table between the plan and the transports."""

from pathlib import Path
from typing import Any

import pytest

from headgate.app.connect import Connections, missing_abilities, stream_settings, transport_arguments
from headgate.core.message import StreamId
from headgate.errors import HeadgateError
from headgate.spec.plan import ConnectionsPlan, CreatePlan, KafkaPlan, LogPlan, Plan, StreamPlan
from headgate.transport.base import Ability, Delivery, Overflow, StreamSettings

ALL = frozenset(Ability)


class Fake:
    """A transport that only notes."""

    abilities = frozenset({Ability.QUEUE})

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.closed = False

    def trouble(self) -> str | None:
        return self.arguments.get("group_id")

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """The transports that were made."""
    made: list[Fake] = []

    def transport_class(_: str) -> Any:
        return lambda **arguments: made.append(Fake(**arguments)) or made[-1]

    monkeypatch.setattr("headgate.app.connect.transport_class", transport_class)
    return made


def test_a_stream_is_told_to_its_transport_in_plain_words() -> None:
    plan = StreamPlan(
        "assets",
        topic="asset_stream",
        kind="asset",
        delivery="queue",
        keep_messages=5,
        keep_age=7,
        overflow="block",
        create=CreatePlan(3, 2),
        options={"a": 1},
    )
    assert stream_settings(plan) == StreamSettings(
        name="assets",
        id=StreamId("asset", "assets"),
        topic="asset_stream",
        delivery=Delivery.QUEUE,
        keep_messages=5,
        keep_age=7,
        overflow=Overflow.BLOCK,
        options={"a": 1, "create": {"partitions": 3, "replication": 2, "compact": False}},
    )


def test_a_transport_gets_the_settings_of_its_connection() -> None:
    connections = ConnectionsPlan(
        kafka=KafkaPlan("b:1", "g", {"linger.ms": 3}, 5.0), log=LogPlan(Path("x.db"), "relaxed")
    )
    assert transport_arguments("log", connections) == {"path": Path("x.db"), "durability": "relaxed"}
    assert transport_arguments("kafka", connections) == {
        "bootstrap_servers": "b:1",
        "group_id": "g",
        "options": {"linger.ms": 3},
        "send_timeout": 5.0,
    }
    assert transport_arguments("memory", connections) == {}
    assert transport_arguments("a plug-in", connections) == {}


@pytest.mark.parametrize(
    ("settings", "abilities", "missing"),
    [
        (StreamSettings("a"), frozenset(), []),
        (StreamSettings("a", delivery=Delivery.QUEUE), ALL, []),
        (StreamSettings("a", delivery=Delivery.QUEUE), ALL - {Ability.QUEUE}, ["delivery: queue"]),
        (StreamSettings("a", overflow=Overflow.BLOCK), ALL - {Ability.OVERFLOW}, ["overflow: block"]),
    ],
)
def test_what_a_transport_cannot_do_is_named(settings: StreamSettings, abilities: Any, missing: list[str]) -> None:
    assert missing_abilities(settings, abilities) == missing


def test_streams_of_one_transport_share_it(fakes: list[Fake]) -> None:
    connections = Connections()
    streams = [connections.stream(StreamPlan(name), ConnectionsPlan()) for name in "ab"]
    assert streams[0].transport is streams[1].transport
    assert len(fakes) == 1


def test_a_stream_that_its_transport_cannot_serve_is_refused(fakes: list[Fake]) -> None:
    with pytest.raises(HeadgateError, match="stream 'a': memory cannot do overflow: reject"):
        Connections().stream(StreamPlan("a", overflow="reject"), ConnectionsPlan())


async def test_a_transport_whose_settings_changed_is_closed(fakes: list[Fake]) -> None:
    connections = Connections()
    streams = {name: StreamPlan(name, transport=name) for name in ("kafka", "memory")}
    for stream in streams.values():
        connections.stream(stream, ConnectionsPlan())
    assert connections.outdated(Plan(streams=streams)) == set()
    moved = Plan(streams=streams, connections=ConnectionsPlan(kafka=KafkaPlan("elsewhere:9092")))
    assert connections.outdated(moved) == {"kafka"}
    await connections.close_outdated(moved)
    assert [fake.closed for fake in fakes] == [True, False]


async def test_a_transport_that_no_stream_uses_is_closed(fakes: list[Fake]) -> None:
    connections = Connections()
    connections.stream(StreamPlan("a"), ConnectionsPlan())
    await connections.close_outdated(Plan())
    assert (fakes[0].closed, connections.transports) == (True, [])


async def test_troubles_name_their_transport(fakes: list[Fake]) -> None:
    connections = Connections()
    for name in ("kafka", "memory"):
        connections.stream(StreamPlan(name, transport=name), ConnectionsPlan())
    assert connections.troubles() == ["kafka: headgate"]
    await connections.close()
    assert all(fake.closed for fake in fakes)
