"""Those who follow a stream lose nothing and get nothing twice: when they are cut, when the gate is killed, and
when they come back to another gate."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2

from tests.faults.chase import Numbers
from tests.faults.feed_campaign import CONFIG, chase, cut_clients, killed_server
from tests.faults.kafka_campaign import QUICK
from tests.gates.process import GateProcess, gate_process
from tests.services.kafka import KafkaBroker

REPLICATED = """
streams:
  numbers: {{transport: kafka, topic: {topic}, codec: json}}
connections:
  kafka: {{bootstrap_servers: "{bootstrap}", group_id: {group}}}
runtime:
  web:
    interfaces:
      - {{kind: sse, path: /numbers, stream: numbers, data: envelope, filter: {{key: {{key: true}}}}}}
"""


async def test_clients_that_are_cut_again_and_again_get_everything_once(tmp_path: Path) -> None:
    with gate_process(CONFIG % ("memory", 100_000), tmp_path) as gate:
        found = await cut_clients([gate.url], seconds=5, clients=60)
        assert found.fine, f"{found}\n{gate.log()}"
        assert found.cuts >= 60


async def test_a_gate_that_is_killed_costs_its_followers_nothing(tmp_path: Path) -> None:
    with gate_process(CONFIG % ("log", 1_000_000), tmp_path) as gate:
        found = await killed_server(gate, kills=3, clients=60)
        assert found.fine, f"{found}\n{gate.log()}"


async def test_two_gates_of_one_topic_serve_a_client_as_if_they_were_one(kafka: KafkaBroker, tmp_path: Path) -> None:
    topic = kafka.create_topic(partitions=6)
    gates = []
    try:
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            config = folder / "headgate.yaml"
            config.write_text(REPLICATED.format(topic=topic, bootstrap=kafka.bootstrap, group=f"{topic}-{name}"))
            gates.append(GateProcess(config).start())

        async def kill_one_after_the_other(numbers: Numbers) -> None:
            for number in range(4):
                await numbers.grow(random.randint(50, 200))
                await asyncio.to_thread(gates[number % 2].kill)
                await asyncio.to_thread(gates[number % 2].start)
            await numbers.grow(50)

        found = await chase([gate.url for gate in gates], kill_one_after_the_other, clients=40, rate=300)
        assert found.fine, f"{found}\n" + "\n".join(gate.log() for gate in gates)
        assert found.cuts > 40
    finally:
        for gate in gates:
            gate.close()


async def test_followers_stay_while_the_broker_is_away_and_lose_nothing(
    own_kafka: Callable[..., KafkaBroker], tmp_path: Path
) -> None:
    broker = own_kafka(QUICK)
    topic = broker.create_topic(partitions=2)
    config = REPLICATED.format(topic=topic, bootstrap=broker.bootstrap, group="gate")
    with gate_process(config, tmp_path) as gate:

        async def break_down(numbers: Numbers) -> None:
            await numbers.grow(100)
            await asyncio.to_thread(broker.kill)
            async with httpx2.AsyncClient(base_url=gate.url, trust_env=False) as client:
                await until(lambda: unready(client))
                await asyncio.to_thread(broker.restart)
                await until(lambda: ready(client))
            await numbers.grow(100)

        found = await chase([gate.url], break_down, clients=20, rate=200, stay=lambda: 1e6)
        assert found.fine, f"{found}\n{gate.log()}"
        assert found.cuts == 0


async def unready(client: httpx2.AsyncClient) -> bool:
    answer = await client.get("/ready")
    return answer.status_code == 503 and "kafka" in answer.json()["issues"]


async def ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 200


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await fact():
            await asyncio.sleep(0.1)
