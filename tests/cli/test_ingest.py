"""`headgate ingest`: files into a database behind a real gate, and through interruptions behind one that breaks off."""

import asyncio
import gzip
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.client.keeper import keeping
from tests.gates.ingest import BASE, config, order
from tests.gates.process import GateProcess, gate_process, headgate
from tests.services.daemon import free_port, wait_until

ENTITY = """
entity:
  name: Word
  prefix: W
  fields:
    - {name: number, type: Integer, primary_key: true}
    - {name: word, type: String, max_length: 20, nullable: true}
  persistence: {database: {conformant_table: words}}
"""
CONFIG = """
connections: {database: {url: "sqlite:///words.db"}}
entities: entities
runtime: {web: {interfaces: [{kind: ingest, path: /in}]}}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GateProcess]:
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities" / "word.yaml").write_text(ENTITY)
    with gate_process(CONFIG, tmp_path) as started:
        yield started


def kept(gate: GateProcess) -> list[tuple[int, str | None]]:
    """The rows of the table."""
    with sqlite3.connect(gate.config.parent / "words.db") as database:
        rows = database.execute("select number, word from words order by number").fetchall()
    database.close()
    return rows


def ingest(
    gate: GateProcess, file: Path | str, *options: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return headgate("ingest", str(file), "--url", gate.url, "--path", "/in", *options, stdin=stdin)


def test_the_messages_of_a_file_are_kept(gate: GateProcess, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# numbers\nW|1|one\n\nW|2|two\nW|3|")
    done = ingest(gate, tmp_path / "words.txt")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"3 rows: 3 inserted\n")
    assert kept(gate) == [(1, "one"), (2, "two"), (3, None)]
    again = ingest(gate, tmp_path / "words.txt", "--json")
    told = {"processed": 3, "inserted": 0, "failed": 0, "duplicates": 3, "updated": 0, "errors_omitted": 0}
    assert (again.returncode, json.loads(again.stdout)) == (0, told | {"dry_run": False})
    updated = ingest(gate, "-", "--on-duplicate", "update", stdin=b"W|1|eins\nW|4|four\n")
    assert updated.stderr == b"2 rows: 1 inserted, 1 updated\n"
    assert kept(gate)[0] == (1, "eins")


def test_refused_lines_are_named_and_can_be_mended_and_sent_again(gate: GateProcess, tmp_path: Path) -> None:
    refused = tmp_path / "refused.txt"
    done = ingest(gate, "-", "--errors", str(refused), stdin=b"W|1|one\r\n\nW|x|\xc3\xa4\nX|3|three\n")
    assert done.returncode == 1
    first, second, last = done.stderr.decode().splitlines()
    assert first.startswith('line 3: number must be an integer of 64 bits, not "x"')
    assert second.startswith('line 4: a message begins with W and |, not with "X"')
    assert last == "3 rows: 1 inserted, 2 refused"
    assert refused.read_text() == f"# {first}\nW|x|ä\n# {second}\nX|3|three\n"
    refused.write_text(refused.read_text().replace("W|x|", "W|2|").replace("\nX|", "\nW|"))
    assert ingest(gate, refused).returncode == 0
    assert kept(gate) == [(1, "one"), (2, "ä"), (3, "three")]


@pytest.mark.parametrize(
    ("name", "text", "named", "refused"),
    [
        ("words.csv", 'word,number\n"o\nne",1\nx,y\n', "line 4: number", "word,number\nx,y\n"),
        ("words.ndjson", '{"number": 1, "word": "o\\nne"}\n{"number": "y"}\n', "line 2: number", '{"number": "y"}\n'),
        ("words.json", '[{"number": 1,\n"word": "o\\nne"}, {"number": "y"}]', "item 2: number", '{"number": "y"}\n'),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_files_of_other_forms_are_read(
    gate: GateProcess, tmp_path: Path, name: str, text: str, named: str, refused: str, zipped: bool
) -> None:
    file = tmp_path / (f"{name}.gz" if zipped else name)
    file.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    done = ingest(gate, file, "--entity", "Word", "--errors", str(tmp_path / "refused"))
    assert done.returncode == 1
    assert done.stderr.decode().startswith(named)
    assert done.stderr.decode().endswith("2 rows: 1 inserted, 1 refused\n")
    assert (tmp_path / "refused").read_text() == refused
    assert kept(gate) == [(1, "o\nne")]


def test_all_or_nothing_is_meant_of_the_whole_file(gate: GateProcess, tmp_path: Path) -> None:
    lines = [f"W|{number}|{'x' * 15}\n" for number in range(500_000)]  # more than one portion
    (tmp_path / "words.txt").write_text("".join(lines) + "W|1\n")
    done = ingest(gate, tmp_path / "words.txt", "--mode", "atomic")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "nothing was kept: 1 message was refused",
        "line 500001: expected 2 fields after W, found 1",
        "500,001 rows: 0 inserted, 1 refused",
    ]
    assert kept(gate) == []
    tried = ingest(gate, "-", "--dry-run", stdin=b"W|1|\nW|1|\n")
    assert tried.stderr == b"2 rows: 1 inserted, 1 there already; a dry run: nothing was kept\n"
    assert kept(gate) == []
    assert sorted(path.name for path in tmp_path.glob("words.txt*")) == ["words.txt"]


def test_a_gate_that_dies_and_comes_back_gets_each_message_once(gate: GateProcess) -> None:
    command = [sys.executable, "-m", "headgate", "ingest", "-", "--url", gate.url, "--path", "/in", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sending:
        assert sending.stdin is not None
        assert sending.stdout is not None
        assert sending.stderr is not None
        for number in range(1, 4):
            sending.stdin.write(b"W|%d|\n" % number)
            sending.stdin.flush()
            assert wait_until(lambda number=number: len(kept(gate)) == number, within=10)  # type: ignore[misc]
        gate.kill()
        sending.stdin.write(b"W|4|\n")
        sending.stdin.close()
        assert b"trying again" in sending.stderr.readline()
        gate.start()
        told = json.loads(sending.stdout.read())
        assert (sending.wait(20), told["processed"], told["inserted"]) == (0, 4, 4)


async def test_an_interrupted_file_is_gone_on_with(tmp_path: Path) -> None:
    lines = [f"line {number:>20}" for number in range(500_000)]  # more than one portion
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    async with keeping(None, "keep and hold") as keeper:
        command = ["-m", "headgate", "ingest", str(tmp_path / "lines.txt"), "--url", keeper.url]
        sending = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(20):
            while len(keeper.bodies) < 2:
                await asyncio.sleep(0.01)
        sending.send_signal(signal.SIGINT)
        _, told = await sending.communicate()
        first = keeper.bodies[0].count(b"\n")
        assert sending.returncode == 130
        going_on = f"{first:,} messages are settled, and the same command goes on from line {first + 1}"
        assert told.decode() == f"headgate: interrupted; {going_on}\n"
        assert (tmp_path / "lines.txt.headgate-progress").exists()
        # From another place, too: only the file counts, not where it lies.
        shutil.move(tmp_path / "lines.txt", tmp_path / "moved.txt")
        state = ["--state", str(tmp_path / "lines.txt.headgate-progress")]
        again = ["-m", "headgate", "ingest", str(tmp_path / "moved.txt"), "--url", keeper.url, *state]
        second = await asyncio.create_subprocess_exec(sys.executable, *again, stderr=asyncio.subprocess.PIPE)
        _, told = await second.communicate()
        assert second.returncode == 0
        assert told.decode() == f"goes on from line {first + 1}\n500,000 rows: 500,000 inserted\n"
        assert keeper.lines == lines
    assert [path.name for path in tmp_path.iterdir()] == ["moved.txt"]


def test_a_gate_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("W|1|\n")
    url = f"http://127.0.0.1:{free_port()}"
    done = headgate("ingest", str(tmp_path / "words.txt"), "--url", url)
    assert done.returncode == 1
    assert done.stderr.decode() == f"headgate: no gate answers at {url}/ingest/batch: All connection attempts failed\n"


def test_a_place_where_there_is_no_such_interface_is_told(gate: GateProcess) -> None:
    done = headgate("ingest", "-", "--url", gate.url, stdin=b"W|1|\n")
    assert done.returncode == 1
    told = f"headgate: there is no ingest interface at {gate.url}/ingest/batch; say where it is with --path\n"
    assert done.stderr.decode() == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no.such"], "headgate: cannot read no.such: No such file or directory"),
        (["/"], "headgate: cannot read /: Is a directory"),
        (["-", "--entity", "Nobody"], "headgate: there is no entity 'Nobody' here; there are Word"),
    ],
)
def test_wrong_usage_is_told(gate: GateProcess, arguments: list[str], told: str) -> None:
    done = ingest(gate, arguments[0], *arguments[1:], stdin=b"W|1|\n")
    assert done.returncode == 1
    assert done.stderr.decode().startswith(told)


def test_standard_input_keeps_no_place(tmp_path: Path) -> None:
    done = headgate("ingest", "-", "--state", str(tmp_path / "state"), stdin=b"W|1|\n")
    assert done.returncode == 2
    assert b"leave --state out" in done.stderr


def test_only_the_first_of_many_errors_are_shown(gate: GateProcess) -> None:
    done = ingest(gate, "-", stdin=b"W|x|\n" * 30)
    lines = done.stderr.decode().splitlines()
    assert (len(lines), lines[10:]) == (12, ["... and 20 more", "30 rows: 0 inserted, 30 refused"])


def test_what_was_counted_is_what_the_gate_counts(gate: GateProcess) -> None:
    ingest(gate, "-", stdin=b"W|1|\nW|x|\n")
    stats = httpx2.get(f"{gate.url}/stats", trust_env=False).json()
    assert (stats["total_messages_processed"], stats["errors"]) == (1, 1)


def test_a_file_goes_straight_into_the_database_that_a_configuration_names(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text(config("sqlite:///store.db"))
    (tmp_path / "base.txt").write_text(BASE)
    for inserted in (6, 0):
        done = headgate("ingest", "base.txt", "-c", "gate.yaml", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["inserted"] == inserted
    bad = headgate("ingest", "-", "-c", "gate.yaml", stdin=f"{order(1)}\n{order(2, customer=9)}".encode(), cwd=tmp_path)
    assert bad.returncode == 1
    assert b"line 2: Foreign key violation: customer_key=9 not found" in bad.stderr
    (tmp_path / "plain.yaml").write_text("service: {name: x}\n")
    none = headgate("ingest", "base.txt", "-c", "plain.yaml", cwd=tmp_path)
    assert (none.returncode, b"no interface of kind ingest" in none.stderr) == (1, True)


def test_dead_letters_are_sent_once_more_when_what_they_lacked_is_there(tmp_path: Path) -> None:
    streams = "streams: {refused: {transport: log, codec: text}}"
    text = config("sqlite:///store.db", interface=", dead_letters: refused", more=streams)
    (tmp_path / "gate.yaml").write_text(text)
    body = f"{BASE}{order(1, customer=101)}\n{order(2, customer=102)}\nZ|1\n"
    first = headgate("ingest", "-", "-c", "gate.yaml", stdin=body.encode(), cwd=tmp_path)
    assert first.returncode == 1
    customer = BASE.splitlines()[2].replace("C|100|", "C|101|")
    assert headgate("ingest", "-", "-c", "gate.yaml", stdin=customer.encode(), cwd=tmp_path).returncode == 0
    for inserted, failed in ((1, 2), (0, 2)):
        again = headgate("ingest", "refused", "--replay", "-c", "gate.yaml", "--json", cwd=tmp_path)
        counts = json.loads(again.stdout)
        assert (counts["inserted"], counts["failed"]) == (inserted, failed), again.stderr
