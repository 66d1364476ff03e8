"""Commands: HTTP to Kafka, each acknowledged, against the usual design and against the library's own flood."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from confluent_kafka import Producer
from tests.services.daemon import free_port, wait_until
from tests.services.kafka import KafkaBroker

from bench.flood import flood, latencies
from bench.ingest_measure import measured_row
from bench.sse_servers import running
from bench.table import Row, interleaved

PATH, JSON = "/api/v1/commands", "application/json"
SINGLES, BATCHES, BATCH = 8000, 600, 100
ROUNDS = 2
_GATE = """
service: {{log: {{level: warning}}, limits: {{pending_requests: 5000, connections: 5000}}}}
connections: {{kafka: {{bootstrap_servers: "{kafka}"}}}}
streams: {{commands: {{transport: kafka, topic: {topic}}}}}
runtime: {{web: {{interfaces: [{{kind: command, path: {path}, stream: commands, track: {track}}}]}}}}
"""


def rows() -> list[Row]:
    """One command and a hundred a request, with a book and without, beside the usual design and the library."""
    with KafkaBroker() as broker, TemporaryDirectory() as folder:
        bench = _Bench(broker)
        with (
            _gate(Path(folder) / "tracked", broker, "true") as ours,
            _gate(Path(folder) / "plain", broker, "false") as plain,
            _usual(Path(folder), broker) as usual,
        ):
            runs: dict[str, Callable[[], float]] = {
                "produce + flush": bench.flood,
                "ours, 64": lambda: _singles(ours, 64),
                "ours, 1024": lambda: _singles(ours, 1024),
                "ours, no book, 64": lambda: _singles(plain, 64),
                "usual, 64": lambda: _singles(usual, 64, SINGLES // 4),
                "usual, 1024": lambda: _singles(usual, 1024, SINGLES // 4),
                "ours, batches": lambda: _batches(ours),
                "ours, no book, batches": lambda: _batches(plain),
                "usual, batches": lambda: _batches(usual, BATCHES // 20),
            }
            settle = {name: partial(_settled, run, (ours, plain)) for name, run in runs.items()}
            rates = interleaved(settle, ROUNDS)
            told = [
                measured_row("commands, single, 64 in flight", "ours, 64", "usual, 64", rates, "aim 5"),
                measured_row("commands, single, 1024 in flight", "ours, 1024", "usual, 1024", rates, "aim 5"),
                measured_row("commands, single, without a book", "ours, no book, 64", "usual, 64", rates),
                measured_row("commands, batches of 100", "ours, batches", "usual, batches", rates),
                measured_row("commands, batches of 100", "ours, batches", "produce + flush", rates, "aim 0.5"),
                measured_row(
                    "commands, batches, no book", "ours, no book, batches", "produce + flush", rates, "aim 0.5"
                ),
            ]
            return [*told, bench.patience(ours, statistics.median(rates["ours, 64"]) / 2)]


def _command(number: int) -> dict[str, Any]:
    return {
        "device_id": f"device_{number % 500:03}",
        "command_type": "config_update",
        "payload": {"measurement_interval": 600},
        "protocol": "coap",
        "parser_script_ref": "efento_bidirectional_parser.py",
    }


ALONE = [json.dumps(_command(number)).encode() for number in range(1000)]
TOGETHER = json.dumps({"commands": [_command(number) for number in range(BATCH)]}).encode()


def _settle(port: int) -> None:
    """Return when the book has all that was sent, so that nobody else pays for it."""

    def is_settled() -> bool:
        return httpx2.get(f"http://127.0.0.1:{port}{PATH}/nobody/status", trust_env=False).status_code == 404

    if not wait_until(is_settled, within=120):
        raise RuntimeError("the book does not catch up")


def _singles(port: int, in_flight: int, count: int = SINGLES) -> float:
    return flood(port, PATH, [ALONE[number % 1000] for number in range(count)], in_flight, JSON)


def _settled(run: Callable[[], float], ports: Sequence[int]) -> float:
    for port in ports:
        _settle(port)
    return run()


def _batches(port: int, count: int = BATCHES) -> float:
    return BATCH * flood(port, f"{PATH}/batch", [TOGETHER] * count, 64, JSON)


class _Bench:
    def __init__(self, broker: KafkaBroker) -> None:
        self._servers = broker.bootstrap
        self._topic = broker.create_topic(partitions=3)

    def flood(self) -> float:
        """The library alone, with a report for each, and values of the same length."""
        value, count = b"x" * 290, 60_000
        producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        reports: list[int] = []

        def reported(_: object, record: Any) -> None:
            reports.append(record.offset())

        producer.list_topics(timeout=10)
        began = time.perf_counter()
        for number in range(count):
            producer.produce(self._topic, value, b"device_%d" % (number % 500), on_delivery=reported)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush()
        return count / (time.perf_counter() - began)

    def patience(self, port: int, rate: float) -> Row:
        """How long the slowest of a hundred waits at half of what is possible, beside the broker's own round trip."""
        producer = Producer({"bootstrap.servers": self._servers, "enable.idempotence": True, "linger.ms": 0})
        trips = []
        for _ in range(300):
            began = time.perf_counter()
            producer.produce(self._topic, b"x" * 290)
            producer.flush()
            trips.append(time.perf_counter() - began)
        _settle(port)
        waited = sorted(latencies(port, PATH, ALONE[0], rate, 4000, JSON))
        trip, worst = statistics.median(trips), waited[int(len(waited) * 0.99)]
        note = f"p50 {waited[len(waited) // 2] / trip:.1f} round trips; 64 connections; aim 10 or less"
        return Row("commands, p99 at half load", "broker's round trip", worst / trip, note)


@contextmanager
def _gate(folder: Path, broker: KafkaBroker, track: str) -> Iterator[int]:
    folder.mkdir()
    topic, port = broker.create_topic(partitions=3), free_port()
    (folder / "gate.yaml").write_text(_GATE.format(kafka=broker.bootstrap, topic=topic, path=PATH, track=track))
    with running([sys.executable, "-m", "headgate", "run", "gate.yaml", "--port", str(port)], folder, port):
        yield port


@contextmanager
def _usual(folder: Path, broker: KafkaBroker) -> Iterator[int]:
    topic, port = broker.create_topic(partitions=3), free_port()
    here = Path(__file__).parent
    serve = ["uvicorn", "commands_seed:app", "--app-dir", str(here), "--port", str(port), "--log-level", "warning"]
    environ = [f"KAFKA={broker.bootstrap}", f"TOPIC={topic}"]
    with running(["env", *environ, sys.executable, "-m", *serve], folder, port):
        yield port
