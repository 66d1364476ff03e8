"""`headgate keys`, and commands that have to say who they are."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gates.process import GateProcess, gate_process, headgate
from tests.services.daemon import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = "service: {auth: {keys_file: keys.txt}}\nstreams: {notes: {codec: json}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locked")


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[tuple[GateProcess, str]]:
    """A gate with one key."""
    made = headgate("keys", "new", "robot", "--file", str(folder / "keys.txt"))
    with gate_process(CONFIG, folder) as gate:
        yield gate, made.stdout.decode().strip()


def with_key(key: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return headgate(*arguments, environ={"HEADGATE_API_KEY": key})


def test_a_key_is_shown_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    made = [headgate("keys", "new", name, "-f", str(file)) for name in ("robot", "press")]
    keys = [done.stdout.decode().strip() for done in made]
    assert all(re.fullmatch(r"hgk_[A-Za-z0-9_-]{43}", key) for key in keys)
    assert keys[0] != keys[1]
    assert not any(key in file.read_text() for key in keys)
    assert file.stat().st_mode & 0o777 == 0o600
    listed = json.loads(headgate("keys", "list", "-f", str(file), "--json").stdout)
    assert [key["name"] for key in listed] == ["robot", "press"]


def test_a_revoked_key_is_gone_and_the_rest_of_the_file_is_not(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("# ours\nplain-key name=old")
    headgate("keys", "new", "robot", "-f", str(file))
    file.chmod(0o640)
    assert headgate("keys", "revoke", "robot", "-f", str(file)).returncode == 0
    assert file.read_text() == "# ours\nplain-key name=old\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["keys.txt"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["new", "a b"], 2, "a name is 1 to 64 letters"),
        (["new", "old"], 1, "has a key of old already"),
        (["revoke", "nobody"], 1, "has no key of nobody"),
        (["list", "-f", "/"], 1, "cannot read /: Is a directory"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    (tmp_path / "keys.txt").write_text("plain-key name=old\n")
    done = headgate("keys", *arguments, *([] if "-f" in arguments else ["-f", str(tmp_path / "keys.txt")]))
    assert done.returncode == code
    assert told in done.stderr.decode()
    assert b"plain-key" not in done.stderr + done.stdout


def test_commands_say_who_they_are(locked: tuple[GateProcess, str]) -> None:
    gate, key = locked
    sent = with_key(key, "send", "notes", "1", "--url", gate.url)
    assert sent.stderr == b"1 of 1 messages acknowledged\n"
    read = with_key(key, "tail", "notes", "--from", "oldest", "-n", "1", "--url", gate.url)
    assert (read.returncode, read.stdout.strip()[-1:]) == (0, b"1")


@pytest.mark.parametrize("command", [["send", "notes", "1"], ["tail", "notes"], ["config", "get"]])
def test_commands_without_a_key_are_told_what_to_set(locked: tuple[GateProcess, str], command: list[str]) -> None:
    done = headgate(*command, "--url", locked[0].url)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "headgate: this gate asks who you are; send a key in the header X-API-Key; set HEADGATE_API_KEY\n"
    )


def test_a_key_that_no_header_can_carry_is_not_shown() -> None:
    done = with_key("geheim\nX-Evil: 1", "send", "notes", "1")
    assert done.returncode == 2
    assert b"geheim" not in done.stderr


def test_a_revoked_key_is_refused_soon(locked: tuple[GateProcess, str], folder: Path) -> None:
    gate, _ = locked
    file = str(folder / "keys.txt")
    key = headgate("keys", "new", "guest", "-f", file).stdout.decode().strip()
    assert wait_until(lambda: gate.get("/info", headers={"X-API-Key": key}) == 200, within=10)
    headgate("keys", "revoke", "guest", "-f", file)
    assert wait_until(lambda: gate.get("/info", headers={"X-API-Key": key}) == 401, within=10)


def test_a_gate_without_keys_says_that_it_asks_nobody(tmp_path: Path) -> None:
    with gate_process("streams: {notes: {}}", tmp_path) as gate:
        assert "nobody is asked who they are" in gate.log()


def test_a_gate_with_keys_may_be_reached_by_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("service: {host: 0.0.0.0, auth: {keys: [a-key-of-sixteen]}}")
    done = headgate("check", str(tmp_path / "a.yaml"))
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "a.yaml").write_text("service: {host: 0.0.0.0, auth: {keys: [a-key-of-sixteen], enabled: false}}")
    done = headgate("check", str(tmp_path / "a.yaml"))
    assert done.returncode == 2
    assert "nothing asks them who they are" in done.stderr.decode()


def test_the_commands_example_takes_its_keys_from_the_environment(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "device-commands", tmp_path / "example")
    gate = GateProcess(tmp_path / "example" / "headgate.yaml", environ={"API_KEYS": "alpha,beta"})
    try:
        gate.start()
        paths = ("/api/v1/commands", "/api/v1/%63ommands", "//api/v1/commands", "/docs")
        assert [gate.get(path) for path in paths] == [401] * 4
        assert [gate.get(path, {"X-API-Key": "gamma"}) for path in paths] == [401] * 4
        assert [gate.get(path, {"X-API-Key": "beta"}) for path in paths] == [200, 200, 404, 200]
        assert [gate.get(path) for path in ("/health", "/ready", "/api/v1/health")] == [200] * 3
    finally:
        gate.close()


def test_the_python_that_runs_them_shows_no_key(locked: tuple[GateProcess, str]) -> None:
    gate, key = locked
    arguments = Path(f"/proc/{gate.process.pid}/cmdline").read_bytes()
    assert sys.executable.encode() in arguments
    assert key.encode() not in arguments + gate.log().encode()
