"""`headgate tail`: messages as they come, for people and for scripts."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from headgate.cli.tail import pretty
from tests.gates.process import GateProcess, gate_process, headgate
from tests.services.daemon import free_port, wait_until


def publish(gate: GateProcess, stream: str, body: bytes, media: str = "application/x-ndjson") -> None:
    url = f"{gate.url}/streams/{stream}/messages"
    httpx2.post(url, content=body, headers={"Content-Type": media}, trust_env=False).raise_for_status()


@contextmanager
def tailing(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A tail that runs, until the block is left."""
    command = [sys.executable, "-m", "headgate", "tail", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        late = threading.Timer(20, running.kill)  # a message that does not come fails the test and hangs nobody
        late.start()
        try:
            yield running
        finally:
            late.cancel()
            running.kill()


def followers(gate: GateProcess, stream: str) -> int:
    rows = httpx2.get(f"{gate.url}/streams", trust_env=False).json()["streams"]
    return int(next(row["followers"] for row in rows if row["name"] == stream))


def test_old_messages_come_as_json_lines(gate: GateProcess) -> None:
    publish(gate, "notes", b'{"a":1}\n"x"\n')
    done = headgate("tail", "notes", "--from", "last:2", "--limit", "2", "--json", "--url", gate.url)
    assert done.returncode == 0
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [{"a": 1}, "x"]


def test_new_messages_come_as_they_are_published(gate: GateProcess) -> None:
    with tailing("notes", "--json", "--url", gate.url) as running:
        assert wait_until(lambda: followers(gate, "notes") == 1, within=10)
        for number in (1, 2):
            publish(gate, "notes", b"%d" % number)
            assert running.stdout is not None
            assert json.loads(running.stdout.readline())["value"] == number
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert wait_until(lambda: followers(gate, "notes") == 0, within=10)


def test_messages_for_people_have_a_time_a_key_and_a_value(gate: GateProcess) -> None:
    body = b'{"timestamp":0,"key":"k","value":{"a":[1,"\xc3\xa9"]}}'
    publish(gate, "notes", body, "application/vnd.headgate.messages+json")
    done = headgate("tail", "notes", "--from", "last:1", "-n", "1", "--url", gate.url)
    assert done.stdout.decode().rstrip().endswith(':00.000  k  {"a":[1,"é"]}')


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"value": "a\nb\x1b[2J\x9b\u2028"}, "a\\nb\\x1b[2J\\x9b\\u2028"),
        ({"value": {"a": "\x9b\x7f"}}, '{"a":"\\x9b\\x7f"}'),
        ({"value": "AP8=", "encoding": "base64"}, "b'\\x00\\xff'"),
        ({"value": 1, "key": {"base64": "/w=="}}, "base64:/w==  1"),
        ({"value": 1, "key": "a\rb"}, "a\\rb  1"),
        ({"value": "é"}, "é"),
    ],
)
def test_what_could_move_the_cursor_is_escaped(message: dict[str, object], shown: str) -> None:
    assert pretty({"timestamp": 0, **message})[12:] == f"  {shown}"


def test_a_time_that_no_calendar_has_is_shown_as_it_is() -> None:
    assert pretty({"timestamp": 10**25, "value": 1}) == f"{10**25}  1"


def test_a_line_may_hold_characters_that_elsewhere_end_one(gate: GateProcess) -> None:
    publish(gate, "notes", '"a\u2028b\x85c\x7f"\n2'.encode())
    done = headgate("tail", "notes", "--from", "last:2", "-n", "2", "--json", "--url", gate.url)
    assert [json.loads(line)["value"] for line in done.stdout.split(b"\n")[:-1]] == ["a\u2028b\x85c\x7f", 2]


def test_a_gap_is_told_on_standard_error(gate: GateProcess) -> None:
    publish(gate, "tiny", b"1\n2\n3\n4\n5")
    epoch = httpx2.get(f"{gate.url}/streams/tiny/messages", trust_env=False).headers["headgate-position"].split(":")[0]
    done = headgate("tail", "tiny", "--from", f"{epoch}:1", "-n", "2", "--json", "--url", gate.url)
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [4, 5]
    assert done.stderr == b"-- 2 messages were dropped before they could be read --\n"


def test_a_stream_that_began_afresh_is_told_on_standard_error(gate: GateProcess) -> None:
    publish(gate, "tiny", b"1\n2")
    done = headgate("tail", "tiny", "--from", "another:7", "-n", "2", "--json", "--url", gate.url)
    assert done.stderr == b"-- the stream began afresh; what it held before and was not read is gone --\n"


