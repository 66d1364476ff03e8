"""A command interface when things break: what was acknowledged is on the stream, and nothing is there twice."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.faults.command_gate import MARK
from tests.gates.commands import PATH, command, commanding
from tests.gates.process import GateProcess, gate_process
from tests.gates.web import eventually
from tests.services.daemon import wait_until
from tests.services.kafka import KafkaBroker

pytestmark = pytest.mark.anyio
Own = Callable[..., KafkaBroker]
CONFIG = f"""
service: {{log: {{level: error}}}}
connections: {{database: {{url: 'sqlite:///book.db'}}}}
streams: {{commands: {{transport: log}}}}
runtime: {{web: {{interfaces: [{{kind: command, path: {PATH}, stream: commands}}]}}}}
"""
STEPS = 16  # more than a command with a key takes


def push(gate: GateProcess, key: str) -> int | None:
    try:
        headers = {"Idempotency-Key": key}
        return httpx2.post(f"{gate.url}{PATH}", json=command(key), headers=headers, trust_env=False).status_code
    except httpx2.HTTPError:
        return None


def devices(gate: GateProcess) -> Counter[str]:
    messages = httpx2.get(f"{gate.url}/streams/commands/messages?from=oldest&limit=1000", trust_env=False).json()
    return Counter(message["value"]["device_id"] for message in messages)


def test_a_gate_may_die_at_any_step_and_the_command_goes_once(tmp_path: Path) -> None:
    acknowledged = set()
    for step in range(1, STEPS + 1):
        module, environ = "tests.faults.command_gate", {"STEP": str(step), "PYTHONPATH": str(Path.cwd())}
        (tmp_path / MARK).unlink(missing_ok=True)
        with gate_process(CONFIG, tmp_path, module=module, environ=environ) as gate:
            assert all(push(gate, f"k{earlier}") == 200 for earlier in range(1, step))
            (tmp_path / MARK).touch()
            if push(gate, f"k{step}") == 200:
                acknowledged.add(step)
            assert wait_until(lambda gate=gate: gate.process.poll() is not None, within=20)  # type: ignore[misc]
    assert 1 not in acknowledged
    with gate_process(CONFIG, tmp_path) as gate:
        assert devices(gate).keys() >= {f"k{step}" for step in acknowledged}
        assert all(push(gate, f"k{step}") == 200 for step in range(1, STEPS + 1))
        assert devices(gate) == Counter(f"k{step}" for step in range(1, STEPS + 1))
        listed = httpx2.get(f"{gate.url}{PATH}?status=published", trust_env=False).json()["commands"]
        assert len(listed) == STEPS  # the book survived as well


def on_kafka(kafka: KafkaBroker, **more: str) -> dict[str, str]:
    topics = kafka.create_topic(partitions=3), kafka.create_topic()
    commands, answers = (f"{{transport: kafka, topic: {topic}}}" for topic in topics)
    return {"streams": f"{{commands: {commands}, answers: {answers}}}", "kafka": kafka.bootstrap, **more}


async def test_a_broker_that_refuses_one_command_of_a_batch_takes_the_others(tmp_path: Path, own_kafka: Own) -> None:
    broker = own_kafka({"message.max.bytes": "2000"})
    async with commanding(f"sqlite:///{tmp_path}/book.db", **on_kafka(broker)) as client:
        for more in ({}, {"request_id": "big"}):
            big = command("big", payload={"x": "y" * 5000}, **more)
            response = await client.push(command("a"), big, command("b"))
            answer = response.json()
            assert (response.status_code, answer["successful"], answer["failed"]) == (207, 2, 1)
            assert [result["success"] for result in answer["results"]] == [True, False, True]
            assert (
                "message.max.bytes" in answer["results"][1]["message"] or "could not" in answer["results"][1]["message"]
            )
        assert [item["device_id"] for item in sorted(await client.published(), key=lambda item: item["device_id"])] == [
            *"aabb"
        ]
        told = await client.status("big")
        assert told["status"] == "failed"
        assert "message.max.bytes" in told["detail"]


async def test_a_broker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, own_kafka: Own) -> None:
    broker = own_kafka()
    given = on_kafka(broker, interface=", timeout: 3s")
    async with commanding(f"sqlite:///{tmp_path}/book.db", **given) as client:
        client.http.timeout = 60
        acknowledged: set[str] = set()
        going = True

        async def sending(worker: int) -> None:
            number = 0
            while going:
                number += 1
                key = f"{worker}-{number}"
                while (await client.push(command(key), key=key)).status_code != 200:
                    await asyncio.sleep(0.05)
                acknowledged.add(key)

        workers = [asyncio.create_task(sending(worker)) for worker in range(8)]
        await eventually(lambda: len(acknowledged) > 50)
        await asyncio.to_thread(broker.kill)
        before = len(acknowledged)
        plain = asyncio.create_task(client.push(command("plain")))
        await asyncio.to_thread(broker.restart)
        assert (await plain).status_code in (200, 503)
        async with asyncio.timeout(60):
            while len(acknowledged) < before + 50:
                await asyncio.sleep(0.05)
        going = False
        await asyncio.gather(*workers)
        found = Counter(item["device_id"] for item in await client.published())
        assert max(count for device, count in found.items() if device != "plain") == 1
        assert acknowledged == found.keys() - {"plain"}


async def test_kafka_that_is_away_is_told_within_the_time_and_by_readiness(tmp_path: Path, own_kafka: Own) -> None:
    broker = own_kafka()
    given = on_kafka(broker, interface=", timeout: 1s", sending="1s")
    async with commanding(f"sqlite:///{tmp_path}/book.db", **given) as client:
        client.http.timeout = 30
        assert (await client.push(command("there"))).status_code == 200
        await asyncio.to_thread(broker.kill)
        for key in (None, "k"):
            response = await client.push(command("away"), key=key)
            assert (response.status_code, response.json()["type"]) == (503, "KafkaConnectionError")
            assert response.headers["retry-after"]
        batch = await client.push(command("away"), command("away"))
        assert (batch.status_code, batch.json()["failed"]) == (503, 2)
        async with asyncio.timeout(30):
            while (await client.http.get("/ready")).status_code != 503:
                await asyncio.sleep(0.1)
        assert (await client.http.get("/api/v1/status")).json()["kafka_connected"] is False
        assert (await client.http.get("/api/v1/health")).status_code == 200
        await asyncio.to_thread(broker.restart)
        async with asyncio.timeout(60):
            while (await client.push(command("away"), key="k")).status_code != 200:
                await asyncio.sleep(0.1)
        told = json.dumps(await client.published())
        assert '"there"' in told


async def test_a_local_queue_that_stays_full_is_told_and_not_waited_for_without_end(
    tmp_path: Path, own_kafka: Own
) -> None:
    broker = own_kafka()
    given = on_kafka(broker, interface=", timeout: 2s", sending="2s", options="queue.buffering.max.messages: 10")
    async with commanding(f"sqlite:///{tmp_path}/book.db", **given) as client:
        client.http.timeout = 60
        assert (await client.push(command("there"))).status_code == 200
        broker.pause()
        try:
            answers = await asyncio.gather(
                client.push(*(command(f"d{n}") for n in range(50))), *(client.push(command(f"e{n}")) for n in range(30))
            )
        finally:
            broker.resume()
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["retry-after"] for answer in answers)
        assert answers[0].json()["failed"] == 50
        async with asyncio.timeout(60):
            while (await client.push(command("there"))).status_code != 200:
                await asyncio.sleep(0.1)
