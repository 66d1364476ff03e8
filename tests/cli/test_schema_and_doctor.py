"""`headgate schema` and `headgate doctor`: for editors, and for whoever wonders what is wrong."""

import json
from pathlib import Path

from tests.gates.process import headgate
from tests.services.daemon import free_port


def test_the_schema_is_json_that_knows_the_words_of_the_file() -> None:
    done = headgate("schema")
    assert (done.returncode, done.stderr) == (0, b"")
    schema = json.loads(done.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"service", "streams", "connections", "runtime"} <= schema["properties"].keys()


def test_a_file_whose_streams_all_answer_is_well(tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text("streams: {notes: {}, jobs: {delivery: queue}}")
    done = headgate("doctor", "headgate.yaml", cwd=tmp_path)
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("ok    this machine: headgate 0.1.0, Python 3.")
    assert lines[1:] == [
        "ok    the plan: 2 streams, 0 nodes",
        "ok    stream notes (memory): 0 messages",
        "ok    stream jobs (memory): 0 messages",
    ]


def test_a_peer_that_is_away_is_named(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/streams/far/messages"
    (tmp_path / "headgate.yaml").write_text(f"streams: {{notes: {{}}, far: {{transport: http, url: '{url}'}}}}")
    done = headgate("doctor", "headgate.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 1
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["stream notes (memory)"]["ok"]
    assert not findings["stream far (http)"]["ok"]
    assert "does not answer" in findings["stream far (http)"]["detail"]


def test_a_node_that_cannot_work_is_named(tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text("streams: {notes: {}}\nnodes: {f: {input: notes}}")
    done = headgate("doctor", "headgate.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL  the plan: the file wires node 'f', but the discovery modules declare: none\n" in done.stdout.decode()


def test_a_file_that_is_wrong_is_2(tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text("streems: {}")
    done = headgate("doctor", "headgate.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
