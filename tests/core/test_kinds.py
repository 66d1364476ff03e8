"""The kinds: what a field accepts, refuses, reads and writes; patterns and explanations are of one mind."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.entity import Field, Kind, Value
from headgate.core.kinds import expected, explain, read, shown, text_of, write
from headgate.core.patterns import pattern
from tests.layouts import field

CHARACTER = r"[^|\n\r\0\ud800-\udfff]"
FIELDS = [
    field("text", Kind.TEXT, min_length=2, max_length=5),
    field("any", Kind.TEXT),
    field("choice", Kind.TEXT, choices=("A", "AB", "a.b", "né"), nullable=True),
    field("integer", Kind.INTEGER),
    field("small", Kind.INTEGER, minimum=-128, maximum=127, nullable=True),
    field("decimal", Kind.DECIMAL, precision=5, scale=2),
    field("fraction", Kind.DECIMAL, precision=3, scale=3, nullable=True),
    field("whole", Kind.DECIMAL, precision=4),
    field("free", Kind.DECIMAL),
    field("float", Kind.FLOAT, nullable=True),
    field("boolean", Kind.BOOLEAN),
    field("date", Kind.DATE, nullable=True),
    field("time", Kind.TIMESTAMP),
    field("uuid", Kind.UUID),
]
BY_NAME = {f.name: f for f in FIELDS}

GOOD = [
    ("text", ["ab", "abcde", "é€😀", "a b", "\\N", "\\\\"]),
    ("any", ["a" * 5000, "\x01\x7f\x85\u2028"]),
    ("choice", ["", "A", "AB", "a.b", "né"]),
    ("integer", ["0", "-1", "9223372036854775807", "-9223372036854775808"]),
    ("small", ["", "-128", "127", "0"]),
    ("decimal", ["0", "-0", "999.99", "-999.9", "0.00", "12"]),
    ("fraction", ["", "0", "0.999", "-0.001"]),
    ("whole", ["9999", "-1"]),
    ("free", ["9" * 38 + "." + "9" * 38, "0"]),
    (
        "float",
        ["", "0", "-1.5", "1e307", "9.99e-307", "1E+07", "5.0e-05", "1e0", "0.0", "9" * 300, "0." + "0" * 299 + "1"],
    ),
    ("boolean", ["true", "FALSE", "t", "F", "1", "0", "yes", "N", "no", "Y"]),
    ("date", ["", "2000-02-29", "2024-02-29", "0001-01-01", "9999-12-31", "1996-01-30", "1996-12-31", "0004-02-29"]),
    (
        "time",
        [
            "1996-01-02T03:04",
            "1996-01-02 03:04:05.123456Z",
            "2000-02-29T23:59:59+14:59",
            "1996-01-02T03:04:05-05:30",
            "9999-12-31T23:59:59Z",
            "0001-01-01T00:00",
            "9999-12-30T23:59:59-14:00",
        ],
    ),
    ("uuid", ["123e4567-e89b-12d3-a456-426614174000", "ABCDEF00-0000-0000-0000-000000000000"]),
]
BAD = [
    ("text", ["", "a", "abcdef", "a\0b", "a\ud800"]),
    ("choice", ["B", "ABA", "axb", "a", " A"]),
    ("integer", ["9223372036854775808", "-9223372036854775809", "9" * 5000]),
    ("integer", ["", "1.0", "1e5", "01", "-0", "+1", "٣", "NaN"]),
    ("small", ["128", "-129", "1000"]),
    ("decimal", ["", "1000", "0.001", "1e5", "NaN", "Infinity", ".5", "5.", "1,5", "00", "-", "+1", "٣"]),
    ("fraction", ["1", "0.9999"]),
    ("whole", ["10000", "1.0"]),
    ("free", ["9" * 39, "0." + "1" * 39]),
    ("float", ["1e308", "1e-308", "0e5", "10e5", "nan", "inf", "1e", "1e0000005", "1e005", "1f"]),
    ("float", ["0." + "1" * 301, "9" * 301]),
    ("boolean", ["", "2", "on", "tr", "ye", "truee", "ｔ"]),
    (
        "date",
        ["1900-02-29", "2023-02-29", "0000-01-01", "2100-02-29", "1996-04-31", "1996-13-01", "1996-00-01", "1996-01-00",
         "19960102", "1996-1-2", "1996-01-32", "0000-02-29", "1996-W01-1", "10000-01-01"],
    ),
    (
        "time",
        ["", "1996-01-02", "1996-01-02T24:00", "1996-01-02T23:60", "1996-01-02T23:59:60", "1996-02-30T00:00",
         "1996-01-02T03:04:05.1234567", "1996-01-02T03:04:05.", "1996-01-02T03:04+15:00", "1996-01-02T03:04+14:60",
         "1996-01-02T03:04z", "1996-01-02t03:04", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00+00:01", "1996-01-02T"],
    ),
    ("uuid", ["", "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g", "-" * 36]),
]  # fmt: skip


def accepts(tried: Field, text: str) -> bool:
    return re.fullmatch(f"(?>{pattern(tried, CHARACTER)}[|])", f"{text}|") is not None


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD for text in texts])
def test_what_fits_is_accepted_and_read(name: str, text: str) -> None:
    assert explain(BY_NAME[name], text) is None
    assert accepts(BY_NAME[name], text)
    assert (read(BY_NAME[name], text) is None) == (text == "")


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD for text in texts])
def test_what_does_not_fit_is_refused_and_explained(name: str, text: str) -> None:
    assert explain(BY_NAME[name], text)
    assert not accepts(BY_NAME[name], text)


ALPHABET = st.sampled_from(
    [*"0123456789.-+:TZ eEabtrufyn", "é", "😀", "٣", "|", "\n", "\r", "\0", "\\", "\ud800", "A", "B"]
)
NEAR = st.sampled_from([text for _, texts in GOOD + BAD for text in texts if len(text) < 50])


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(NEAR)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(["", "0", "1", "9"]) | ALPHABET) + text[at + draw(st.integers(0, 2)) :]


@settings(max_examples=2000)
@given(
    NEAR
    | mutated()
    | st.text(ALPHABET, max_size=30)
    | st.dates().map(str)
    | st.integers().map(str)
    | st.floats().map(str)
)
def test_a_pattern_accepts_what_nothing_can_be_said_against(text: str) -> None:
    if not set("|\n\r") & set(text):
        for tried in FIELDS:
            assert accepts(tried, text) == (explain(tried, text) is None), tried.name


READ: list[tuple[str, str, Value]] = [
    ("any", "a", "a"),
    ("integer", "-5", -5),
    ("decimal", "1.50", Decimal("1.50")),
    ("float", "1.5e-7", 1.5e-7),
    ("boolean", "No", False),
    ("boolean", "1", True),
    ("date", "2000-02-29", date(2000, 2, 29)),
    ("time", "2000-02-29 01:02", datetime(2000, 2, 29, 1, 2, tzinfo=UTC)),
    ("time", "2000-02-29T01:02:03.5+01:30", datetime(2000, 2, 29, 1, 2, 3, 500_000, timezone(timedelta(minutes=90)))),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000", UUID("123e4567-e89b-12d3-a456-426614174000")),
]


@pytest.mark.parametrize(("name", "text", "value"), READ)
def test_a_text_is_read_as_its_value_and_written_again(name: str, text: str, value: Value) -> None:
    assert read(BY_NAME[name], text) == value
    written = write(BY_NAME[name], value)
    assert written is not None
    assert read(BY_NAME[name], written) == value


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-9e306, max_value=9e306))
def test_a_float_of_json_comes_back_as_it_was(value: float) -> None:
    written = write(BY_NAME["float"], value)
    assert written is not None
    if value == 0 or abs(value) > 1e-307:
        assert explain(BY_NAME["float"], written) is None
        assert read(BY_NAME["float"], written) == value


JSON = {kind: field("json", kind) for kind in (Kind.JSON, Kind.OBJECT, Kind.TEXT_LIST, Kind.OBJECT_LIST)}


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        (Kind.JSON, '{"a": [1, "\\\\u0000"]}', None),
        (Kind.JSON, "1e400", "must be JSON"),
        (Kind.JSON, '"\\u0000"', "must be JSON without NUL"),
        (Kind.JSON, '"\\ud800"', "must be JSON"),
        (Kind.JSON, '"\ud800"', "must be JSON"),
        (Kind.JSON, "{", "must be JSON"),
        (Kind.JSON, "1e-99999", "must be JSON with numbers of fewer digits"),
        (Kind.JSON, '{"1e-99999": "\\"1e-99999"}', None),
        (Kind.JSON, f"[{'1' * 1000}]", "must be JSON with numbers of fewer digits"),
        (Kind.OBJECT, "{}", None),
        (Kind.OBJECT, "[]", "must be a JSON object"),
        (Kind.TEXT_LIST, '["a"]', None),
        (Kind.TEXT_LIST, "[1]", "must be a JSON array of strings"),
        (Kind.OBJECT_LIST, "[{}]", None),
        (Kind.OBJECT_LIST, "{}", "must be a JSON array of objects"),
    ],
)
def test_json_has_the_shape_that_the_type_says(kind: Kind, text: str, wrong: str | None) -> None:
    found = explain(JSON[kind], text)
    assert found == wrong if wrong is None else str(found).startswith(wrong)


def test_json_is_read_and_written() -> None:
    assert read(JSON[Kind.OBJECT], '{"a": 1}') == {"a": 1}
    assert write(JSON[Kind.OBJECT], {"a": 1}) == '{"a":1}'


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("integer", 5, "5"),
        ("integer", "5", None),
        ("integer", 5.0, None),
        ("integer", True, None),
        ("decimal", 0.1, "0.1"),
        ("decimal", 1e-7, "0.0000001"),
        ("decimal", "0.10", "0.10"),
        ("decimal", Decimal("1E+2"), "100"),
        ("float", 5, "5"),
        ("float", "5", None),
        ("boolean", True, "true"),
        ("boolean", 1, None),
        ("boolean", "true", None),
        ("any", 5, None),
        ("any", None, ""),
        ("any", [], None),
        ("date", "1996-01-02", "1996-01-02"),
        ("date", 5, None),
    ],
)
def test_json_values_are_taken_by_their_type(name: str, value: object, text: str | None) -> None:
    assert write(BY_NAME[name], value) == text


def test_a_decimal_that_is_no_number_is_written_so_that_it_is_refused() -> None:
    assert explain(BY_NAME["decimal"], write(BY_NAME["decimal"], float("nan")) or "") is not None
    assert explain(BY_NAME["decimal"], write(BY_NAME["decimal"], "nonsense") or "") is not None


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), ("a", "a"), (True, "true"), (1, "1"), (1.5, "1.5"), ([1], "[1]"), ({}, "{}")]
)
def test_any_value_has_a_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_what_is_shown_is_short_and_on_one_line() -> None:
    assert shown("a\nb\0") == '"a\\nb\\x00"'
    assert shown("x" * 100) == '"' + "x" * 59 + '…"'


def test_what_a_field_accepts_is_told_in_words() -> None:
    assert expected(field("x", Kind.OBJECT)) == "a JSON object"
    assert expected(field("x", Kind.INTEGER, minimum=1, maximum=5)) == "an integer from 1 to 5"
    assert expected(field("x", Kind.TEXT, choices=("A", "B"))) == "one of A, B"
    assert expected(field("x", Kind.TEXT)) == "at least 1 characters"
    assert expected(field("x", Kind.TEXT, max_length=9)) == "1 to 9 characters"
