"""Matching: what a facet says of a message, and that a look-up finds what a test would."""

import json
import random
from functools import partial
from typing import Any

import pytest

from headgate.core.match import EVERYTHING, Facet, Kind, Selection, Source, ask
from headgate.core.message import Message

KEY = Facet(Source.KEY)
HEADER = Facet(Source.HEADER, ("origin",))


def message(value: Any = None, **given: Any) -> Message[bytes]:
    return Message(value=json.dumps(value).encode(), **given)


def field(*path: str, kind: Kind = Kind.STRING, ignore_case: bool = False) -> Facet:
    return Facet(Source.FIELD, path, ignore_case=ignore_case, kind=kind)


def never() -> Any:
    raise AssertionError("decoded for nothing")


@pytest.mark.parametrize(
    ("facet", "given", "answer"),
    [
        (KEY, {"key": b"P"}, "P"),
        (KEY, {}, None),
        (KEY, {"key": b"\xff"}, None),
        (HEADER, {"headers": (("other", b"a"), ("origin", b"here"), ("origin", b"there"))}, "here"),
        (HEADER, {"headers": (("origin", b"\xff"),)}, None),
        (HEADER, {}, None),
    ],
)
def test_key_and_header_are_known_without_decoding(facet: Facet, given: dict[str, Any], answer: str | None) -> None:
    assert facet.of(message(**given), never) == answer


@pytest.mark.parametrize(
    ("facet", "value", "answer"),
    [
        (field("id"), {"id": "Zact"}, "Zact"),
        (field("id"), {"ID": "Zact"}, None),
        (field("id", ignore_case=True), {"ID": "Zact"}, "Zact"),
        (field("id", ignore_case=True), {"ID": "other", "id": "Zact"}, "Zact"),
        (field("id", ignore_case=True), {"x": 1}, None),
        (field("id"), {"id": 1}, None),
        (field("id"), None, None),
        (field("id"), ["id"], None),
        (field("a", "b"), {"a": {"b": "deep"}}, "deep"),
        (field("a", "B", ignore_case=True), {"A": {"b": "deep"}}, "deep"),
        (field("a", "b"), {"a": "b"}, None),
        (field("n", kind=Kind.INTEGER), {"n": 1}, 1),
        (field("n", kind=Kind.INTEGER), {"n": True}, None),
        (field("n", kind=Kind.NUMBER), {"n": 1.5}, 1.5),
        (field("n", kind=Kind.NUMBER), {"n": "1.5"}, None),
        (field("n", kind=Kind.BOOLEAN), {"n": False}, False),
        (field("n", kind=Kind.BOOLEAN), {"n": 0}, None),
    ],
)
def test_a_field_is_found_by_its_path_and_has_its_kind(facet: Facet, value: Any, answer: Any) -> None:
    found = facet.of(message(value), lambda: value)
    assert (found, type(found)) == (answer, type(answer))


def test_a_selection_wants_what_has_one_of_its_values_in_each_facet() -> None:
    wanted = Selection({KEY: frozenset("PQ"), field("id"): frozenset(["a"])})
    value = {"id": "a"}
    assert wanted.wants(message(value, key=b"P"), lambda: value)
    assert not wanted.wants(message(value, key=b"R"), never)
    assert not wanted.wants(message({"id": "b"}, key=b"Q"), lambda: {"id": "b"})
    assert EVERYTHING.wants(message(), never)


def test_only_a_selection_by_key_knows_its_keys() -> None:
    assert Selection({field("id"): frozenset(["a"]), KEY: frozenset("P")}).keys == frozenset("P")
    assert Selection({field("id"): frozenset(["a"])}).keys is None


def test_selections_that_want_the_same_are_the_same() -> None:
    one, same = (Selection({KEY: frozenset("PQ")}) for _ in range(2))
    assert (one, hash(one)) == (same, hash(same))
    assert one != Selection({KEY: frozenset("P")})
    assert one != Selection({HEADER: frozenset("PQ")})
    assert one != "PQ"
    assert repr(one) == "<Selection key>"
    assert repr(EVERYTHING) == "<Selection everything>"


def test_the_look_up_finds_what_an_offline_filter_finds_in_a_hundred_thousand_messages() -> None:
    dice = random.Random(20)
    level = field("level", kind=Kind.INTEGER)
    ident = field("id", ignore_case=True)
    selections = [
        Selection({KEY: frozenset(["k1"])}),
        Selection({KEY: frozenset(["k2", "k3"]), ident: frozenset(["a", "b"])}),
        Selection({ident: frozenset(["c"]), level: frozenset([1, 2])}),
        EVERYTHING,
    ]
    index: dict[Any, dict[Any, list[int]]] = {}
    for number, selection in enumerate(selections):
        for answer in selection.answers():
            index.setdefault(selection.shape, {}).setdefault(answer, []).append(number)

    def offline(key: str, value: dict[str, Any]) -> list[int]:
        name = value.get("id", value.get("ID"))
        found = [0] if key == "k1" else []
        found += [1] if key in ("k2", "k3") and name in ("a", "b") else []
        found += [2] if name == "c" and value["level"] in (1, 2) and value["level"] is not True else []
        return [*found, 3]

    for _ in range(100_000):
        key = f"k{dice.randrange(5)}"
        value = {dice.choice(["id", "ID"]): dice.choice("abcd"), "level": dice.choice([1, 2, 3, True, "1"])}
        sent = Message(value=b"", key=key.encode())
        decoded = partial(dict, value)
        found = [n for shape, answers in index.items() for n in answers.get(ask(shape, sent, decoded), ())]
        assert sorted(found) == offline(key, value)
