"""The asset stream from outside: every shape of message, the errors, the environment, and the same on Kafka."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.gates.events import follow
from tests.gates.process import GateProcess, headgate
from tests.gates.web import PATIENCE, client_of
from tests.services.kafka import KafkaBroker

EXAMPLE = Path(__file__).parents[2] / "examples" / "asset-stream"
POSITION = b"""{"id":"Zact","tag":"Position","type":"Samples","attributes":{"name":"Zact","subType":"ACTUAL",\
"timestamp":"2022-11-06T21:40:21.587353Z"},"value":"-0.328"}"""
SHAPES = [  # as they are seen in the field, with the `id` that finds them
    ("Zact", POSITION),
    ("Zact", b'{"ID":"Zact","VALUE":"-0.328","TAG":"Position","TYPE":"Samples","attributes":{"timestamp":"x"}}'),
    ("Zact", b'{"ID": "Zact", "VALUE": -0.328, "TAG": "Position", "TYPE": "Samples"}'),
    ("avail", b'{"Id":"avail","value":"AVAILABLE","tag":"Availability","type":"Events"}'),
    (None, b"UNAVAILABLE"),
    (None, b"<not json>"),
    (None, "\u00e4\u00f6 \u2713".encode()),
]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    folder = tmp_path_factory.mktemp("asset-stream") / "example"
    shutil.copytree(EXAMPLE, folder)
    running = GateProcess(folder / "headgate.yaml")
    try:
        yield running.start()
    finally:
        running.close()


async def test_the_simulated_machine_says_something_every_second(gate: GateProcess) -> None:
    async with client_of(gate.url) as client, follow(client, "/asset_stream?asset_uuid=PROVER3018&id=Zact") as events:
        first, second = await events.take(2)
        assert (first.name, json.loads(first.data)["id"]) == ("asset_update", "Zact")
    async with (
        client_of(gate.url) as client,
        follow(client, "/asset_stream?asset_uuid=PROVER3018&id=Zact", after=first.last_id) as events,
    ):
        assert await events.next() == second


async def test_what_is_asked_for_wrongly_is_refused_by_name(gate: GateProcess) -> None:
    async with client_of(gate.url) as client:
        answer = await client.get("/asset_stream?id=Zact")
        assert (answer.status_code, "asset_uuid" in answer.json()["error"]) == (422, True)
        assert (await client.get("/ready")).json() == {"status": "ready"}
        info = (await client.get("/info")).json()
        assert {"version", "build"} <= info.keys()


async def test_every_shape_seen_in_the_field_comes_untouched_over_kafka(kafka: KafkaBroker, tmp_path: Path) -> None:
    topic = kafka.create_topic(partitions=3)
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    environ = {"KAFKA_BROKER": kafka.bootstrap, "KAFKA_TOPIC": topic, "KAFKA_CONSUMER_GROUP_ID": topic}
    gate = GateProcess(folder / "headgate.yaml", environ=environ, overlays=[folder / "kafka.yaml"])
    try:
        gate.start()
        async with (
            client_of(gate.url) as client,
            follow(client, "/asset_stream?asset_uuid=M1") as everything,
            follow(client, "/asset_stream?asset_uuid=M1&id=Zact") as position,
            follow(client, "/asset_stream?asset_uuid=m1&from=oldest") as other,
        ):
            producer = Producer({"bootstrap.servers": kafka.bootstrap})
            for _, value in SHAPES:
                producer.produce(topic, value, key=b"M1")
            producer.produce(topic, b"{}", key=b"m1")
            await asyncio.to_thread(producer.flush, PATIENCE)
            assert [event.data.encode() for event in await everything.take(len(SHAPES))] == [v for _, v in SHAPES]
            wanted = [value for name, value in SHAPES if name == "Zact"]
            assert [event.data.encode() for event in await position.take(len(wanted))] == wanted
            assert (await other.next()).data == "{}"
    finally:
        gate.close()


async def test_a_broker_that_is_away_is_an_issue_and_no_crash(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    environ = {"KAFKA_BROKER": "127.0.0.1:1"}
    gate = GateProcess(folder / "headgate.yaml", environ=environ, overlays=[folder / "kafka.yaml"])
    try:
        gate.start()
        async with client_of(gate.url) as client:
            async with asyncio.timeout(PATIENCE):
                while (answer := await client.get("/ready")).status_code == 200:
                    await asyncio.sleep(0.05)
            assert answer.json()["status"] == "not ready"
            assert "assets" in answer.json()["issues"] or "kafka" in answer.json()["issues"]
            refused = await client.get("/asset_stream?asset_uuid=M1")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "Traceback" not in gate.log()
    finally:
        gate.close()


def test_a_bad_log_level_fails_the_start_and_is_named() -> None:
    environ = {**os.environ, "LOG_LEVEL": "loud"}
    command = [sys.executable, "-m", "headgate", "run", str(EXAMPLE / "headgate.yaml"), "--port", "0"]
    done = subprocess.run(command, check=False, capture_output=True, env=environ, timeout=30)
    assert done.returncode == 2
    assert b"${LOG_LEVEL} is not one of debug, info, warning, error, critical" in done.stderr


def test_the_environment_file_that_is_shown_is_one(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "example")
    shutil.copy(EXAMPLE / ".env.example", tmp_path / "example" / ".env")
    done = headgate("check", "headgate.yaml", "-c", "kafka.yaml", cwd=tmp_path / "example")
    assert (done.returncode, done.stderr) == (0, b"")
