"""Scopes: what a word lets somebody do, and nothing beside it."""

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.scopes import ALL_KEYS, BadScope, Keys, Scope, fits, granted, known_scopes, read_scope


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("read:assets", Scope("read", "assets")),
        ("write:/api/v1/commands#PROVER*", Scope("write", "/api/v1/commands", "PROVER*")),
        ("*:assets", Scope("*", "assets")),
        ("*", Scope("*", "*")),
    ],
)
def test_a_scope_is_read_and_written(text: str, scope: Scope) -> None:
    assert read_scope(text) == scope
    assert read_scope(str(scope)) == scope


@pytest.mark.parametrize(
    "text", ["", "read", "read:", "read:a#", "admin:a", "READ:a", "read: a", "read:a#b c", "read:a,b\n"]
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(BadScope):
        read_scope(text)


def test_words_for_other_services_give_nothing() -> None:
    assert known_scopes(["openid", "profile", 7, None, "read:a", "admin"]) == (Scope("read", "a"),)


@pytest.mark.parametrize(
    ("scope", "verb", "target", "may"),
    [
        ("read:assets", "read", "assets", True),
        ("read:assets", "write", "assets", False),
        ("read:assets", "read", "assets2", False),
        ("read:assets", "read", "Assets", False),
        ("read:assets", "read", "/assets", False),
        ("read:ass*", "read", "assets", True),
        ("*:assets", "write", "assets", True),
        ("*", "write", "anything", True),
        ("read:/a", "read", "/a", True),
        ("read:/a", "read", "/a/b", True),
        ("read:/a", "read", "/ab", False),
        ("read:/a/", "read", "/a/b", True),
        ("read:/", "read", "/a/b", True),
        ("read:/", "read", "assets", False),
        ("read:/a", "read", "/A", False),
        ("read:/a", "read", "/a/../b", True),  # a text that is never normalised: no route has such a path
    ],
)
def test_a_scope_covers_what_it_says(scope: str, verb: str, target: str, may: bool) -> None:
    assert (granted([read_scope(scope)], verb, [target]) is not None) is may


def test_one_of_the_names_of_a_thing_is_enough() -> None:
    assert granted([read_scope("read:assets")], "read", ["/asset_stream", "assets"]) == ALL_KEYS


def test_patterns_of_keys_add_up_and_one_without_a_pattern_is_for_all() -> None:
    scopes = [read_scope(text) for text in ("read:a#x*", "read:a#y", "write:a")]
    keys = granted(scopes, "read", ["a"])
    assert keys == Keys(("x*", "y"))
    assert [keys.fit(key) for key in (b"x", b"x1", b"y", b"y1", b"", None, b"\xff")] == [True, True, True, *[False] * 4]
    assert granted([*scopes, read_scope("read:*")], "read", ["a"]) == ALL_KEYS
    assert ALL_KEYS.fit(None)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_pattern_is_what_it_is_elsewhere(pattern: str, key: str) -> None:
    assert fits([pattern], key.encode()) == fnmatch.fnmatchcase(key, pattern)


def test_a_nasty_pattern_takes_no_time() -> None:
    began = time.perf_counter()
    assert not fits(["*a" * 100 + "b"], b"a" * 100_000)
    assert time.perf_counter() - began < 0.5
