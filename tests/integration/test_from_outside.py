"""The block "From outside, these must work" of the issue, as somebody would type it."""

import json
from pathlib import Path

from tests.gates.process import GateProcess, headgate
from tests.services.daemon import free_port


def test_everything_that_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    (tmp_path / "log.yaml").write_text("streams: {orders: {transport: log, codec: text}}\n")
    lines = [f"order {number}: grün" for number in range(2000)]
    gate = GateProcess(tmp_path / "log.yaml", port=free_port())
    try:
        gate.start()
        sent = headgate("send", "orders", "--url", gate.url, "--file", "-", stdin="\n".join(lines).encode())
        assert (sent.returncode, sent.stderr) == (0, b"2000 of 2000 messages acknowledged\n")
        gate.kill()
        gate.start()
        tailed = headgate("tail", "orders", "--url", gate.url, "--from", "oldest", "--limit", "2000", "--json")
        assert tailed.returncode == 0
        assert [json.loads(line)["value"] for line in tailed.stdout.splitlines()] == lines
        assert gate.stop() == 0
    finally:
        gate.close()


def test_a_wrong_word_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("streams:\n  orders:\n    transprt: log\n")
    done = headgate("check", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.decode().splitlines()
    assert line.startswith('bad.yaml:3:5: unknown key "transprt"')
    assert line.endswith('did you mean "transport"?')
