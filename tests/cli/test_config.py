"""`headgate config`: settings from a terminal."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.gates.process import GateProcess, gate_process, headgate
from tests.services.daemon import free_port

CONFIG = "service: {name: monitor}\nruntime: {web: {interfaces: [{kind: config, path: /config}]}}\n"
BINS = "*/monitor/bins"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with gate_process(CONFIG, tmp_path_factory.mktemp("gate")) as started:
        yield started


def config(gate: GateProcess, *arguments: str) -> tuple[int, str, str]:
    done = headgate("config", *arguments, "--url", gate.url)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_setting_is_set_shown_restored_and_taken_away(gate: GateProcess) -> None:
    assert config(gate, "set", BINS, "5") == (0, "monitor: ACK, version 1\n", "")
    assert config(gate, "set", BINS, "many") == (0, "monitor: ACK, version 2\n", "")
    assert config(gate, "get") == (0, f'{BINS} = "many"\n', "")
    assert config(gate, "restore", BINS, "1") == (0, "monitor: ACK, version 3\n", "")
    status, shown, _ = config(gate, "get", BINS)
    assert (status, [line.split()[-1] for line in shown.splitlines()]) == (0, ["5", "5", '"many"', "5"])
    status, shown, _ = config(gate, "get", "--json")
    assert (status, json.loads(shown)) == (0, {BINS: 5})
    status, _, told = config(gate, "set", BINS, "6", "--if-version", "1")
    assert (status, "has version 3, not 1" in told) == (1, True)
    assert config(gate, "unset", BINS)[0] == 0
    assert config(gate, "get") == (0, "", "")


def test_what_is_refused_is_told_and_exits_with_1(gate: GateProcess) -> None:
    status, out, told = config(gate, "set", "bins", "5")
    assert (status, out) == (1, "")
    assert "source/service/name" in told
    assert config(gate, "get", "*/monitor/none")[0] == 1
    done = headgate("config", "get", "--url", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, b"no gate answers" in done.stderr) == (1, True)


def test_changes_are_printed_as_they_come(gate: GateProcess) -> None:
    config(gate, "set", BINS, "1")
    command = [sys.executable, "-m", "headgate", "config", "watch", "--json", "--url", gate.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watching:
        late = threading.Timer(20, watching.kill)  # a change that does not come fails the test and hangs nobody
        late.start()
        try:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline()) == {"key": BINS, "value": 1}
            config(gate, "set", BINS, "2")
            assert json.loads(watching.stdout.readline()) == {"key": BINS, "value": 2}
            config(gate, "unset", BINS)
            assert json.loads(watching.stdout.readline()) == {"key": BINS, "removed": True}
            watching.send_signal(signal.SIGINT)
            assert watching.wait(10) == 130
        finally:
            late.cancel()
            watching.kill()
