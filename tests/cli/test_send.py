"""`headgate send`: messages from arguments and lines, acknowledged or named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gates.process import GateProcess, headgate
from tests.services.daemon import free_port, wait_until


def kept(gate: GateProcess, stream: str, last: int) -> list[Any]:
    """The last messages of a stream."""
    answer = httpx2.get(f"{gate.url}/streams/{stream}/messages?from=last:{last}", trust_env=False)
    messages: list[Any] = answer.json()
    return messages


def test_arguments_are_sent_as_messages(gate: GateProcess) -> None:
    done = headgate("send", "notes", '{"a": 1}', "2", "--key", "k", "--url", gate.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"2 of 2 messages acknowledged\n")
    assert [(m["value"], m["key"]) for m in kept(gate, "notes", 2)] == [({"a": 1}, "k"), (2, "k")]


def test_lines_of_standard_input_are_sent(gate: GateProcess) -> None:
    done = headgate("send", "lines", "--file", "-", "--json", "--url", gate.url, stdin="grün\r\n\nblau".encode())
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["published"], told["failed"]) == (2, 0)
    messages = kept(gate, "lines", 2)
    assert [message["value"] for message in messages] == ["grün", "blau"]
    assert told["position"] == messages[-1]["position"]


def test_lines_of_a_file_are_sent_in_their_order(gate: GateProcess, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("".join(f"{n}\n" for n in range(12_345)))
    done = headgate("send", "notes", "-f", str(tmp_path / "lines.txt"), "--url", gate.url)
    assert done.stderr == b"12345 of 12345 messages acknowledged\n"
    assert [message["value"] for message in kept(gate, "notes", 500)] == list(range(11_845, 12_345))


def test_a_message_that_is_refused_is_named_by_its_line(gate: GateProcess) -> None:
    done = headgate("send", "notes", "--file", "-", "--url", gate.url, stdin=b"1\n\n{\n4\n}")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines() == [
        "line 3: not JSON: Input data was truncated",
        "line 5: not JSON: JSON is malformed: invalid character (byte 0)",
        "2 of 4 messages acknowledged",
    ]


def test_an_argument_that_is_refused_is_named_by_its_number(gate: GateProcess) -> None:
    done = headgate("send", "notes", "1", "{", "--json", "--url", gate.url)
    assert done.returncode == 1
    assert done.stderr.decode() == "message 2: not JSON: Input data was truncated\n"
    assert {**json.loads(done.stdout), "position": None} == {"published": 1, "failed": 1, "position": None}


def test_a_line_that_is_too_large_holds_up_no_other(gate: GateProcess) -> None:
    lines = b'1\n"' + b"x" * 1_100_000 + b'"\n3\n'
    done = headgate("send", "notes", "--file", "-", "--url", gate.url, stdin=lines)
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("line 2: the body is over the limit of 1048576 bytes")
    assert second == "2 of 3 messages acknowledged"
    assert [message["value"] for message in kept(gate, "notes", 2)] == [1, 3]


def test_what_a_pipe_has_now_is_sent_now(gate: GateProcess) -> None:
    command = [sys.executable, "-m", "headgate", "send", "lines", "--file", "-", "--url", gate.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as sending:
        assert sending.stdin is not None
        for word in ("first", "second"):
            sending.stdin.write(f"{word}\n".encode())
            sending.stdin.flush()
            assert wait_until(lambda word=word: kept(gate, "lines", 1)[0]["value"] == word, within=10)  # type: ignore[misc]
        sending.stdin.write(b"unended")
        sending.stdin.close()
        assert sending.wait(10) == 0
    assert kept(gate, "lines", 1)[0]["value"] == "unended"


def test_a_gate_that_is_away_is_said_to_be() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = headgate("send", "notes", "1", "--url", url)
    assert done.returncode == 1
    assert done.stderr.decode() == f"headgate: no gate answers at {url}: All connection attempts failed\n"


def test_a_stream_that_is_not_there_is_told_with_the_nearest(gate: GateProcess) -> None:
    done = headgate("send", "note", "1", "--url", gate.url)
    assert done.returncode == 1
    assert done.stderr.decode() == f"headgate: {gate.url} has no stream 'note'; did you mean 'notes'?\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["notes"], 2, "give messages as arguments, or a file with --file"),
        (["notes", "1", "--file", "-"], 2, "give messages as arguments, or a file with --file"),
        (["notes", "--file", "no.such"], 1, "headgate: cannot read no.such: No such file or directory"),
        (["notes", "--file", "/"], 1, "headgate: cannot read /: Is a directory"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], code: int, told: str) -> None:
    done = headgate("send", *arguments, "--url", "http://127.0.0.1:1")
    assert done.returncode == code
    assert told in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
