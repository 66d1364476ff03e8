"""Checkpoints: kept, found again, and refused when the file or the question is another one."""

import io
from pathlib import Path

import pytest

from headgate.client.checkpoint import Checkpoint, load, save
from headgate.client.portions import Portion
from headgate.errors import BadRequest, HeadgateError

ASKED = {"url": "http://here", "path": "/ingest"}
FILE = b"1\n2\n3\n"
SECOND = Portion(b"2\n", offset=2, first_line=2, breaks=1)


def test_what_was_settled_is_found_again(tmp_path: Path) -> None:
    begun = Checkpoint(ASKED, offset=2, line=2, counts={"processed": 1})
    save(tmp_path / "state", begun.settled(SECOND, {"processed": 1, "failed": 1}, 30))
    found = load(tmp_path / "state", ASKED, io.BytesIO(FILE))
    assert found is not None
    assert (found.run, found.offset, found.line, found.refused_bytes) == (begun.run, 4, 3, 30)
    assert found.counts == {"processed": 2, "failed": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_where_there_is_none_nothing_is_found(tmp_path: Path) -> None:
    assert load(tmp_path / "state", ASKED, io.BytesIO(FILE)) is None


def test_two_runs_have_names_of_their_own() -> None:
    assert Checkpoint(ASKED).run != Checkpoint(ASKED).run


def test_another_question_is_refused_once_something_was_settled(tmp_path: Path) -> None:
    other = {**ASKED, "url": "http://there", "mode": "atomic"}
    save(tmp_path / "state", Checkpoint(ASKED))
    assert load(tmp_path / "state", other, io.BytesIO(FILE)) is None
    save(tmp_path / "state", Checkpoint(ASKED).settled(SECOND, {}, 0))
    with pytest.raises(
        BadRequest, match=r"another run \(mode not given, url http://here\); go on with that, or remove"
    ):
        load(tmp_path / "state", other, io.BytesIO(FILE))


@pytest.mark.parametrize("file", [b"1\n3\n3\n", b"1\n", b""])
def test_another_file_is_refused(tmp_path: Path, file: bytes) -> None:
    save(tmp_path / "state", Checkpoint(ASKED).settled(SECOND, {}, 0))
    with pytest.raises(BadRequest, match="the file has changed since"):
        load(tmp_path / "state", ASKED, io.BytesIO(file))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"asked": 1}'])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").write_text(text)
    with pytest.raises(BadRequest, match=r"cannot be read.*remove it to begin again"):
        load(tmp_path / "state", ASKED, io.BytesIO(FILE))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(HeadgateError, match=r"cannot write .*: No such file or directory"):
        save(tmp_path / "missing" / "state", Checkpoint(ASKED))
