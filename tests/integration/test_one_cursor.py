"""A place is a place: what SSE, WebSocket and polling tell of it, each of the others goes on from."""

import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.gates.events import follow
from tests.gates.process import gate_process
from tests.gates.web import client_of
from tests.services.kafka import KafkaBroker

INTERFACES = """
runtime:
  web:
    interfaces:
      - {kind: sse, path: /events, stream: numbers}
      - {kind: websocket, path: /socket, stream: numbers}
"""
EMBEDDED = "streams: {numbers: {transport: %s}}" + INTERFACES
ON_KAFKA = (
    "streams: {{numbers: {{transport: kafka, topic: {topic}}}}}\nconnections: {{kafka: {{bootstrap_servers: '{at}'}}}}"
)


@pytest.mark.parametrize("transport", ["memory", "log"])
async def test_one_place_for_all_protocols(transport: str, tmp_path: Path) -> None:
    await stop_here_and_go_on_there(EMBEDDED % transport, tmp_path)


async def test_one_place_for_all_protocols_over_partitions(kafka: KafkaBroker, tmp_path: Path) -> None:
    config = ON_KAFKA.format(topic=kafka.create_topic(partitions=3), at=kafka.bootstrap) + INTERFACES
    await stop_here_and_go_on_there(config, tmp_path)


async def stop_here_and_go_on_there(config: str, folder: Path) -> None:
    """Take some numbers by one protocol after the other, each from where the one before stopped."""
    with gate_process(config, folder) as gate:
        async with client_of(gate.url) as client:
            async with follow(client, "/events") as events:
                place = events.parser.last_id
            messages = [{"key": f"k{n % 5}", "value": n} for n in range(60)]
            headers = {"Content-Type": "application/vnd.headgate.messages+json"}
            answer = await client.post("/streams/numbers/messages", content=json.dumps(messages), headers=headers)
            assert answer.json()["published"] == 60
            got: list[int] = []
            for _ in range(4):
                async with follow(client, "/events", after=place) as events:
                    taken = await events.take(5)
                    got += [json.loads(event.data) for event in taken]
                    place = taken[-1].last_id
                url = gate.url.replace("http", "ws") + f"/socket?after={place}"
                async with connect(url, proxy=None, max_queue=None) as socket:
                    assert json.loads(await socket.recv())["type"] == "subscribed"
                    for _ in range(5):
                        frame = json.loads(await socket.recv())
                        got.append(frame["value"])
                        place = frame["position"]
                answer = await client.get("/streams/numbers/messages", params={"after": place, "limit": 5, "wait": 5})
                got += [message["value"] for message in answer.json()]
                place = answer.headers["headgate-position"]
            assert sorted(got) == list(range(60))
            for key in range(5):
                assert [n for n in got if n % 5 == key] == list(range(key, 60, 5))
