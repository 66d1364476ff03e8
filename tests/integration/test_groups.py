"""Process groups from outside: a gate and its workers, killed, reloaded, blocked and told to stop."""

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gates.process import GateProcess, gate_process, headgate
from tests.services.daemon import wait_until

CONFIG = """
service: {log: {format: json}}
streams: {jobs: {transport: log}, waits: {}, done: {transport: log}, lost: {codec: raw}}
runtime:
  bootstrap: {mode: process_supervisor}
  discovery_modules: [plant]
  platform:
    execution_ipc:
      max_payload_bytes: 65536
      auth: {kdf: hkdf_sha256, secret_mode: static, secret: a static secret of the file}
    process_groups:
      - {name: cpu, stages: [core], workers: 2, heartbeat_seconds: 500ms}
      - {name: io, nodes: [wait], runner_profile: async}
"""
PLANT = """
import asyncio, logging, os, signal, time
from headgate import Message, node

VERSION = 1

@node(input="jobs", output="done", stage="core", dead_letters="lost", timeout=1.0)
def work(message: Message[dict]) -> Message:
    job = message.value
    match job.get("do"):
        case "die": os.kill(os.getpid(), signal.SIGKILL)
        case "exit": os._exit(7)
        case "hang": time.sleep(60)
        case "raise": raise RuntimeError("as I was told")
        case "grow": return "x" * 100_000
        case "log": logging.getLogger("plant").warning("said in a worker", extra={"job": job["n"]})
    end = time.perf_counter() + job.get("seconds", 0)
    while time.perf_counter() < end:
        pass
    return Message(value={**job, "pid": os.getpid(), "version": VERSION}, key=message.key)

@node(input="waits", output="done", concurrency=50)
async def wait(job: dict) -> dict:
    await asyncio.sleep(job.get("seconds", 0))
    return {**job, "pid": os.getpid()}
"""


class Plant:
    """A gate with groups, and what goes in and comes out."""

    def __init__(self, gate: GateProcess) -> None:
        self.gate = gate
        self.client = httpx2.Client(base_url=gate.url, trust_env=False, timeout=10)

    def pids(self, group: str = "cpu") -> list[int]:
        return list(self.client.get("/info").json()["groups"][group])

    def all_pids(self) -> list[int]:
        return self.pids("cpu") + self.pids("io")

    def feed(self, jobs: list[dict[str, Any]], stream: str = "jobs") -> None:
        body = [{"value": job, "key": job.get("key")} if "key" in job else {"value": job} for job in jobs]
        media = "application/vnd.headgate.messages+json"
        answer = self.client.post(f"/streams/{stream}/messages", json=body, headers={"Content-Type": media})
        assert answer.status_code == 200, answer.text

    def read(self, stream: str = "done") -> list[dict[str, Any]]:
        answer = self.client.get(f"/streams/{stream}/messages", params={"from": "oldest", "limit": 10_000})
        return [] if answer.status_code == 204 else answer.json()

    def done(self) -> list[dict[str, Any]]:
        return [message["value"] for message in self.read()]

    def until(self, count: int, within: float = 20) -> list[dict[str, Any]]:
        """What was done, when it is so much."""
        assert wait_until(lambda: len({job["n"] for job in self.done()}) >= count, within=within), self.gate.log()
        return self.done()

    def metric(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def log(self) -> list[dict[str, Any]]:
        lines = [line for line in self.gate.log().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    (tmp_path / "plant.py").write_text(PLANT)
    with gate_process(CONFIG, tmp_path) as gate:
        it = Plant(gate)
        workers = it.all_pids()
        yield it
        it.client.close()
    assert wait_until(lambda: not any(map(alive, workers)), within=5)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nodes_work_in_the_processes_of_their_group(plant: Plant) -> None:
    plant.feed([{"n": n, "seconds": 0.005} for n in range(60)])
    plant.feed([{"n": 100 + n, "seconds": 0.2} for n in range(50)], "waits")
    began = time.monotonic()
    done = plant.until(110)
    assert time.monotonic() - began < 5  # those that wait do so at once
    by = {name: {job["pid"] for job in done if (job["n"] >= 100) == (name == "io")} for name in ("cpu", "io")}
    assert by == {"cpu": set(plant.pids("cpu")), "io": set(plant.pids("io"))}
    assert len(by["cpu"]) == 2
    assert plant.metric('headgate_node_handled_total{node="work"}') == 60
    assert plant.metric('headgate_group_workers{group="cpu"}') == 2


def test_no_secret_is_in_arguments_or_environments(plant: Plant) -> None:
    for pid in plant.all_pids():
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:-1]
        assert arguments[:3] == [b"-P", b"-m", b"headgate.app.worker"]
        assert arguments[3].isdigit()
        assert b"static secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        theirs = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
        assert theirs <= set(Path(f"/proc/{plant.gate.process.pid}/environ").read_bytes().split(b"\0"))


def kill_one(plant: Plant) -> None:
    [pid, _] = plant.pids()
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: pid not in plant.pids(), within=10)


