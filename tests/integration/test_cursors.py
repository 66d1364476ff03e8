"""A cursor over Kafka: several partitions, a gate that is killed, and another that goes on."""

import json
from pathlib import Path

from tests.gates.process import gate_process
from tests.gates.sockets import Client, talk
from tests.gates.web import client_of
from tests.services.kafka import KafkaBroker

JOBS = """
streams: {{jobs: {{transport: kafka, topic: {topic}}}}}
connections: {{kafka: {{bootstrap_servers: "{bootstrap}", group_id: {topic}}}}}
runtime: {{web: {{interfaces: [{{kind: websocket, path: /jobs, stream: jobs, cursors: true}}]}}}}
"""


async def jobs(client: Client, count: int) -> list[tuple[int, str]]:
    """The numbers of so many messages, each with its place."""
    frames = await client.take(count)
    return [(told["value"], told["position"]) for told in frames if told["type"] == "message"]


async def publish(url: str, numbers: range) -> None:
    messages = [{"value": number, "key": f"k{number % 7}"} for number in numbers]
    headers = {"Content-Type": "application/vnd.headgate.messages+json"}
    async with client_of(url) as client:
        answer = await client.post("/streams/jobs/messages", content=json.dumps(messages), headers=headers)
        assert answer.json()["published"] == len(messages)


async def test_what_was_not_acknowledged_comes_again_from_another_gate(kafka: KafkaBroker, tmp_path: Path) -> None:
    config = JOBS.format(topic=kafka.create_topic(partitions=3), bootstrap=kafka.bootstrap)
    with gate_process(config, tmp_path) as gate:
        async with talk(gate.url, "/jobs?cursor=w") as client:
            assert (await client.next())["type"] == "subscribed"
            gate.kill()  # before the first message: the cursor is there all the same
        gate.start()
        await publish(gate.url, range(300))
        async with talk(gate.url, "/jobs?cursor=w") as client:
            assert (await client.next())["type"] == "subscribed"
            first = await jobs(client, 300)
            assert sorted(number for number, _ in first) == list(range(300))
            await client.say("ack", position=first[199][1])
            await client.connection.close()
        async with talk(gate.url, "/jobs?cursor=w") as client:
            assert (await client.next())["type"] == "subscribed"
            again = await jobs(client, 100)
            assert {number for number, _ in again} == {number for number, _ in first[200:]}
            gate.kill()
        gate.start()
        async with talk(gate.url, "/jobs?cursor=w") as client:
            assert (await client.next())["type"] == "subscribed"
            assert {number for number, _ in await jobs(client, 100)} == {number for number, _ in first[200:]}
