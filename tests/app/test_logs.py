"""The log: one line per event, whatever is in it."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.app.logs import ConsoleLines, JsonLines, configure

ODD = 'a\r\nb\x00\x1b[31m\x9b\u2028\x85 ="c" \ud800 é'


def record(event: str = "done", *, error: BaseException | None = None, **facts: Any) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("headgate.x", logging.WARNING, "f.py", 1, event, None, info)
    made.created = 1_700_000_000.25
    vars(made).update(facts)
    return made


def raised(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_json_line_has_time_level_logger_event_and_facts() -> None:
    assert json.loads(JsonLines().format(record(stream="notes", count=3, share=0.5, ok=True, place=None))) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "logger": "headgate.x",
        "event": "done",
        "stream": "notes",
        "count": 3,
        "share": 0.5,
        "ok": True,
        "place": "None",
    }


def test_a_console_line_has_time_level_event_and_facts() -> None:
    line = ConsoleLines().format(record(stream="notes", why="two words"))
    assert line[12:] == ' warning done stream=notes why="two words"'


def test_a_traceback_is_part_of_the_json_line() -> None:
    line = JsonLines().format(record(error=raised(ODD)))
    assert "\n" not in line
    assert "ValueError" in json.loads(line)["traceback"]


def test_a_traceback_is_indented_on_the_console() -> None:
    lines = ConsoleLines().format(record(error=raised("a\n12:00:00.000 error   forged"))).split("\n")
    assert len(lines) > 2
    assert all(line.startswith("    ") for line in lines[1:])


def test_a_fact_cannot_pass_for_two() -> None:
    line = ConsoleLines().format(record(a="1 b=2", c='"', d="x=y"))
    assert line.endswith(r'a="1 b=2" c="\"" d="x=y"')


@given(st.text(), st.text(), st.integers() | st.floats() | st.binary() | st.text())
def test_no_fact_and_no_event_makes_a_second_line(event: str, fact: str, other: object) -> None:
    # Row 26 of RELIABILITY.md.
    made = record(event.replace("%", ""), fact=fact, other=other)
    for text in (JsonLines().format(made), ConsoleLines().format(made)):
        assert text.splitlines() == [text]
        assert text.isprintable()
        text.encode()
    assert json.loads(JsonLines().format(made))["level"] == "warning"


@given(st.text())
def test_no_error_makes_a_line_of_its_own(text: str) -> None:
    made = record(error=raised(text))
    assert JsonLines().format(made).splitlines() == [JsonLines().format(made)]
    _, *lines = ConsoleLines().format(made).split("\n")
    assert all(line.startswith("    ") and line.isprintable() for line in lines)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before."""
    logger = logging.getLogger()
    before = (list(logger.handlers), logger.level)
    yield logger
    logger.handlers[:], level = before
    logger.setLevel(level)


def test_everything_goes_to_standard_error(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(level="info", form="json")
    logging.getLogger("headgate.x").info("hello", extra={"who": ODD})
    logging.getLogger("headgate.x").debug("not this")
    logging.getLogger("httpx2").info("nor this")
    out, error = capsys.readouterr()
    assert out == ""
    [line] = error.rstrip("\n").split("\n")
    assert json.loads(line)["event"] == "hello"


def test_configuring_again_changes_level_and_form(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="error", form="json")
    configure(level="debug", form="console")
    logging.getLogger("headgate.x").debug("hello")
    assert capsys.readouterr().err.endswith(" debug   hello\n")
    assert len(root.handlers) == 1
