"""The examples: each passes the check, runs, and has something to read."""

import shutil
from pathlib import Path

import httpx2
import pytest

from tests.gates.process import GateProcess, headgate

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/headgate.yaml"))
QUIET = {"device-commands", "request-reply"}  # nothing happens there until somebody asks for it
OVERLAYS = sorted(path for example in EXAMPLES for path in example.parent.glob("*.yaml") if path != example)


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_passes_the_check(example: Path, tmp_path: Path) -> None:
    done = headgate("check", str(example), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_runs_and_its_streams_can_be_read(example: Path, tmp_path: Path) -> None:
    shutil.copytree(example.parent, tmp_path / "example")
    gate = GateProcess(tmp_path / "example" / example.name)
    try:
        gate.start()
        listed = httpx2.get(f"{gate.url}/streams", trust_env=False).json()["streams"]
        answers = [gate.get(f"/streams/{stream['name']}/messages") for stream in listed]
        assert set(answers) <= {200, 204}
        waited = [gate.get(f"/streams/{stream['name']}/messages?wait=1") for stream in listed[:1]]
        assert set(waited) <= {204 if example.parent.name in QUIET else 200}
        assert gate.get("/ready") == 200
        assert gate.stop() == 0
        assert "Traceback" not in gate.log()
    finally:
        gate.close()


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_overlay_of_an_example_passes_the_check(overlay: Path, tmp_path: Path) -> None:
    done = headgate("check", str(overlay.parent / "headgate.yaml"), "-c", str(overlay), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
