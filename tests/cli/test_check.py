"""`headgate check`: everything that is wrong, with its place."""

import json
from pathlib import Path

from tests.gates.process import headgate

BAD = """\
# a stream on kafka
streams:
  # not a word that is known:
  orders:
    transprt: kafka
    delivery: both
"""
BAD_OF_THE_ISSUE = """\
streams:
  orders:
    transprt: kafka
"""
GOOD = "streams: {orders: {}, more: {}}\nruntime: {web: {interfaces: [{kind: messages, path: /m, stream: orders}]}}\n"


def test_an_unknown_key_is_told_with_its_place_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD_OF_THE_ISSUE)
    done = headgate("check", "bad.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith('bad.yaml:3:5: unknown key "transprt"')
    assert line.endswith('did you mean "transport"?')


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    lines = headgate("check", "bad.yaml", cwd=tmp_path).stderr.decode().splitlines()
    assert [line.split(" ")[0] for line in lines] == ["bad.yaml:5:5:", "bad.yaml:6:15:"]


def test_what_is_wrong_is_told_to_scripts(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD_OF_THE_ISSUE)
    done = headgate("check", "bad.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    [problem] = json.loads(done.stdout)["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("bad.yaml", 3, 5)
    assert problem["message"].startswith('unknown key "transprt"')


def test_a_file_that_is_fine_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = headgate("check", "good.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"good.yaml: fine (2 streams, 0 nodes, 1 interfaces)\n"


def test_a_file_that_is_fine_is_shown_to_scripts(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = headgate("check", "good.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert list(json.loads(done.stdout)["streams"]) == ["orders", "more"]


def test_an_overlay_is_laid_over(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "over.yaml").write_text("streams: {orders: {codec: jason}}\n")
    done = headgate("check", "good.yaml", "-c", "over.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("over.yaml:1:27: ")


def test_a_node_that_cannot_work_is_found_before_it_is_run(tmp_path: Path) -> None:
    (tmp_path / "plant.py").write_text("from headgate import node\n@node(input='ordres')\ndef f(x): pass\n")
    (tmp_path / "nodes.yaml").write_text("streams: {orders: {}}\nruntime: {discovery_modules: [plant]}\n")
    done = headgate("check", "nodes.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode() == "headgate: node 'f' names stream 'ordres', but the file declares: orders\n"


def test_a_module_with_a_mistake_is_told_with_its_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "plant.py").write_text("from headgate import node\ndef f(:\n")
    (tmp_path / "nodes.yaml").write_text("runtime: {discovery_modules: [plant]}\n")
    done = headgate("check", "nodes.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "plant.py:2: invalid syntax" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_file_that_is_not_there_is_2(tmp_path: Path) -> None:
    done = headgate("check", "none.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode() == "none.yaml:1:1: this file cannot be read: No such file or directory\n"


def test_an_interface_that_serves_nothing_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "seed.yaml").write_text("runtime:\n  web:\n    interfaces:\n      - kind: http\n")
    done = headgate("check", "seed.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.decode().startswith('warning: seed.yaml:4:9: the interface "kind: http" has no path')


def test_entities_are_checked_and_counted(tmp_path: Path) -> None:
    (tmp_path / "layouts").mkdir()
    note = tmp_path / "layouts" / "note.yaml"
    note.write_text("entity: {name: Note, fields: [{name: text, type: String}]}\n")
    (tmp_path / "good.yaml").write_text("entities: layouts\n")
    done = headgate("check", "good.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"good.yaml: fine (0 streams, 0 nodes, 0 interfaces, 1 entities)\n")
    assert done.stderr == b""
    note.write_text("entity:\n  nam: Note\n")
    done = headgate("check", "good.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        'layouts/note.yaml:1:1: entity needs the key "name"',
        'layouts/note.yaml:2:3: unknown key "nam" in entity; did you mean "name"?',
    ]


def test_entities_are_shown_to_scripts_in_short(tmp_path: Path) -> None:
    (tmp_path / "note.yaml").write_text("entity: {name: Note, fields: [{name: text, type: String}]}\n")
    (tmp_path / "good.yaml").write_text("entities: [note.yaml]\n")
    done = headgate("check", "good.yaml", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["entities"] == [{"name": "Note", "prefixes": ["N"], "table": None}]
