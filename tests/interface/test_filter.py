"""The filters of an interface: what is read from what a client asks for, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.match import Facet, Kind, Selection, Source
from headgate.errors import InvalidParameter
from headgate.interface.filter import LONGEST, MOST_VALUES, Filter, selection

KEY = Facet(Source.KEY)
LEVEL = Facet(Source.FIELD, ("state", "level"), kind=Kind.INTEGER)
HEAT = Facet(Source.FIELD, ("heat",), kind=Kind.NUMBER)
HOT = Facet(Source.FIELD, ("hot",), kind=Kind.BOOLEAN)
FILTERS = [
    Filter("asset", KEY, required=True),
    Filter("level", LEVEL),
    Filter("heat", HEAT),
    Filter("hot", HOT),
    Filter("kind", Facet(Source.FIELD, ("kind",)), enum=("a", "b")),
    Filter("code", Facet(Source.HEADER, ("code",)), pattern="[A-Z]{2}[0-9]+", meaning="A code."),
]
BY_NAME = {item.name: item for item in FILTERS}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("asset", "P 1/é", "P 1/é"),
        ("level", "7", 7),
        ("level", "-7", -7),
        ("level", "7.0", 7),
        ("level", "7e2", 700),
        ("heat", "1.5", 1.5),
        ("heat", "2", 2),
        ("heat", "-1.5E-3", -0.0015),
        ("hot", "true", True),
        ("hot", "false", False),
        ("kind", "a", "a"),
        ("code", "AB12", "AB12"),
    ],
)
def test_a_text_becomes_a_value_of_its_type(name: str, text: str, value: Any) -> None:
    read = BY_NAME[name].read(text)
    assert (read, type(read) is bool) == (value, type(value) is bool)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("asset", "x" * (LONGEST + 1)),
        ("level", "7.5"),
        ("level", "1e-1"),
        ("level", "seven"),
        ("level", "9" * 19),
        ("level", "٣"),
        ("level", " 7"),
        ("level", "7\n"),
        ("heat", "nan"),
        ("heat", "inf"),
        ("heat", "1e400"),
        ("heat", "0x1"),
        ("heat", "1_000"),
        ("hot", "True"),
        ("hot", "1"),
        ("kind", "c"),
        ("code", "AB12\n"),
        ("code", "xAB12"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused_with_the_name(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"'{name}' must be") as refused:
        BY_NAME[name].read(text)
    assert len(str(refused.value)) < 300


@given(st.text(max_size=40))
def test_no_text_is_more_than_refused(text: str) -> None:
    for item in FILTERS:
        try:
            item.read(text)
        except InvalidParameter:
            continue


def test_a_selection_has_the_values_of_each_filter_that_is_asked_for() -> None:
    wanted = selection(FILTERS, {"asset": ["P", "Q", "P"], "level": ["1", "1.0"], "hot": [""]})
    assert wanted == Selection({KEY: frozenset({"P", "Q"}), LEVEL: frozenset({1})})


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({}, "'asset' is missing"),
        ({"asset": []}, "'asset' is missing"),
        ({"asset": [""]}, "'asset' is missing"),
        ({"asset": ["P"], "colour": ["red"]}, "'colour' is unknown here; there are asset, level"),
        ({"asset": ["P"], "x" * 500: [""]}, "is unknown here"),
        ({"asset": [str(n) for n in range(MOST_VALUES + 1)]}, f"{MOST_VALUES + 1} combinations"),
        ({"asset": [str(n) for n in range(33)], "level": ["1", "2"]}, "66 combinations"),
    ],
)
def test_what_cannot_be_selected_is_refused(asked: dict[str, list[str]], word: str) -> None:
    with pytest.raises(InvalidParameter, match=word):
        selection(FILTERS, asked)


def test_names_of_other_parameters_are_let_pass() -> None:
    assert selection([BY_NAME["level"]], {"after": ["x"]}, known=["after"]) == Selection({})


def test_openapi_says_what_a_filter_takes() -> None:
    asset, level, kind, code = (BY_NAME[name].parameter() for name in ("asset", "level", "kind", "code"))
    assert (asset.required, asset.schema) == (True, {"type": "string", "maxLength": LONGEST})
    assert (level.required, level.schema) == (False, {"type": "integer"})
    assert level.meaning == "Only messages with this field state.level."
    assert kind.schema["enum"] == ["a", "b"]
    assert (code.schema["pattern"], code.meaning) == ("^(?:[A-Z]{2}[0-9]+)$", "A code.")
