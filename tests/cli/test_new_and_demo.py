"""`headgate new` and `headgate demo`: the first five minutes."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gates.process import GateProcess, headgate
from tests.services.daemon import wait_until


@contextmanager
def demo(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A running demo, and what it says."""
    log = folder / "demo.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "headgate", "demo", "--port", "0"]
        running = subprocess.Popen(command, stderr=output, stdout=output, cwd=folder)
    try:
        assert wait_until(lambda: "Ctrl-C ends it." in log.read_text(), within=20), log.read_text()
        yield running, log
    finally:
        running.kill()
        running.wait()


def test_the_demo_starts_and_what_it_says_works(tmp_path: Path) -> None:
    with demo(tmp_path) as (running, log):
        lines = [line.strip() for line in log.read_text().splitlines() if line.startswith("  curl")]
        assert len(lines) == 3
        answers = [curl(line) for line in lines]
        assert b"event: asset_update" in answers[0].splitlines()
        assert b'data: {"id":"Zact"' in answers[0]
        assert b'"name":"assets"' in answers[1]
        assert b'"published":1' in answers[2]
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 0


def curl(line: str) -> bytes:
    """What a curl command line prints within some seconds."""
    command = shlex.split(line)
    follows = "-N" in command
    with subprocess.Popen([*command, "--silent", "--max-time", "10"], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        try:
            return b"".join(running.stdout.readline() for _ in range(8)) if follows else running.stdout.read()
        finally:
            running.kill()


def test_the_demo_writes_nothing_where_it_is_started(tmp_path: Path) -> None:
    with demo(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


def test_a_new_folder_can_be_run(tmp_path: Path) -> None:
    done = headgate("new", "my plant", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.decode() == (
        "my plant is made from asset-stream. Next:\n  headgate run 'my plant/headgate.yaml'\n"
    )
    assert headgate("check", "my plant/headgate.yaml", cwd=tmp_path).returncode == 0
    gate = GateProcess(tmp_path / "my plant" / "headgate.yaml")
    try:
        assert gate.start().get("/streams/assets/messages?wait=5") == 200
        assert gate.stop() == 0
    finally:
        gate.close()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = headgate("new", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.decode() == f"headgate: {tmp_path} is there and not empty; name another folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = headgate("new", str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stderr.decode() == f"headgate: cannot make {tmp_path / 'file'}: Not a directory\n"


def test_an_example_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    done = headgate("new", "x", "--from", "asset", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("headgate: there is no example 'asset'; there are: asset-stream")
