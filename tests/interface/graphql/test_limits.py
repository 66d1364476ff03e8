"""Limits: what a query may be."""

from itertools import pairwise

import pytest
from graphql import GraphQLError, get_introspection_query
from hypothesis import given
from hypothesis import strategies as some

from headgate.errors import TooMuch
from headgate.interface.graphql.limits import Limits, read_query

SMALL = Limits(query_bytes=500, depth=3, aliases=2, complexity=50)


@pytest.mark.parametrize(
    "query",
    [
        "{a {b {c}}}",
        "{a b: a c: a}",
        "{window(limit: 24) {a b}}",
        "{window(last: 49) {a}}",
        "{window(limit: -5) {a}}",
        "{...A} fragment A on Query {a {b {c}}}",
        "{a ...A} fragment A on Query {a}",
        "query A {a} query B {b}",
        "subscription {a}",
    ],
)
def test_what_is_within_the_limits_is_read(query: str) -> None:
    assert read_query(query, {}, SMALL).definitions


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{" + "a " * 250 + "}", "500 bytes"),
        ("{a {b {c {d}}}}", "4 levels deep; 3"),
        ("{a {...A}} fragment A on Query {a {b {c}}}", "4 levels deep"),
        ("{a {... on Query {b {... {c {d}}}}}}", "4 levels deep"),
        ("query A {a} query B {a {b {c {d}}}}", "4 levels deep"),
        ("{a b: a c: a d: a}", "3 aliases"),
        ("{a a a a}", "3 aliases and repeated fields"),
        ("{a ... {a ... {a}} ... {a}}", "aliases and repeated fields"),
        ("{a {b: c} d {e: f} g {h: i}}", "3 aliases"),
        ("{window {a}}", "101 fields"),
        ("{window(limit: 25) {a b}}", "51 fields"),
        ("{window(last: 50) {a}}", "51 fields"),
        ("query($n: Int) {window(limit: $n) {a}}", "1,001 fields"),
        ("query($m: Int = 3) {window(limit: $m) {a}}", "101 fields"),
        ("{window(limit: -100) {a} b: window(limit: 50) {a}}", "53 fields"),
        ("{...A} fragment A on Query {window(limit: 25) {a b}}", "51 fields"),
        ("{__schema {types {fields {type " + "{ofType " * 20 + "{name}" + "}" * 20 + "}}}}", "levels deep"),
    ],
)
def test_what_is_over_a_limit_is_refused(query: str, words: str) -> None:
    with pytest.raises(TooMuch, match=words):
        read_query(query, {"n": 1000}, SMALL)


def test_fragments_that_multiply_are_measured_once_each() -> None:
    names = [f"F{n}" for n in range(30)]
    chain = " ".join(f"fragment {a} on Query {{x {{...{b}}} y {{...{b}}}}}" for a, b in pairwise(names))
    query = "{...F0} " + chain + " fragment F29 on Query {a}"
    with pytest.raises(TooMuch, match="levels deep"):
        read_query(query, {}, Limits())
    with pytest.raises(TooMuch, match="fields, as many"):
        read_query(query, {}, Limits(depth=100))


def test_fragments_that_stand_within_themselves_are_refused() -> None:
    with pytest.raises(GraphQLError, match="stands within itself"):
        read_query("{...A} fragment A on Query {a {...A}}", {}, Limits())


def test_what_tools_ask_of_a_schema_is_within_the_limits() -> None:
    assert read_query(get_introspection_query(), {}, Limits()).definitions


@given(some.text("{}()[]:!$@|&=.\"' \n#abc1-_é\ud800", max_size=300))
def test_a_query_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        read_query(text, {}, Limits())
    except (GraphQLError, TooMuch):
        return
