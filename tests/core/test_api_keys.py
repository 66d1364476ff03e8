"""API keys: what is read as one, what is kept of it, and files of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.api_keys import (
    ApiKey,
    BadKey,
    digest_of,
    is_guessable,
    line_of,
    make_key,
    read_key,
    read_lines,
    split_keys,
    without,
)

ALPHA = hashlib.sha256(b"alpha").hexdigest()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        (" , ", []),
        ("alpha", ["alpha"]),
        ("alpha,beta", ["alpha", "beta"]),
        (" alpha , beta,\n", ["alpha", "beta"]),
        ("alpha\nbeta\r\ngamma", ["alpha", "beta", "gamma"]),
    ],
)
def test_keys_stand_between_commas_and_blanks(text: str, keys: list[str]) -> None:
    assert split_keys(text) == keys


def test_a_key_and_its_hash_are_the_same_key() -> None:
    assert read_key("alpha", "a") == read_key(f"sha256:{ALPHA}", "a") == ApiKey("a", digest_of(b"alpha"))


@pytest.mark.parametrize("text", ["", "a b", "ä", "a\x00", "a\x7f", "x" * 513, "sha256:", f"sha256:{ALPHA.upper()}"])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(BadKey) as refused:
        read_key(text, "a")
    assert ALPHA.upper() not in str(refused.value)


def test_a_made_key_holds_all_of_its_randomness_and_cannot_be_guessed() -> None:
    keys = {make_key(bytes([first]) * 31 + bytes([last])) for first in range(16) for last in range(16)}
    assert len(keys) == 256
    assert not any(map(is_guessable, keys))
    assert all(read_key(key, "a").digest == digest_of(key.encode()) for key in keys)


def test_a_hash_is_not_taken_for_a_short_key() -> None:
    assert [is_guessable(text) for text in ("alpha", f"sha256:{ALPHA}", "x" * 16)] == [True, False, False]


FILE = f"""\
# of the line
sha256:{ALPHA} name=robot made=2026-01-02T03:04:05Z

  beta
sha256:{ALPHA[::-1]} name=press
"""


def test_a_file_of_keys_is_read_line_by_line() -> None:
    keys, wrong = read_lines(FILE)
    assert not wrong
    assert [(key.name, key.made) for key in keys] == [("robot", "2026-01-02T03:04:05Z"), ("key-4", ""), ("press", "")]
    assert keys[1].digest == digest_of(b"beta")


def test_each_wrong_line_is_told_and_no_key_is_shown() -> None:
    _, wrong = read_lines("a name=x\nb name=x\nc role=admin\nsha256:12 name=z\nsecret name=\n")
    assert wrong == [
        (2, "another key is called x already"),
        (3, "after the key, only name=, made= and scopes= may follow"),
        (4, "begins with sha256: and needs 64 hexadecimal digits in lower case after it"),
        (5, "a name is 1 to 64 letters, digits and _ . @ -"),
    ]


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=64),
    st.binary(min_size=32, max_size=32),
)
def test_a_line_that_is_written_is_read_again(name: str, digest: bytes) -> None:
    key = ApiKey(name, digest, "2026-01-02T03:04:05Z")
    assert read_lines(line_of(key)) == ([key], [])


def test_a_key_that_is_taken_out_leaves_everything_else_as_it_was() -> None:
    left = without(FILE, "robot")
    assert left == FILE.replace(FILE.splitlines(keepends=True)[1], "")
    assert without(FILE, "nobody") == FILE
