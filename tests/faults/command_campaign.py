"""Row 10: commands with keys, sent again and again through two gates that are killed in turns."""

import random
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx2

from headgate.client import SyncCommandClient
from headgate.errors import HeadgateError
from tests.faults.result import Result
from tests.gates.commands import PATH, command
from tests.gates.process import GateProcess
from tests.services.daemon import wait_until

CONFIG = f"""
service: {{log: {{level: error}}}}
connections: {{database: {{url: 'sqlite:///book.db'}}}}
streams: {{commands: {{transport: log, retain: {{messages: 10000000}}}}}}
runtime: {{web: {{interfaces: [{{kind: command, path: {PATH}, stream: commands, timeout: 20s}}]}}}}
"""
SENDERS = 8


def row_10(factor: float) -> Result:
    """Each key is on the stream once, and its status is in the book, whoever was killed meanwhile."""
    kills, dice = max(4, round(100 * factor)), random.Random(10)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        config = Path(name) / "headgate.yaml"
        config.write_text(CONFIG)
        gates = [GateProcess(config), GateProcess(config)]
        for gate in gates:
            stack.callback(gate.close)
            gate.start()
        senders = [_Sender(number, gates) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for kill in range(kills):
            threading.Event().wait(0.3 + dice.random())
            gate = gates[kill % 2]
            gate.kill()
            gate.start()
        for sender in senders:
            sender.going = False
        for sender in senders:
            sender.join()
        acknowledged = {key for sender in senders for key in sender.acknowledged}
        found, together = _on_the_stream(gates[0]), _at_once(gates)
        unknown = sum(not _is_published(gates[1], request_id) for s in senders for request_id in s.request_ids[-20:])
    lost, doubled = len(acknowledged - found.keys()), sum(found.values()) - len(found)
    figures = f"{kills} kills of two gates, {len(acknowledged)} acknowledged, {lost} lost, {doubled} doubled,"
    figures += f" {unknown} without a status; 1,000 at once: {together} answers"
    return Result(10, "commands with keys", figures, passed=(lost, doubled, unknown, together) == (0, 0, 0, 1))


class _Sender(threading.Thread):
    """Sends commands, each until it is acknowledged, now through one gate and now through the other."""

    def __init__(self, number: int, gates: list[GateProcess]) -> None:
        super().__init__()
        self.going = True
        self.acknowledged: set[str] = set()
        self.request_ids: list[str] = []
        self._number, self._gates, self._dice = number, gates, random.Random(number)

    def run(self) -> None:
        """Send until it is told to stop."""
        count = 0
        while self.going:
            count += 1
            key = f"{self._number}-{count}"
            while key not in self.acknowledged:
                with SyncCommandClient(self._dice.choice(self._gates).url, tries=1) as client:
                    try:
                        sent = client.send(command(key), key=key)
                    except HeadgateError:
                        continue
                self.acknowledged.add(key)
                self.request_ids.append(sent.request_id)


def _on_the_stream(gate: GateProcess) -> Counter[str]:
    found: Counter[str] = Counter()
    place = {"from": "oldest"}
    while True:
        query = {**place, "limit": "1000"}
        answer = httpx2.get(f"{gate.url}/streams/commands/messages", params=query, trust_env=False, timeout=60)
        if answer.status_code == 204:
            return found
        found.update(message["value"]["device_id"] for message in answer.json())
        place = {"after": answer.headers["headgate-position"]}


def _at_once(gates: list[GateProcess]) -> int:
    """How many different answers a thousand requests with one key get; and whether they are one command."""
    answers: set[bytes] = set()

    def send(gate: GateProcess) -> None:
        with httpx2.Client(trust_env=False, timeout=60) as client:
            for _ in range(25):
                headers = {"Idempotency-Key": "one"}
                answers.add(client.post(f"{gate.url}{PATH}", json=command("one"), headers=headers).content)

    threads = [threading.Thread(target=send, args=(gates[number % 2],)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(answers) if _on_the_stream(gates[0])["one"] == 1 else 0


def _is_published(gate: GateProcess, request_id: str) -> bool:
    def is_told() -> bool:
        answer = httpx2.get(f"{gate.url}{PATH}/{request_id}/status", trust_env=False, timeout=60)
        return bool(answer.json().get("status") == "published")

    return wait_until(is_told, within=20)
