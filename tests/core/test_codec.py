"""The codecs: what they make of bytes, what they refuse, and their JSON form."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.codec import (
    BUILT_IN,
    DelimitedCodec,
    JsonCodec,
    MsgpackCodec,
    RawCodec,
    TextCodec,
    check_json,
    decode_base64,
    decode_json,
)
from headgate.errors import CodecError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
CELL = st.text(st.characters(exclude_characters="|\r\n", exclude_categories=["Cs"]))
ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # also halves of surrogate pairs, which no UTF-8 can write


@given(JSON)
def test_json_and_msgpack_give_back_what_they_took(value: Any) -> None:
    for codec in (JsonCodec(), MsgpackCodec()):
        assert codec.decode(codec.encode(value)) == value
        assert decode_json(codec.to_json(codec.encode(value))) == value
        assert codec.decode(codec.from_json(codec.to_json(codec.encode(value)))) == value


@given(st.text())
def test_text_gives_back_what_it_took(value: str) -> None:
    assert TextCodec().decode(TextCodec().encode(value)) == value


@given(st.binary())
def test_raw_takes_any_bytes_and_has_a_json_form(body: bytes) -> None:
    codec = RawCodec()
    codec.check(body)
    assert codec.decode(codec.encode(body)) == body
    assert codec.from_json(codec.to_json(body)) == body


@given(st.lists(CELL, min_size=2, max_size=5))
def test_delimited_gives_back_its_cells(cells: list[str]) -> None:
    assert DelimitedCodec().decode(DelimitedCodec().encode(cells)) == cells


@given(st.lists(CELL.filter(bool), min_size=1, max_size=5, unique=True), st.data())
def test_delimited_gives_back_its_named_fields(fields: list[str], data: st.DataObject) -> None:
    codec = DelimitedCodec(fields=fields)
    value = {field: data.draw(CELL) for field in fields}
    assert codec.decode(codec.encode(value)) == value
    assert codec.decode(codec.encode(list(value.values()))) == value
    assert codec.from_json(codec.to_json(codec.encode(value))) == codec.encode(value)


PIECES = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"a"',
        b'"a":',
        b'"',
        b"\\u",
        b"d800",
        b"\\ud800\\udc00",
        b"\xff",
        b"\xc3\xa9",
    ),
    *(b"1", b"-", b"0", b".", b"e", b"E+", b"true", b"null", b"NaN", b"Infinity", b" ", b"\n", b"\\", b"\\n", b"\x00"),
    *(
        b"9" * 30,
        b"9" * 400,
        b"1e400",
        b"\xef\xbb\xbf",
        b"\x0b",
        b"\x91",
        b"\x81\xa1a",
        b"\xc1",
        b"\xd9",
        b"|",
        b"\r\n",
    ),
]


@given(st.binary(max_size=50) | st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_bytes_are_decoded_or_refused_and_checked_alike(body: bytes) -> None:
    for codec in (make() for make in BUILT_IN.values()):
        assert _refusal(codec.check, body) == _refusal(codec.decode, body)
        _refusal(codec.to_json, body)
        _refusal(codec.from_json, body)


def _refusal(read: Callable[[bytes], Any], body: bytes) -> str | None:
    """Why it is refused; nothing but a `CodecError` may say so."""
    try:
        read(body)
    except CodecError as error:
        return str(error)
    return None


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_what_is_no_json_to_python_is_none_to_us(text: bytes) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text.decode(), parse_constant=refuse)
    except ValueError:
        with pytest.raises(CodecError):
            check_json(text)


@given(ANY_TEXT | st.lists(ANY_TEXT) | st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_text_that_is_no_unicode_is_refused_or_given_back(value: Any) -> None:
    for codec in (JsonCodec(), MsgpackCodec(), DelimitedCodec(), TextCodec()):
        try:
            body = codec.encode(value)
        except CodecError:
            continue
        if codec.name != "delimited":
            assert codec.decode(body) == value


@pytest.mark.parametrize(
    "text", [b"", b"NaN", b"[1,]", b"{", b'{"a":Infinity}', b'"\xff"', b"[" * 100_000, b'{"a":1}x', b'"\\ud800"']
)
def test_json_refuses_what_rfc_8259_does(text: bytes) -> None:
    with pytest.raises(CodecError, match="not JSON"):
        check_json(text)
    with pytest.raises(CodecError, match="not JSON"):
        decode_json(text)


@pytest.mark.parametrize("text", [b"1e400", b"-1e400", b"1" * 400 + b".0", b"1" * 5000, b"[" + b"9" * 1_000_000 + b"]"])
def test_a_number_that_nobody_could_decode_is_not_published_but_can_be_shown(text: bytes) -> None:
    codec = JsonCodec()
    for refuses in (codec.check, codec.from_json, codec.decode):
        with pytest.raises(CodecError, match="out of range"):
            refuses(text)
    assert codec.to_json(text) == text  # another program's Kafka message may well hold one


def test_a_number_that_is_none_becomes_null() -> None:
    assert JsonCodec().encode([float("nan"), float("inf")]) == b"[null,null]"


def test_values_nested_without_end_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for codec in (JsonCodec(), MsgpackCodec()):
        with pytest.raises(CodecError, match="recursion"):
            codec.encode(deep)
    with pytest.raises(CodecError, match="not MessagePack"):
        MsgpackCodec().decode(b"\x91" * 100_000 + b"\xc0")
    with pytest.raises(CodecError, match="not JSON: nested too deeply"):
        JsonCodec().decode(b"[" * 100_000)
    while deep:  # or the interpreter takes the nest apart by recursion
        deep = deep.pop()


@pytest.mark.parametrize("value", [{None: 1}, msgspec.msgpack.Ext(5, b"x"), {(1,): 2}])
def test_messagepack_that_json_cannot_hold_has_no_json_form(value: Any) -> None:
    body = MsgpackCodec().encode(value)
    MsgpackCodec().check(body)
    with pytest.raises(CodecError, match="cannot be written as JSON"):
        MsgpackCodec().to_json(body)


def test_bytes_in_messagepack_are_base64_in_json() -> None:
    assert MsgpackCodec().to_json(b"\x81\xa1a\xc4\x02\x00\xff") == b'{"a":"AP8="}'


def test_json_bytes_pass_as_they_are() -> None:
    text = b'{ "a" : 1.50, "n": 123456789012345678901234567890,\n "a": 2 }'
    assert JsonCodec().to_json(text) == text
    assert JsonCodec().from_json(text) == text


@pytest.mark.parametrize(
    ("codec", "value", "reason"),
    [
        (JsonCodec(), "\ud800", "cannot be written as JSON"),
        (JsonCodec(), {1, object()}, "cannot be written as JSON"),
        (TextCodec(), 5, "takes a string, not int"),
        (TextCodec(), "\ud800", "cannot be written as UTF-8"),
        (RawCodec(), "text", "takes bytes, not str"),
        (RawCodec(), None, "takes bytes, not null"),
        (MsgpackCodec(), "\ud800", "cannot be written as MessagePack"),
        (MsgpackCodec(), object(), "cannot be written as MessagePack"),
        (MsgpackCodec(), 2**70, "cannot be written as MessagePack"),
        (DelimitedCodec(), "a|b", "takes a list of strings"),
        (DelimitedCodec(), None, "takes a list of strings, not null"),
        (DelimitedCodec(), ["a|b"], "holds the delimiter"),
        (DelimitedCodec(), ["a\nb"], "holds a line break"),
        (DelimitedCodec(), [True], "a string or a number, not a boolean"),
        (DelimitedCodec(), ["a", 10**5000], "a field cannot be written"),
        (DelimitedCodec(), ["a", "\ud800"], "cannot be written as UTF-8"),
        (DelimitedCodec(), ["a", None], "a string or a number, not null"),
        (DelimitedCodec(), {"a": "1"}, "takes a list of strings, not an object"),
        (DelimitedCodec(fields=["a", "b"]), ["1"], "expected 2 fields, found 1"),
        (DelimitedCodec(fields=["a", "b"]), ["1", "2", ""], "expected 2 fields, found 3"),
        (DelimitedCodec(fields=["a", "b"]), {"a": "1", "c": "2"}, "unknown field 'c'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(codec: Any, value: Any, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        codec.encode(value)


@pytest.mark.parametrize(
    ("codec", "body", "reason"),
    [
        (TextCodec(), b"ok\xff", "not UTF-8: invalid start byte at byte 2"),
        (MsgpackCodec(), b"\xc1", "not MessagePack"),
        (MsgpackCodec(), b"\xa1\xff", "not MessagePack"),
        (MsgpackCodec(), b"\x81\x81\x01\x01\x01", "keys must be hashable"),
        (MsgpackCodec(), b"\x01\x02", "not MessagePack"),
        (MsgpackCodec(), b"", "not MessagePack"),
        (DelimitedCodec(), b"a|\xff", "not UTF-8: invalid start byte at byte 2"),
        (DelimitedCodec(fields=["a", "b"]), b"1|2|3|", "expected 2 fields, found 4"),
        (DelimitedCodec(fields=["a", "b"]), b"1|2|3", "expected 2 fields, found 3"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_in_words(codec: Any, body: bytes, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        codec.decode(body)


def test_named_fields_make_a_mapping() -> None:
    codec = DelimitedCodec(delimiter=";", fields=["id", "value"])
    assert codec.decode(b"Zact;0.5\r\n") == {"id": "Zact", "value": "0.5"}
    assert codec.decode(b"Zact;0.5;") == {"id": "Zact", "value": "0.5"}
    assert codec.encode({"value": 0.5, "id": "Zact"}) == b"Zact;0.5"
    assert codec.encode({"value": "x"}) == b";x"
    assert codec.to_json(b"Zact;0.5") == b'{"id":"Zact","value":"0.5"}'


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"delimiter": "||"}, "one printable character"),
        ({"delimiter": "\n"}, "one"),
        ({"delimiter": ""}, "one"),
        ({"fields": ["a", "a"]}, "once"),
    ],
)
def test_a_delimited_codec_that_cannot_work_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        DelimitedCodec(**options)


def test_a_raw_value_in_json_is_base64() -> None:
    assert RawCodec().from_json(b'"AAH/"') == b"\x00\x01\xff"
    with pytest.raises(CodecError, match="base64 string, not an object"):
        RawCodec().from_json(b"{}")
    for text in ("%%%", "AA", "AA==AA==", "AA==\n", "é"):
        with pytest.raises(CodecError, match="not base64"):
            decode_base64(text)
