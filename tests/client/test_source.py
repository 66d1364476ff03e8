"""Sources: files of every form, unpacked, and what cannot be read."""

import gzip
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate.client.source import Form, Source, open_source
from headgate.errors import HeadgateError

NOTHING = io.BytesIO()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def read(source: Source, *, whole: bool = False) -> bytes:
    portions = source.portions(whole=whole)
    return b"".join(bytes(portion.data) for portion in iter(portions.take, None))


@pytest.mark.parametrize(
    ("name", "form", "media"),
    [
        ("x.txt", Form.TEXT, "text/plain"),
        ("x.tbl", Form.TEXT, "text/plain"),
        ("x", Form.TEXT, "text/plain"),
        ("x.csv", Form.CSV, "text/csv"),
        ("x.ndjson", Form.NDJSON, "application/x-ndjson"),
        ("x.jsonl", Form.NDJSON, "application/x-ndjson"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_the_name_says_the_form(
    tmp_path: Path, stack: ExitStack, name: str, form: Form, media: str, whole: bool
) -> None:
    for path, data in ((tmp_path / name, b"1\n"), (tmp_path / f"{name}.gz", gzip.compress(b"1\n"))):
        path.write_bytes(data)
        source = open_source(str(path), None, stack, NOTHING, whole=whole)
        assert (source.form, source.form.media, source.path) == (form, media, path)
        assert read(source, whole=whole) == b"1\n"


def test_who_names_the_form_is_heard(tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "x.txt").write_bytes(b"a\n1\n")
    assert open_source(str(tmp_path / "x.txt"), Form.CSV, stack, NOTHING).form is Form.CSV


@pytest.mark.parametrize(
    ("document", "lines"),
    [(b'[{"a":\n 1},\r\n "\\n"]', b'{"a":  1}\n"\\n"\n'), (b' {"a": 1}\n', b'{"a": 1}\n'), (b"[]", b"")],
)
def test_a_json_document_becomes_lines(tmp_path: Path, stack: ExitStack, document: bytes, lines: bytes) -> None:
    (tmp_path / "x.json").write_bytes(document)
    source = open_source(str(tmp_path / "x.json"), None, stack, NOTHING)
    assert (source.form.media, read(source)) == ("application/x-ndjson", lines)
    assert source.share(len(lines)) == 1


def test_standard_input_has_no_path_and_no_known_size(stack: ExitStack) -> None:
    for whole in (False, True):
        source = open_source("-", None, stack, io.BytesIO(b"1\n2\n"), whole=whole)
        assert (source.path, source.share(2), read(source, whole=whole)) == (None, None, b"1\n2\n")


def test_how_much_lies_before_a_place(tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "x").write_bytes(b"1\n2\n")
    assert open_source(str(tmp_path / "x"), None, stack, NOTHING).share(2) == 0.5
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"1\n2\n"))
    source = open_source(str(tmp_path / "x.gz"), None, stack, NOTHING)
    assert source.share(0) == 0
    read(source)
    assert source.share(4) == 1


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("missing", None, "cannot read .*missing: No such file or directory"),
        ("x.gz", b"no gzip", "cannot read .*x.gz: Not a gzipped file"),
        ("x.gz", gzip.compress(b"1\n" * 100)[:-12], "cannot read .*x.gz: Compressed file ended"),
        ("x.json", b"{", "this is no JSON: "),
        ("x.json", b"1]", "this is no JSON: "),
        ("x.json", b"{},{}", "this is no JSON: "),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, stack: ExitStack, name: str, data: bytes | None, told: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(HeadgateError, match=told):  # noqa: PT012 - one of the two raises
        source = open_source(str(tmp_path / name), None, stack, NOTHING)
        with source.reading():
            read(source)
