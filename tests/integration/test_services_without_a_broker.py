"""The block "From outside" of the issue: one service that makes messages, two that read them over HTTP."""

import json
from contextlib import ExitStack
from pathlib import Path

import httpx2

from tests.gates.process import gate_process
from tests.services.daemon import wait_until

PRODUCER = """\
service: {name: producer}
streams: {results: {}}
runtime:
  web:
    interfaces:
      - {kind: messages, path: /messages, stream: results}
      - {kind: config, path: /config}
"""
CONSUMER = "streams: {results: {transport: http, url: '%s/messages'}}\n"


def test_two_others_see_all_messages_in_order_and_the_config_channel_answers(tmp_path: Path) -> None:
    def folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    with ExitStack() as stack, httpx2.Client(trust_env=False, timeout=10) as client:
        producer = stack.enter_context(gate_process(PRODUCER, folder("producer")))
        names = ("viewer", "dashboard")
        others = [stack.enter_context(gate_process(CONSUMER % producer.url, folder(name))) for name in names]
        for first in range(0, 300, 50):
            lines = "\n".join(json.dumps({"number": number}) for number in range(first, first + 50))
            headers = {"Content-Type": "application/x-ndjson"}
            client.post(f"{producer.url}/streams/results/messages", content=lines, headers=headers).raise_for_status()

        def seen(url: str) -> list[int]:
            answer = client.get(f"{url}/streams/results/messages", params={"limit": 1000, "wait": 5})
            return [message["value"]["number"] for message in answer.json()]

        for other in others:
            assert wait_until(lambda url=other.url: seen(url) == list(range(300)), within=10)  # type: ignore[misc]
        answer = client.post(f"{producer.url}/config", json={"key": "*/producer/rate", "value": 5})
        assert (answer.status_code, answer.json()["response"]) == (200, "ACK")
        assert client.get(f"{producer.url}/config").json()["values"] == {"*/producer/rate": 5}
        assert all(gate.stop() == 0 for gate in (*others, producer))
