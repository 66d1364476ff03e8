import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.daemon import Daemon, ServiceError, free_port, wait_until

SAYS_AND_WAITS = [sys.executable, "-u", "-c", "import signal; print('here'); signal.pause()"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(SAYS_AND_WAITS, folder=tmp_path)
    daemon.start()
    yield daemon
    daemon.kill()


def gone(pid: int) -> bool:
    """No such process, or one that only waits to be counted by its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_its_output_is_kept(daemon: Daemon) -> None:
    assert wait_until(lambda: daemon.tail() == "here", within=10)


def test_it_starts_again_after_each_way_of_ending(daemon: Daemon) -> None:
    for end in (daemon.stop, daemon.kill):
        before = daemon.pid
        end()
        assert not daemon.alive
        daemon.start()
        assert daemon.alive
        assert daemon.pid != before


def test_stopping_twice_is_no_mistake(daemon: Daemon) -> None:
    daemon.stop()
    daemon.stop()
    daemon.kill()


def test_a_paused_one_can_be_stopped(daemon: Daemon) -> None:
    daemon.signal(signal.SIGSTOP)
    daemon.stop(within=10)
    assert not daemon.alive


def test_one_that_does_not_hear_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); signal.pause()"
    daemon = Daemon([sys.executable, "-u", "-c", deaf], folder=tmp_path)
    daemon.start()
    assert wait_until(lambda: daemon.tail() == "deaf", within=10)
    daemon.stop(within=0.1)
    assert not daemon.alive


def test_a_stopped_one_cannot_be_sent_signals(daemon: Daemon) -> None:
    daemon.kill()
    with pytest.raises(ServiceError, match="cannot be sent SIGSTOP"):
        daemon.signal(signal.SIGSTOP)


def test_it_and_its_folder_go_when_we_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    starts_one = (
        "import pathlib, signal; from tests.services.daemon import Daemon;"
        f"d = Daemon({SAYS_AND_WAITS!r}, folder=pathlib.Path({str(folder)!r})); d.start();"
        "print(d.pid, flush=True); signal.pause()"
    )
    ours = subprocess.Popen([sys.executable, "-c", starts_one], stdout=subprocess.PIPE, cwd=Path.cwd())
    with ours:
        assert ours.stdout is not None
        pid = int(ours.stdout.readline())
        assert not gone(pid)
        os.kill(ours.pid, signal.SIGKILL)
    assert wait_until(lambda: gone(pid), within=10)
    assert wait_until(lambda: not folder.exists(), within=10)


def test_ports_stay_out_of_the_kernels_own_range() -> None:
    assert all(15_000 <= free_port() < 30_000 for _ in range(100))