def test_a_queue_gives_no_more_than_is_wanted(gate: GateProcess) -> None:
    publish(gate, "jobs", b"1\n2\n3")
    done = headgate("tail", "jobs", "-n", "1", "--json", "--url", gate.url)
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [1]
    rest = headgate("tail", "jobs", "-n", "2", "--json", "--url", gate.url)
    assert [json.loads(line)["value"] for line in rest.stdout.splitlines()] == [2, 3]


def test_a_reader_that_has_seen_enough_ends_it_quietly(gate: GateProcess) -> None:
    publish(gate, "notes", b"1\n" * 5000)
    with tailing("notes", "--from", "oldest", "--url", gate.url) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        running.wait(10)
        assert running.stderr.read() == b""


def test_a_stream_that_is_not_there_is_told_with_the_nearest(gate: GateProcess) -> None:
    done = headgate("tail", "note", "--url", gate.url)
    assert done.returncode == 1
    assert done.stderr.decode() == f"headgate: {gate.url} has no stream 'note'; did you mean 'notes'?\n"


def test_a_stream_that_is_like_no_other_is_told_with_all(gate: GateProcess) -> None:
    done = headgate("tail", "zzz", "--url", gate.url)
    assert done.stderr.decode() == f"headgate: {gate.url} has no stream 'zzz'; there are: jobs, lines, notes, tiny\n"


def test_a_place_to_start_that_is_none_is_told(gate: GateProcess) -> None:
    done = headgate("tail", "notes", "--from", "now", "--url", gate.url)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("headgate: 'now' is no place to start: use oldest, newest, last:N, ")


def test_a_gate_that_is_away_is_said_to_be() -> None:
    done = headgate("tail", "notes", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("headgate: no gate answers at http://127.0.0.1:")


def test_it_goes_on_where_it_was_when_the_gate_is_back(tmp_path: Path) -> None:
    with gate_process("streams: {orders: {transport: log}}", tmp_path) as gate:
        publish(gate, "orders", b"0\n1")
        with tailing("orders", "--from", "oldest", "--limit", "4", "--json", "--url", gate.url) as running:
            assert running.stdout is not None
            seen = [json.loads(running.stdout.readline())["value"] for _ in range(2)]
            gate.kill()
            gate.start()
            publish(gate, "orders", b"2\n3")
            seen += [json.loads(line)["value"] for line in running.stdout]
            assert running.wait(10) == 0
        assert seen == [0, 1, 2, 3]


def test_only_what_is_asked_for_is_shown_and_counted(gate: GateProcess) -> None:
    said = ["ka", "kb", "la", "ka", "kb"]
    messages = [{"key": key, "value": {"id": name, "at": {"n": n}}} for n, (key, name) in enumerate(said)]
    publish(gate, "notes", json.dumps(messages).encode(), "application/vnd.headgate.messages+json")
    given = ("notes", "--from", "last:5", "--json", "--url", gate.url)
    for options, wanted in (
        (("-k", "k", "-n", "4"), [0, 1, 3, 4]),
        (("-k", "k", "-w", "id=b", "-n", "2"), [1, 4]),
        (("-w", "id=a", "-n", "3"), [0, 2, 3]),
        (("-w", "at.n=2", "-w", "at.n=3", "-n", "2"), [2, 3]),
    ):
        done = headgate("tail", *given, *options)
        assert [json.loads(line)["value"]["at"]["n"] for line in done.stdout.splitlines()] == wanted
    wrong = headgate("tail", *given, "-w", "id")
    assert (wrong.returncode, b"'id' is not FIELD=VALUE" in wrong.stderr) == (2, True)


DIRECT = """
streams:
  kept: {transport: log, codec: json, retain: {messages: 5}}
  here: {}
  jobs: {transport: log, delivery: queue}
"""


def test_a_stream_is_read_where_it_lives_without_a_gate(tmp_path: Path) -> None:
    with gate_process(DIRECT, tmp_path) as gate:
        publish(gate, "kept", b"1\n2\n3")
    config = str(tmp_path / "headgate.yaml")
    done = headgate("tail", "kept", "-c", config, "--from", "oldest", "-n", "3", "--json", cwd=tmp_path)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert [message["value"] for message in messages] == [1, 2, 3]
    again = headgate("tail", "kept", "-c", config, "--from", messages[0]["position"], "-n", "2", cwd=tmp_path)
    assert [line.split()[-1] for line in again.stdout.splitlines()] == [b"2", b"3"]


def test_a_stream_that_lives_elsewhere_is_not_read_here(tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text(DIRECT)
    for name, word in (("here", b"--url"), ("jobs", b"is a queue"), ("kep", b"did you mean 'kept'?")):
        done = headgate("tail", name, "-c", "headgate.yaml", cwd=tmp_path)
        assert (done.returncode, word in done.stderr) == (1, True), done.stderr