def test_what_killed_workers_had_is_done_by_others_and_keys_keep_their_order(plant: Plant) -> None:
    plant.feed([{"n": n, "key": f"k{n % 7}", "seconds": 0.002} for n in range(700)])
    for _ in range(4):
        assert wait_until(lambda: len(plant.pids()) == 2, within=10)
        kill_one(plant)
    done = plant.until(700)
    for key in range(7):
        first_seen = list(dict.fromkeys(job["n"] for job in done if job["n"] % 7 == key))
        assert first_seen == sorted(first_seen)
    assert {job["n"] for job in done} == set(range(700))
    assert plant.metric('headgate_group_workers_lost_total{group="cpu"}') == 4
    assert plant.metric('headgate_node_failed_total{node="work"}') == 0
    assert wait_until(lambda: plant.gate.get("/ready") == 200, within=10)


TROUBLE = {
    "raise": "RuntimeError('as I was told')",
    "die": "died of SIGKILL, 5 times",
    "exit": "ended with exit code 7, 5 times",
    "hang": "it took longer than its timeout of 1 s",
    "grow": "100002 bytes do not fit between two processes",
    "": "bytes do not fit between two processes",
}


def test_messages_that_are_trouble_are_refused_and_their_neighbours_are_not(plant: Plant) -> None:
    for at, what in enumerate(TROUBLE):
        bad = {"n": 1000, "do": what, "pad": "" if what else "x" * 100_000}
        plant.feed([{"n": 20 * at + n} for n in range(10)] + [bad] + [{"n": 20 * at + 10 + n} for n in range(10)])
    plant.until(20 * len(TROUBLE))
    assert wait_until(lambda: len(plant.read("lost")) == len(TROUBLE), within=20), plant.gate.log()
    found = {
        json.loads(base64.b64decode(letter["value"]))["do"]: dict(letter["headers"]) for letter in plant.read("lost")
    }
    assert {what: reason in found[what]["reason"] for what, reason in TROUBLE.items()} == dict.fromkeys(TROUBLE, True)
    assert {(headers["node"], headers["stream"]) for headers in found.values()} == {("work", "jobs")}
    assert plant.metric('headgate_node_failed_total{node="work"}') == len(TROUBLE)


def test_what_was_made_of_many_messages_goes_in_as_many_frames_as_it_needs(plant: Plant) -> None:
    plant.feed([{"n": n, "pad": "x" * 5000} for n in range(100)])
    assert len(plant.until(100)) == 100


def test_a_worker_that_stands_still_is_replaced(plant: Plant) -> None:
    plant.feed([{"n": 0, "seconds": 0.2}, {"n": 1, "seconds": 0.2}])
    still = plant.pids()[0]
    os.kill(still, signal.SIGSTOP)
    plant.feed([{"n": n} for n in range(2, 30)])
    plant.until(30)
    assert wait_until(lambda: len(plant.pids()) == 2 and still not in plant.pids(), within=10)
    assert any("gave no sign of life" in line["event"] for line in plant.log())


