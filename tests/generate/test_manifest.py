"""Writing again: what was changed by hand stays, and a diff says what would have come."""

from pathlib import Path

import pytest

from headgate.errors import HeadgateError
from headgate.generate.manifest import NAME, write


def test_what_is_as_it_was_is_written_again(tmp_path: Path) -> None:
    first = write(tmp_path / "deep" / "server", {"a.py": "1\n", "b.sh": "2\n"}, force=False)
    assert (first.written, first.diffs) == (["a.py", "b.sh"], [])
    assert (tmp_path / "deep" / "server" / "b.sh").stat().st_mode & 0o111
    again = write(tmp_path / "deep" / "server", {"a.py": "1\n", "b.sh": "3\n"}, force=False)
    assert (again.written, again.unchanged, again.kept) == (["b.sh"], ["a.py"], [])
    assert again.diffs == ["--- b.sh\n+++ b.sh (new)\n@@ -1 +1 @@\n-2\n+3\n"]


def test_what_was_changed_by_hand_stays_until_it_is_forced(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "1\n"}, force=False)
    (tmp_path / "a.py").write_text("mine\n")
    for _ in range(2):
        done = write(tmp_path, {"a.py": "2\n"}, force=False)
        assert (done.written, done.kept) == ([], ["a.py"])
        assert (tmp_path / "a.py").read_text() == "mine\n"
    assert write(tmp_path, {"a.py": "2\n"}, force=True).written == ["a.py"]
    assert write(tmp_path, {"a.py": "3\n"}, force=False).written == ["a.py"]


def test_a_file_that_was_never_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("theirs\n")
    (tmp_path / NAME).write_text("no json")
    assert write(tmp_path, {"main.py": "ours\n"}, force=False).kept == ["main.py"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadgateError, match="cannot write to"):
        write(tmp_path / "file" / "server", {"a.py": ""}, force=False)
