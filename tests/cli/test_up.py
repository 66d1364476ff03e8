"""`headgate up`: services side by side, that begin and end together."""

import os
import signal
from pathlib import Path

import pytest

from tests.gates.process import headgate
from tests.gates.star import Star, star
from tests.services.daemon import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "services").mkdir()
    for name in ("first", "second"):
        (tmp_path / "services" / f"{name}.yaml").write_text(
            f"service: {{name: {name}, port: 0}}\nstreams: {{notes: {{}}}}\n"
        )
    return tmp_path


def children(running: Star) -> list[int]:
    """The processes of the services."""
    path = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_them_in_order(folder: Path, number: signal.Signals) -> None:
    with star(folder, folder=folder) as running:
        assert running.url("first") != running.url("second")
        pids = children(running)
        assert running.stop(number) == 0
        assert [is_gone(pid) for pid in pids] == [True, True]
        lines = running.log().splitlines()
        assert {line.partition(" | ")[0].strip() for line in lines} == {"first", "second"}
        assert sum("stopped" in line for line in lines) == 2
        assert "\x1b" not in running.log()  # no terminal, no colours


def test_when_one_ends_all_do_and_it_is_named(folder: Path) -> None:
    with star(folder, folder=folder) as running:
        running.url("first"), running.url("second")
        pids = children(running)
        os.kill(pids[0], signal.SIGKILL)
        assert running.process.wait(30) == 1
        assert "headgate: first ended with exit code -9, so all were stopped" in running.log()
        assert all(is_gone(pid) for pid in pids)


def test_nobody_is_left_behind_when_it_is_killed(folder: Path) -> None:
    with star(folder, folder=folder) as running:
        running.url("first"), running.url("second")
        pids = children(running)
        running.process.kill()
        running.process.wait()
        assert wait_until(lambda: all(is_gone(pid) for pid in pids), within=10)


def test_a_mistake_in_any_file_is_told_before_one_is_started(folder: Path) -> None:
    (folder / "services" / "third.yaml").write_text("streams: {notes: {transprt: log}}\n")
    done = headgate("up", str(folder))
    assert done.returncode == 2
    assert b"third.yaml:1:19: unknown key" in done.stderr
    assert done.stdout == b""


def test_two_of_one_name_and_a_folder_without_services_are_told(folder: Path, tmp_path: Path) -> None:
    first = str(folder / "services" / "first.yaml")
    done = headgate("up", first, first)
    assert (done.returncode, b"are both called 'first'" in done.stderr) == (1, True)
    done = headgate("up", str(tmp_path / "services"))
    assert (done.returncode, b"there are no services in" in done.stderr) == (1, True)


def test_an_overlay_is_for_all(folder: Path) -> None:
    (folder / "more.yaml").write_text("streams: {others: {}}\n")
    with star(folder, "-c", folder / "more.yaml", folder=folder) as running:
        running.url("first"), running.url("second")
        assert wait_until(lambda: running.log().count("/streams/others/messages") == 2, within=10)
        assert running.stop() == 0
