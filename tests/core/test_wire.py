"""The wire forms: literal bytes, round trips, and garbage that only ever is a bad request."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.codec import JsonCodec, MsgpackCodec, RawCodec
from headgate.core.message import Message, StreamId
from headgate.core.position import Position
from headgate.core.wire import envelopes, lines, pack, pieces, read_envelopes, read_values, unpack
from headgate.errors import BadRequest, CodecError

MESSAGES = st.builds(
    Message,
    value=st.binary(max_size=50),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
    timestamp=st.integers(0, 2**62),
    stream=st.builds(StreamId, st.text(max_size=5), st.text(max_size=5)),
)


def test_a_message_in_json() -> None:
    message = Message(value=b'{"a": 1}', timestamp=7, stream=StreamId("results", "r"), key=b"k", offset=4)
    assert envelopes([message], JsonCodec(), Position.single("e", 5)) == [
        b'{"timestamp":7,"stream":{"kind":"results","name":"r"},"value":{"a": 1},"key":"k","position":"e:5"}'
    ]


def test_what_json_cannot_hold_is_base64() -> None:
    message = Message(value=b"\xff", timestamp=7, key=b"\xfe", headers=(("h", b"\xfd"), ("t", b"x")))
    [text] = envelopes([message], RawCodec())
    assert text == (
        b'{"timestamp":7,"stream":{"kind":"","name":""},"value":"/w==","key":{"base64":"/g=="},'
        b'"headers":[["h",{"base64":"/Q=="}],["t","x"]],"encoding":"base64"}'
    )


def test_a_value_that_its_codec_refuses_is_shown_in_base64() -> None:
    [text] = envelopes([Message(value=b"{not json", timestamp=7)], JsonCodec())
    assert b'"value":"e25vdCBqc29u","encoding":"base64"' in text


@given(st.lists(MESSAGES, max_size=5))
def test_binary_gives_back_what_it_took(messages: list[Message[bytes]]) -> None:
    assert unpack(pack(messages)) == messages


@given(st.lists(MESSAGES, max_size=5))
def test_json_gives_back_what_it_took(messages: list[Message[bytes]]) -> None:
    body = b"[" + b",".join(envelopes(messages, RawCodec())) + b"]"
    assert read_envelopes(body, RawCodec()) == messages


def test_each_message_has_the_place_after_it_in_all_partitions() -> None:
    messages = [Message(value=b"1", partition=p, offset=o) for p, o in [(0, 3), (1, 8), (0, 4), (2, 0)]]
    after = Position("e", {0: 5, 1: 9, 2: 1, 3: 7})
    texts = envelopes(messages, JsonCodec(), after)
    places = [text.split(b'"position":"')[1].split(b'"')[0] for text in texts]
    assert places == [b"e:0-4,1-8,2-0,3-7", b"e:0-4,1-9,2-0,3-7", b"e:0-5,1-9,2-0,3-7", b"e:0-5,1-9,2-1,3-7"]


def test_one_object_is_a_batch_of_one() -> None:
    [message] = read_envelopes(b'{"value": 5, "timestamp": 7}', JsonCodec())
    assert isinstance(message, Message)
    assert (message.value, message.timestamp) == (b"5", 7)


def test_a_bad_value_stands_in_its_place() -> None:
    body = b'[{"value":"AA=="},{"value":"%"},{"value":"AQ==","encoding":"gzip"},{"value":{}}]'
    parsed = read_envelopes(body, RawCodec())
    assert [isinstance(item, CodecError) for item in parsed] == [False, True, True, True]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'[{"value":5,"encoding":"base64"}]', "a base64 value is a string"),
        (b'[{"value":"/w==","encoding":"base64"}]', "not JSON"),
        (b'[{"value":1,"key":{"base64":"%"}}]', "not base64"),
    ],
)
def test_base64_that_is_none_is_refused_in_words(body: bytes, reason: str) -> None:
    [error] = read_envelopes(body, JsonCodec())
    assert isinstance(error, CodecError)
    assert reason in str(error)


@given(st.binary(max_size=100))
def test_garbage_is_a_bad_request(body: bytes) -> None:
    attempts: list[Callable[[], Any]] = [
        lambda: unpack(body),
        lambda: read_envelopes(body, MsgpackCodec()),
        lambda: read_values(body),
    ]
    for attempt in attempts:
        try:
            attempt()
        except BadRequest:
            continue


@pytest.mark.parametrize("body", [b"[1,", b"[" * 100_000, b"[NaN]"])
def test_a_broken_array_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_values(body)


def test_an_array_is_its_items_and_anything_else_is_one() -> None:
    assert read_values(b' [1, {"a": 2}, "x"] ') == [b"1", b'{"a": 2}', b'"x"']
    assert read_values(b'{"a": 1}') == [b'{"a": 1}']


def test_lines_may_end_as_windows_ends_them() -> None:
    assert lines(b"a\r\nb\n\n c") == [b"a", b"b", b" c"]


def test_a_batch_is_cut_into_pieces_by_size() -> None:
    batch = [Message(value=b"x" * size) for size in (10, 10, 500, 10)]
    assert [(first, len(piece)) for first, piece in pieces(batch, 200)] == [(0, 2), (2, 1), (3, 1)]
    assert list(pieces([], 200)) == []
