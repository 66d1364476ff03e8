"""The codecs: what they make of bytes, what they refuse, and their JSON form."""

from typing import Any

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
CELLS = st.lists(
    st.text(st.characters(blacklist_characters="|\r\n", blacklist_categories=["Cs"])), min_size=2, max_size=5
)


@given(JSON)
def test_json_and_msgpack_give_back_what_they_took(value: Any) -> None:
    for codec in (JsonCodec(), MsgpackCodec()):
        assert codec.decode(codec.encode(value)) == value
        assert decode_json(codec.to_json(codec.encode(value))) == value
        assert codec.decode(codec.from_json(codec.to_json(codec.encode(value)))) == value


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_text_gives_back_what_it_took(value: str) -> None:
    assert TextCodec().decode(TextCodec().encode(value)) == value


@given(st.binary())
def test_raw_takes_any_bytes_and_has_a_json_form(body: bytes) -> None:
    codec = RawCodec()
    codec.check(body)
    assert codec.decode(codec.encode(body)) == body
    assert codec.from_json(codec.to_json(body)) == body


@given(CELLS)
def test_delimited_gives_back_its_cells(cells: list[str]) -> None:
    assert DelimitedCodec().decode(DelimitedCodec().encode(cells)) == cells


@given(st.binary(max_size=200))
def test_bytes_are_decoded_or_refused_and_checked_alike(body: bytes) -> None:
    for codec in (make() for make in BUILT_IN.values()):
        try:
            codec.decode(body)
            decodes = True
        except CodecError:
            decodes = False
        if decodes:
            codec.check(body)


@pytest.mark.parametrize(
    "text", [b"", b"NaN", b"[1,]", b"{", b'{"a":Infinity}', b'"\xff"', b"[" * 100_000, b'{"a":1}x', b'"\\ud800"']
)
def test_json_refuses_what_rfc_8259_does(text: bytes) -> None:
    with pytest.raises(CodecError, match="not JSON"):
        check_json(text)
    with pytest.raises(CodecError, match="not JSON"):
        decode_json(text)


def test_json_bytes_pass_as_they_are() -> None:
    text = b'{ "a" : 1.50, "n": 123456789012345678901234567890 }'
    assert JsonCodec().to_json(text) == text
    assert JsonCodec().from_json(text) == text


@pytest.mark.parametrize(
    ("codec", "value", "reason"),
    [
        (JsonCodec(), {1, object()}, "cannot be written as JSON"),
        (TextCodec(), 5, "takes a string, not int"),
        (TextCodec(), "\ud800", "cannot be written as UTF-8"),
        (RawCodec(), "text", "takes bytes, not str"),
        (MsgpackCodec(), 2**70, "cannot be written as MessagePack"),
        (DelimitedCodec(), "a|b", "takes a list of strings"),
        (DelimitedCodec(), None, "takes a list of strings, not null"),
        (DelimitedCodec(), ["a|b"], "holds the delimiter"),
        (DelimitedCodec(), ["a\nb"], "holds a line break"),
        (DelimitedCodec(), [True], "a string or a number, not a boolean"),
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
    assert codec.to_json(b"Zact;0.5") == b'{"id":"Zact","value":"0.5"}'


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"delimiter": "||"}, "one printable character"), ({"delimiter": "\n"}, "one"), ({"fields": ["a", "a"]}, "once")],
)
def test_a_delimited_codec_that_cannot_work_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        DelimitedCodec(**options)


def test_a_raw_value_in_json_is_base64() -> None:
    assert RawCodec().from_json(b'"AAH/"') == b"\x00\x01\xff"
    with pytest.raises(CodecError, match="base64 string, not an object"):
        RawCodec().from_json(b"{}")
    with pytest.raises(CodecError, match="not base64"):
        decode_base64("%%%")