def test_a_reload_brings_new_code_one_worker_after_the_other(plant: Plant) -> None:
    before = plant.all_pids()
    (plant.gate.config.parent / "plant.py").write_text(PLANT.replace("VERSION = 1", "VERSION = 2"))
    plant.feed([{"n": n, "seconds": 0.005} for n in range(300)])
    plant.gate.signal(signal.SIGHUP)
    fewest = 2
    while not set(before).isdisjoint(plant.all_pids()):
        fewest = min(fewest, len(plant.pids()))
    done = plant.until(300)
    assert fewest == 2
    assert {job["version"] for job in done} == {1, 2}
    assert len(done) == 300  # nothing was done twice
    assert wait_until(lambda: not any(map(alive, before)), within=10)
    assert wait_until(lambda: any(line["event"] == "reloaded" for line in plant.log()), within=10)


def test_a_reload_that_cannot_work_leaves_all_as_it_is(plant: Plant) -> None:
    before = plant.all_pids()
    (plant.gate.config.parent / "plant.py").write_text("import no_such_library\n")
    plant.gate.signal(signal.SIGHUP)
    assert wait_until(lambda: any("not reloaded" in line["event"] for line in plant.log()), within=10)
    [event] = [line["event"] for line in plant.log() if "not reloaded" in line["event"]]
    assert "No module named 'no_such_library'" in event
    plant.feed([{"n": n} for n in range(10)])
    plant.until(10)
    assert plant.all_pids() == before


def test_a_reload_changes_how_many_workers_there_are(plant: Plant) -> None:
    text = plant.gate.config.read_text()
    plant.gate.config.write_text(text.replace("stages: [core], workers: 2", "stages: [core], workers: 3"))
    plant.gate.signal(signal.SIGHUP)
    assert wait_until(lambda: len(plant.pids()) == 3, within=10)
    plant.gate.config.write_text(text.replace("stages: [core], workers: 2", "stages: [core], workers: 1"))
    plant.gate.signal(signal.SIGHUP)
    assert wait_until(lambda: len(plant.pids()) == 1, within=10)
    plant.feed([{"n": n} for n in range(10)])
    assert {job["pid"] for job in plant.until(10)} == set(plant.pids())


def test_no_worker_is_left_when_the_gate_is_killed(plant: Plant) -> None:
    workers = plant.all_pids()
    plant.feed([{"n": 0, "do": "hang"}])
    os.kill(workers[-1], signal.SIGSTOP)  # it can do nothing by itself
    plant.gate.kill()
    assert wait_until(lambda: not any(map(alive, workers)), within=2)


def test_a_stop_finishes_what_workers_have_in_hand(plant: Plant) -> None:
    plant.feed([{"n": n, "seconds": 0.05} for n in range(100)])
    plant.until(4)
    began = time.monotonic()
    assert plant.gate.stop() == 0
    assert time.monotonic() - began < 5
    again = GateProcess(plant.gate.config).start()
    try:
        later = Plant(again)
        done = later.until(100)
    finally:
        later.client.close()
        again.close()
    assert {job["n"] for job in done} == set(range(100))
    assert len(done) < 110  # what is out of order at the stop comes again, and no more


def test_what_a_worker_logs_is_in_the_log_of_the_gate(plant: Plant) -> None:
    plant.feed([{"n": 5, "do": "log"}, {"n": 6, "do": "raise"}])
    assert wait_until(lambda: len(plant.read("lost")) == 1, within=10)
    assert wait_until(lambda: any(line["event"] == "said in a worker" for line in plant.log()), within=10)
    [line] = [line for line in plant.log() if line["event"] == "said in a worker"]
    assert (line["level"], line["logger"], line["job"]) == ("warning", "plant", 5)
    assert line["worker"].startswith("cpu-")
    [line] = [line for line in plant.log() if line["event"] == "node could not handle a message"]
    assert "as I was told" in line["traceback"]
    assert (line["stream"], line["offset"]) == ("jobs", 1)


IN_A_WORKER = "import os, sys\nif 'worker' in sys.argv[0]:\n    {}\n"


def test_a_worker_that_cannot_start_is_told_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "plant.py").write_text(PLANT + IN_A_WORKER.format("raise RuntimeError('no licence')"))
    (tmp_path / "headgate.yaml").write_text(CONFIG)
    ended = headgate("run", "headgate.yaml", "--port", "0", cwd=tmp_path)
    assert ended.returncode == 1
    told = ended.stderr.decode().splitlines()[-1]
    assert "cannot work: a module of runtime.discovery_modules cannot be imported" in told
    assert "RuntimeError: no licence" in told
