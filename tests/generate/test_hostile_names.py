"""Whatever names and words entities have, what is written for them is data in it, and never more."""

import ast
import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.entity import Kind, Storage
from headgate.core.table import Dialect
from headgate.errors import HeadgateError
from headgate.generate.server import server_files
from tests.layouts import entity, field

NASTY = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "\"'`\\{}%$();#|\n\r\t -_.é😀")
    | st.characters(codec="utf-8"),
    min_size=1,
    max_size=30,
)
EVIL = [
    '"; import os; os._exit(3) #',
    "'''",
    '"""',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "$(exit 3)",
    "`exit 3`",
    "\\",
    "'; DROP TABLE x; --",
]


def server(name: str, word: str, dialect: Dialect) -> dict[str, str]:
    made = entity(
        name,
        "P",
        replace(field("key", Kind.INTEGER), column=word),
        field("note", Kind.TEXT, choices=(word, "x"), doc=word),
        field(name, Kind.TEXT, nullable=True, doc=word),
        field("made", Kind.TEXT, constant=word),
        storage=Storage(word, (word,), unique=("note",)),
    )
    return server_files([made], dialect, 8080)


@settings(max_examples=50, deadline=None)
@given(NASTY, NASTY, st.sampled_from(list(Dialect)))
def test_names_and_words_are_literals(name: str, word: str, dialect: Dialect) -> None:
    files = server(name, word, dialect)
    found: set[str] = set()
    for file, text in files.items():
        if file.endswith(".py"):
            tree = ast.parse(text)
            found |= {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            if file == "models.py":  # an alias stands where a name is none of Python's
                assert {call.func.id for call in ast.walk(tree) if isinstance(call, ast.Call)} <= {
                    "Field",
                    "ConfigDict",
                }
            else:
                assert shape(text) == shape(server("Plain", "word", dialect)[file]), file
    assert {name, word} <= found


def shape(text: str) -> list[str]:
    """The kinds of all nodes of a program, without what its names and texts are."""
    return sorted(type(node).__name__ for node in ast.walk(ast.parse(text)) if not isinstance(node, ast.keyword))


@pytest.mark.parametrize("word", EVIL)
def test_a_server_with_evil_words_starts_and_does_nothing_else(word: str, tmp_path: Path) -> None:
    for file, text in server("Evil", word, Dialect.SQLITE).items():
        (tmp_path / file).write_text(text)
    program = "import database; d = database.Database('sqlite:///' + 'x.db'); d.open(); print('fine')"
    environ = {"DATABASE_URL": "sqlite:///x.db", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    script = (tmp_path / "test_ingestion.sh").read_text()
    checked = subprocess.run(["sh", "-n", "-c", script], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_names_that_python_cannot_tell_apart_are_refused() -> None:
    key = field("key", Kind.INTEGER)
    made = [entity(name, prefix, key, storage=Storage(name, ("key",))) for name, prefix in (("A b", "A"), ("A-b", "B"))]
    with pytest.raises(HeadgateError, match="cannot tell apart"):
        server_files(made, Dialect.SQLITE, 8080)


def test_nothing_to_keep_is_nothing_to_serve() -> None:
    with pytest.raises(HeadgateError, match="none of these entities has a table"):
        server_files([entity("A", "A", field("key", Kind.INTEGER))], Dialect.SQLITE, 8080)
