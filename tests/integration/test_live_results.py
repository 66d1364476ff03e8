"""The example live-results: a star of services without a broker, with Kafka for raw data, and with flatbuffers."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from headgate import HTTPMessageSource
from headgate.core.ess import Da00Codec
from tests.gates.events import Parser
from tests.gates.process import headgate
from tests.gates.star import LIVE_RESULTS, Star, live_results
from tests.services.daemon import wait_until
from tests.services.kafka import KafkaBroker

BINS = "*/monitor_data/bins"


def newest(star: Star) -> list[dict[str, Any]]:
    """The last results, as JSON."""
    params = {"from": "last:4", "wait": 5}
    answer = httpx2.get(f"{star.url('monitor_data')}/messages", params=params, trust_env=False, timeout=10)
    return [message["value"] for message in answer.json()] if answer.status_code == 200 else []


def eventually(star: Star, holds: Callable[[list[dict[str, Any]]], object]) -> None:
    assert wait_until(lambda: bool(holds(newest(star))), within=15, every=0.1), star.log()


def bins(result: dict[str, Any]) -> int:
    return len(result["data"][0]["data"])


def totals(star: Star) -> set[str]:
    """The monitors of which the dashboard tells totals."""
    parser = Parser()
    url = f"{star.url('dashboard')}/totals?from=oldest"
    seen: set[str] = set()
    with httpx2.stream("GET", url, trust_env=False, timeout=10) as answer:
        for line in answer.iter_lines():
            if event := parser.line(line):
                seen.add(httpx2.Response(200, text=event.data).json()["monitor"])
            if len(seen) == 2:
                return seen
    return seen


def view(star: Star, *arguments: str) -> str:
    """What the viewer shows."""
    command = [sys.executable, str(LIVE_RESULTS / "viewer.py"), "--once", "--url", star.url("monitor_data"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


@contextmanager
def viewer(star: Star) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The viewer in a terminal of its own, and the other end of that."""
    terminal, inside = pty.openpty()
    command = [sys.executable, str(LIVE_RESULTS / "viewer.py"), "--url", star.url("monitor_data")]
    with subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside) as running:
        os.close(inside)
        try:
            yield running, terminal
        finally:
            running.kill()
            os.close(terminal)


def test_keys_of_the_viewer_change_the_workflow(tmp_path: Path) -> None:
    with live_results(tmp_path) as star:
        eventually(star, lambda results: results and bins(results[-1]) == 50)
        with viewer(star) as (running, terminal):
            seen = b""
            while b"50 bins" not in seen:
                seen += os.read(terminal, 65_536)
            os.write(terminal, b"+")
            eventually(star, lambda results: bins(results[-1]) == 100)
            seen = b""
            while b"bins = 100: ACK" not in seen:
                seen += os.read(terminal, 65_536)
            os.write(terminal, b"q")
            assert running.wait(15) == 0


def test_a_star_without_a_broker_shows_results_and_is_told_how_to_make_them(tmp_path: Path) -> None:
    with live_results(tmp_path) as star:
        eventually(star, lambda results: {result["source_name"] for result in results} == {"left", "right"})
        eventually(star, lambda results: sum(results[-1]["data"][0]["data"]) > 100)
        url = star.url("monitor_data")
        assert headgate("config", "set", BINS, "20", "--url", url).returncode == 0
        assert headgate("config", "set", "left/monitor_data/bins", "7", "--url", url).returncode == 0
        eventually(star, lambda results: {(r["source_name"], bins(r)) for r in results} == {("left", 7), ("right", 20)})
        refused = headgate("config", "set", BINS, "0", "--url", url)
        assert (refused.returncode, b"bins: Expected `int` >= 1" in refused.stderr) == (1, True)
        refused = headgate("config", "set", "*/monitor_data/low", "500", "--url", url)
        assert b"low must be below high" in refused.stderr
        acks = httpx2.get(f"{url}/streams/acks/messages", trust_env=False).json()
        assert [ack["value"]["response"] for ack in acks] == ["ACK", "ACK"]
        assert totals(star) == {"left", "right"}
        shown = view(star)
        assert "in 7 bins" in shown
        assert "█" in shown
        assert star.stop() == 0
        assert "Traceback" not in star.log()


def test_results_may_be_flatbuffers_and_are_json_for_who_asks(tmp_path: Path) -> None:
    with live_results(tmp_path, RESULTS_CODEC="da00") as star:
        eventually(star, lambda results: results and results[-1]["source_name"] in ("left", "right"))
        with HTTPMessageSource[Any](f"{star.url('monitor_data')}/messages", serializer=Da00Codec()) as source:
            message = source.get_messages()[0]
        assert message.value.data[0].name == "signal"
        assert message.value.data[0].data.shape == (50,)
        assert (message.stream.kind, message.stream.name) == ("monitor_counts", message.value.source_name)
        assert message.timestamp > 0
        assert totals(star) == {"left", "right"}
        assert "in 50 bins" in view(star, "--codec", "da00")
        assert star.stop() == 0
        assert "Traceback" not in star.log()


def test_raw_data_may_come_by_kafka_and_results_by_http(tmp_path: Path, kafka: KafkaBroker) -> None:
    topic = kafka.create_topic()
    kafka_yaml = LIVE_RESULTS / "kafka.yaml"
    with live_results(tmp_path, "-c", kafka_yaml, KAFKA_BROKER=kafka.bootstrap, MONITOR_TOPIC=topic) as star:
        eventually(star, lambda results: results and sum(results[-1]["data"][0]["data"]) > 100)
        listed = httpx2.get(f"{star.url('monitor_data')}/streams", trust_env=False).json()["streams"]
        places = {row["name"]: row["transport"] for row in listed}
        assert places == {"config": "memory", "monitor_events": "kafka", "results": "memory", "acks": "memory"}
        assert totals(star) == {"left", "right"}
        assert star.stop() == 0
        assert "Traceback" not in star.log()
