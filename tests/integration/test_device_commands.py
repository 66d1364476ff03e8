"""The example of device commands from outside: the requests of the seed word for word, and a device that answers."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import pytest

from headgate.client import SyncCommandClient
from headgate.errors import Unauthorized
from tests.gates.process import GateProcess, headgate
from tests.services.kafka import KafkaBroker

EXAMPLE = Path(__file__).parents[2] / "examples" / "device-commands"
SINGLE = """
curl -X POST "http://localhost:8000/api/v1/commands" \\
  -H "Content-Type: application/json" \\
  -d '{
    "device_id": "efento_device_001",
    "command_type": "config_update",
    "payload": {"measurement_interval": 600},
    "protocol": "coap",
    "parser_script_ref": "efento_bidirectional_parser.py"
  }'
"""
BATCH = """
curl -X POST "http://localhost:8000/api/v1/commands/batch" \\
  -H "Content-Type: application/json" \\
  -d '{
    "commands": [
      {
        "device_id": "device_001",
        "command_type": "reboot",
        "payload": {},
        "protocol": "coap",
        "parser_script_ref": "device_parser.py"
      },
      {
        "device_id": "device_002",
        "command_type": "update",
        "payload": {"version": "1.2.3"},
        "protocol": "mqtt",
        "parser_script_ref": "mqtt_parser.py",
        "metadata": {"topic": "devices/device_002/commands"}
      }
    ]
  }'
"""


def run(command: str) -> bytes:
    return subprocess.run(
        ["bash", "-c", f'curl() {{ command curl -sS "$@"; }}; {command}'], check=True, capture_output=True
    ).stdout


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    yield from started(tmp_path_factory.mktemp("device-commands"))


def started(folder: Path, **options: object) -> Iterator[GateProcess]:
    shutil.copytree(EXAMPLE, folder / "example")
    running = GateProcess(folder / "example" / "headgate.yaml", **options)  # type: ignore[arg-type]
    try:
        yield running.start()
    finally:
        running.close()


def test_the_requests_of_the_seed_work_word_for_word(gate: GateProcess) -> None:
    single, batch = (json.loads(run(text.replace("localhost:8000", gate.url[7:]))) for text in (SINGLE, BATCH))
    assert (single["success"], single["message"]) == (True, "Command published")
    assert (batch["total_commands"], batch["successful"], batch["failed"]) == (2, 2, 0)
    assert "Command processed device_id=efento_device_001 command_type=config_update request_id=" in gate.log()

    async def push_command() -> dict[str, object]:
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.post(
                f"{gate.url}/api/v1/commands",
                json={
                    "device_id": "efento_device_001",
                    "command_type": "config_update",
                    "payload": {"measurement_interval": 600},
                    "protocol": "coap",
                    "parser_script_ref": "efento_bidirectional_parser.py",
                },
            )
            answer: dict[str, object] = response.json()
            return answer

    request_id = asyncio.run(push_command())["request_id"]
    told = httpx2.get(f"{gate.url}/api/v1/commands/{request_id}/status?wait=2s", trust_env=False).json()
    assert told["status"] == "acknowledged"


def test_a_type_that_is_described_is_checked_and_documented(gate: GateProcess) -> None:
    wrong = {"device_id": "d", "command_type": "update", "payload": {"version": "1"}, "protocol": "mqtt"}
    answer = httpx2.post(f"{gate.url}/api/v1/commands", json=wrong, trust_env=False)
    assert (answer.status_code, answer.json()["type"]) == (400, "CommandValidationError")
    assert answer.json()["error"].startswith("payload.version: ")
    described = httpx2.get(f"{gate.url}/openapi.json", trust_env=False).json()
    body = described["paths"]["/api/v1/commands"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert [schema.get("title") for schema in body["anyOf"]] == ["config_update", "reboot", "update", None]


def test_the_command_line_sends_and_shows(gate: GateProcess) -> None:
    there = ["--url", gate.url]
    sent = headgate("command", "send", "d9", "reboot", "--wait", "5", "--set", "priority=3", "--json", *there)
    told = json.loads(sent.stdout)
    assert (sent.returncode, told["status"], told["priority"]) == (0, "acknowledged", 3)
    failed = headgate("command", "send", "broken-1", "reboot", "--wait", "5", *there)
    assert failed.returncode == 1
    assert b": failed (the device is broken)" in failed.stdout
    shown = headgate("command", "status", told["request_id"], *there)
    assert [line.split()[-1] for line in shown.stdout.decode().splitlines()] == [
        "acknowledged",
        "accepted",
        "published",
        "acknowledged",
    ]
    later = headgate("command", "send", "d9", "reboot", "--set", 'not_before="2999-01-01T00:00:00Z"', "--json", *there)
    assert headgate("command", "cancel", json.loads(later.stdout)["request_id"], *there).returncode == 0
    listed = headgate("command", "list", "--device", "d9", *there).stdout.decode().splitlines()
    assert [line.split()[-1] for line in listed] == ["cancelled", "acknowledged"]
    refused = headgate("command", "send", "d9", "reboot", '{"a": 1}', *there)
    assert (refused.returncode, b"payload: " in refused.stderr) == (1, True)
    assert headgate("command", "status", "nobody", *there).returncode == 1


def test_the_same_on_kafka_with_the_settings_of_the_seed(tmp_path: Path, kafka: KafkaBroker) -> None:
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA_COMMAND_TOPIC": kafka.create_topic(partitions=2),
        "KAFKA_FEEDBACK_TOPIC": kafka.create_topic(),
        "KAFKA_PRODUCER_TIMEOUT": "20",
        "API_TITLE": "Pusher",
        "API_VERSION": "3.2.1",
        "LOG_LEVEL": "WARNING",
    }
    for gate in started(tmp_path, overlays=[EXAMPLE / "kafka.yaml"], environ=environ):
        single = json.loads(run(SINGLE.replace("localhost:8000", gate.url[7:])))
        path = f"{gate.url}/api/v1/commands/{single['request_id']}/status?wait=20s"
        assert httpx2.get(path, trust_env=False, timeout=30).json()["status"] == "acknowledged"
        described = httpx2.get(f"{gate.url}/openapi.json", trust_env=False).json()
        assert (described["info"]["title"], described["info"]["version"]) == ("Pusher", "3.2.1")
        assert "Command processed" not in gate.log()


def test_with_keys_nobody_without_one_commands_devices(tmp_path: Path) -> None:
    environ = {"API_KEYS": "alpha,beta", "API_KEY_HEADER": "X-Key"}
    for gate in started(tmp_path, environ=environ):
        path = f"{gate.url}/api/v1/commands"
        body = {"device_id": "d", "command_type": "reboot", "payload": {}, "protocol": "mqtt"}
        for headers in ({}, {"X-Key": "gamma"}, {"X-API-Key": "alpha"}):
            refused = httpx2.post(path, json=body, headers=headers, trust_env=False)
            assert (refused.status_code, set(refused.json())) == (401, {"error", "type"})
        assert httpx2.post(path, json=body, headers={"X-Key": "beta"}, trust_env=False).status_code == 200
        assert headgate("command", "list", "--url", gate.url).returncode == 1
        with SyncCommandClient(gate.url, "beta", api_key_header="X-Key") as client:
            assert client.push_command(**body)
        with SyncCommandClient(gate.url) as client, pytest.raises(Unauthorized):
            client.send(body)
