"""The config channel over every transport: two services on one stream of settings, and one that comes late."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from headgate.core.message import Message
from tests.gates.process import gate_process
from tests.gates.web import PATIENCE, web
from tests.services.kafka import KafkaBroker

INTERFACE = "runtime: {web: {interfaces: [{kind: config, path: /config}]}}\n"
RATE = "*/producer/rate"
Stream = Callable[[str], str]  # the stream of settings, for a gate that knows the address of the first one


@pytest.fixture(params=["log", "http", "kafka"])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Stream:
    if request.param == "log":
        return lambda _: f"connections: {{log: {{path: {tmp_path}/log.db}}}}\nstreams: {{config: {{transport: log}}}}\n"
    if request.param == "http":
        return lambda url: (
            f"streams: {{config: {{transport: http, url: '{url}/streams/config/messages'}}}}\n" if url else ""
        )
    broker: KafkaBroker = request.getfixturevalue("kafka")
    topic = broker.create_topic()
    where = f"connections: {{kafka: {{bootstrap_servers: '{broker.bootstrap}'}}}}\n"
    return lambda _: f"{where}streams: {{config: {{transport: kafka, topic: {topic}}}}}\n"


def config(name: str, stream: str) -> str:
    return f"service: {{name: {name}}}\n{stream}{INTERFACE}"


async def values(client: httpx2.AsyncClient) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get("/config")).json()["values"]
    return shown


async def shows(client: httpx2.AsyncClient, expected: dict[str, Any]) -> None:
    """Wait until a service shows these settings."""
    answer = (await client.get("/config")).json()
    while answer["values"] != expected:
        moved = await client.get("/config", params={"after": answer["position"], "wait": PATIENCE / 2})
        assert moved.json()["position"] != answer["position"], f"{answer['values']} and nothing more comes"
        answer = moved.json()


async def test_every_service_sees_every_setting_and_so_does_one_that_comes_late(stream: Stream) -> None:
    async with (
        web(config("producer", stream(""))) as (first, served),
        web(config("viewer", stream(served.url))) as (
            second,
            _,
        ),
    ):
        for client, key, value in ((first, "left/producer/rate", 1), (second, "*/viewer/bins", 2), (second, RATE, 3)):
            answer = await client.post("/config", json={"key": key, "value": value})
            assert answer.json()["response"] == "ACK", answer.text
        everything = {"*/viewer/bins": 2, RATE: 3}  # what is for all sources cleared what was for one
        await shows(first, everything)
        await shows(second, everything)
        async with web(config("late", stream(served.url))) as (late, _):
            assert await values(late) == everything
        conflict = await second.post("/config", json={"key": RATE, "value": 9, "if_version": 0})
        assert conflict.status_code == 409
        await shows(first, everything)


async def test_a_message_without_a_key_harms_no_other(stream: Stream) -> None:
    async with web(config("producer", stream(""))) as (client, served):
        batch = [
            Message(value=b"1"),
            Message(key=b"*/producer/rate", value=b"{"),
            Message(key=b"*/producer/rate", value=b"4"),
        ]
        await served.gate.streams["config"].publish(batch)
        await shows(client, {RATE: 4})
        assert (await client.get("/ready")).status_code == 200


async def test_settings_in_a_log_are_there_after_a_restart(tmp_path: Path) -> None:
    stream = f"connections: {{log: {{path: {tmp_path}/log.db}}}}\nstreams: {{config: {{transport: log}}}}\n"
    async with web(config("producer", stream)) as (client, _):
        await client.post("/config", json={"key": RATE, "value": 5})
    async with web(config("producer", stream)) as (client, _):
        assert await values(client) == {RATE: 5}


async def test_a_topic_for_settings_keeps_the_last_of_each_key(kafka: KafkaBroker) -> None:
    topic = f"settings-{id(kafka)}"
    settings = f"{{config: {{transport: kafka, topic: {topic}, create: {{compact: true}}}}}}"
    text = f"connections: {{kafka: {{bootstrap_servers: '{kafka.bootstrap}'}}}}\nstreams: {settings}\n"
    async with web(config("producer", text)) as (client, _):
        assert (await client.post("/config", json={"key": RATE, "value": 5})).json()["response"] == "ACK"
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    described = admin.describe_configs([resource])[resource].result(10)
    assert described["cleanup.policy"].value == "compact"


PRODUCER = """\
service: {name: producer}
streams: {results: {}}
runtime:
  discovery_modules: [producer]
  web: {interfaces: [{kind: messages, path: /messages, stream: results}, {kind: config, path: /config}]}
"""
MODULE = """\
import asyncio
from typing import Annotated

import msgspec

from headgate import Config, node


class Settings(msgspec.Struct):
    rate: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


@node(output="results")
async def produce(config: Config[Settings]):
    while True:
        yield config().rate
        await asyncio.sleep(1 / 200)
"""


def test_a_node_reads_its_settings_live_and_is_never_given_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "producer.py").write_text(MODULE)
    with gate_process(PRODUCER, tmp_path) as gate, httpx2.Client(base_url=gate.url, trust_env=False) as client:
        bad = client.post("/config", json={"key": RATE, "value": 0})
        assert (bad.status_code, bad.json()["message"]) == (422, "rate: Expected `int` >= 1")
        assert client.post("/config", json={"key": RATE, "value": 7}).json()["response"] == "ACK"
        assert client.get("/config").json()["schema"]["properties"]["rate"]["maximum"] == 1000
        newest = client.get("/messages", params={"from": "newest", "wait": 5, "limit": 1}).json()
        assert newest[0]["value"] == 7
        everything = {message["value"] for message in client.get("/messages").json()}
        assert everything == {100, 7}
