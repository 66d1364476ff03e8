"""A group that runs alone: its nodes on other machines, its streams on Kafka."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.gates.process import GateProcess, gate_process, headgate
from tests.services.daemon import wait_until
from tests.services.kafka import KafkaBroker

CONFIG = """
connections: {{kafka: {{bootstrap_servers: "{bootstrap}", group_id: "{jobs}", options: {{session.timeout.ms: 6000}}}}}}
streams:
  jobs: {{transport: kafka, topic: "{jobs}", delivery: queue}}
  done: {{transport: kafka, topic: "{done}"}}
  notes: {{}}
runtime:
  bootstrap: {{mode: process_supervisor}}
  discovery_modules: [plant]
  platform:
    process_groups:
      - {{name: cpu, nodes: [work], workers: 0}}
      - {{name: local, nodes: [note]}}
      - {{name: empty}}
"""
PLANT = """
import os, time
from headgate import Message, node

@node(input="jobs", output="done")
def work(job: Message[int]) -> Message:
    time.sleep(0.002)
    return Message(value=[job.value, os.getppid()], key=job.key)

@node(input="notes")
def note(value): ...
"""


def configured(folder: Path, kafka: KafkaBroker) -> str:
    (folder / "plant.py").write_text(PLANT)
    jobs, done = kafka.create_topic(partitions=4), kafka.create_topic(partitions=4)
    return CONFIG.format(bootstrap=kafka.bootstrap, jobs=jobs, done=done)


def done(gate: GateProcess) -> list[tuple[int, int]]:
    """Which job was done by which machine, in the order of each partition."""
    path = f"{gate.url}/streams/done/messages?from=oldest&limit=10000&wait=5"
    answer = httpx2.get(path, trust_env=False, timeout=10)
    return [] if answer.status_code == 204 else [tuple(message["value"]) for message in answer.json()]


def until(fact: Callable[[], bool], *gates: GateProcess) -> None:
    assert wait_until(fact, within=40, every=0.1), "\n".join(gate.log() for gate in gates)


def test_machines_share_the_work_of_a_group_and_one_that_dies_loses_nothing(tmp_path: Path, kafka: KafkaBroker) -> None:
    with gate_process(configured(tmp_path, kafka), tmp_path) as gate:
        info = httpx2.get(f"{gate.url}/info", trust_env=False).json()
        assert (info["nodes"], list(info["groups"])) == (["note"], ["local"])
        machines = [
            GateProcess(gate.config, arguments=["--group", "cpu"], log=f"machine{number}.log") for number in (1, 2)
        ]
        try:
            for machine in machines:
                machine.start()
            jobs = [{"value": n, "key": f"k{n % 20}"} for n in range(3000)]
            media = "application/vnd.headgate.messages+json"
            path = f"{gate.url}/streams/jobs/messages"
            for at in range(0, 3000, 500):
                sent = httpx2.post(
                    path, json=jobs[at : at + 500], headers={"Content-Type": media}, trust_env=False, timeout=20
                )
                assert sent.status_code == 200, sent.text
            until(lambda: len(done(gate)) > 300, gate, *machines)
            machines[0].kill()
            until(lambda: {n for n, _ in done(gate)} == set(range(3000)), gate, *machines)
            found = done(gate)
            assert machines[1].process.pid in {machine for _, machine in found}
            for key in range(20):
                order = list(dict.fromkeys(n for n, _ in found if n % 20 == key))
                assert order == sorted(order)
            assert machines[1].get("/ready") == 200
            assert machines[1].get("/streams/jobs/messages") == 404
            machines[1].signal(signal.SIGHUP)
            until(lambda: "reloaded" in machines[1].log(), machines[1])
            assert machines[1].stop() == 0
        finally:
            for machine in machines:
                machine.close()


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("cpo", "there is no group 'cpo'; runtime.platform.process_groups has: cpu, local, empty"),
        ("empty", "group 'empty' has no nodes"),
        ("local", "stream 'notes' lives in memory, which other processes cannot reach"),
    ],
)
def test_a_group_that_cannot_run_alone_is_refused(tmp_path: Path, group: str, words: str) -> None:
    (tmp_path / "plant.py").write_text(PLANT)
    (tmp_path / "headgate.yaml").write_text(CONFIG.format(bootstrap="localhost:1", jobs="a", done="b"))
    ended = headgate("run", "headgate.yaml", "--group", group, cwd=tmp_path)
    assert ended.returncode == 1
    assert words in ended.stderr.decode()
