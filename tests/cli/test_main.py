"""The command `headgate`: help, version, and exit codes."""

import subprocess
import sys
from pathlib import Path

from tests.gates.process import headgate


def test_without_a_command_it_shows_which_there_are() -> None:
    done = headgate()
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == 2
    assert all(word in text for word in ("run", "check", "demo", "new", "tail", "send", "ingest", "schema", "doctor"))


def test_it_tells_its_version() -> None:
    assert headgate("--version").stdout == b"headgate 0.1.0\n"


def test_a_command_that_is_not_there_is_2() -> None:
    done = headgate("nonsense")
    assert (done.returncode, done.stdout) == (2, b"")
    assert "No such command 'nonsense'" in done.stderr.decode()


def test_it_is_installed_under_its_name() -> None:
    command = Path(sys.executable).parent / "headgate"
    done = subprocess.run([command, "--version"], check=True, capture_output=True)
    assert done.stdout.startswith(b"headgate ")
