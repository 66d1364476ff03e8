"""The wire forms: literal bytes, round trips, and garbage that only ever is a bad request."""

import contextlib
import json
from collections.abc import Callable
from itertools import accumulate
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


def test_a_message_in_json_is_one_line_whatever_its_value_is() -> None:
    message = Message(value=b'{\r\n  "a": "\\n",\n  "b": [1,\r2]\n}\n', timestamp=7)
    [text] = envelopes([message], JsonCodec())
    assert text == (b'{"timestamp":7,"stream":{"kind":"","name":""},"value":{    "a": "\\n",   "b": [1, 2] } }')


def test_a_message_in_binary() -> None:
    message = Message(
        value=b"v",
        timestamp=7,
        stream=StreamId("results", "r"),
        key=b"\xff",
        headers=(("h", b"\x00"),),
        partition=2,
        offset=4,
    )
    literal = b"\x91\x98\x07\xa7results\xa1r\xc4\x01\xff\x91\x92\xa1h\xc4\x01\x00\x02\x04\xc4\x01v"
    assert pack([message]) == literal
    assert unpack(literal) == [message]
    assert pack([Message(value=b"", timestamp=7)]) == b"\x91\x98\x07\xa0\xa0\xc0\x90\x00\xff\xc4\x00"


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


@given(st.lists(MESSAGES, max_size=5), st.data())
def test_a_broken_binary_batch_is_a_bad_request_or_another_batch(
    messages: list[Message[bytes]], data: st.DataObject
) -> None:
    body = _damaged(pack(messages), data)
    with contextlib.suppress(BadRequest):
        assert all(isinstance(message.value, bytes) for message in unpack(body))


@given(st.lists(MESSAGES, max_size=3), st.data())
def test_a_broken_json_batch_is_a_bad_request_or_bad_in_places(
    messages: list[Message[bytes]], data: st.DataObject
) -> None:
    body = _damaged(b"[" + b",".join(envelopes(messages, RawCodec())) + b"]", data)
    with contextlib.suppress(BadRequest):
        assert all(isinstance(item, Message | CodecError) for item in read_envelopes(body, MsgpackCodec()))
    with contextlib.suppress(BadRequest):
        assert all(isinstance(item, bytes) for item in read_values(body))


def _damaged(body: bytes, data: st.DataObject) -> bytes:
    at = data.draw(st.integers(0, len(body)))
    piece = data.draw(st.sampled_from([b"\xff", b"", b"null", b'"', b"-1", b"9" * 30, b"\\ud800", b"[", b'"base64":1']))
    return body[:at] + piece + body[at + data.draw(st.integers(0, 3)) :]


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
        (b'[{"value":"\xff","encoding":"base64"}]', "a base64 value is a string"),
        (b'[{"value":"AA","encoding":"base64"}]', "not base64"),
        (b'[{"value":"\xff"}]', "not JSON"),
        (b'[{"value":1e400}]', "not JSON: Number out of range"),
        (b'[{"value":"/w==","encoding":"base64"}]', "not JSON"),
        (b'[{"value":1,"key":{"base64":"%"}}]', "not base64"),
    ],
)
def test_base64_that_is_none_is_refused_in_words(body: bytes, reason: str) -> None:
    [error] = read_envelopes(body, JsonCodec())
    assert isinstance(error, CodecError)
    assert reason in str(error)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"5", b'"x"', b"{}", b"[5]", b"[null]", b'{"value":}', b'{"value":1', b'{"value":1}x'),
        *(b'{"value":1,"key":5}', b'{"value":1,"key":"\xff"}', b'{"value":1,"key":"\\ud800"}', b'{"value":1,"key":{}}'),
        *(b'{"value":1,"timestamp":1.5}', b'{"value":1,"timestamp":"1"}', b'{"value":1,"headers":{"a":"b"}}'),
        *(b'{"value":1,"headers":[["a"]]}', b'{"value":1,"stream":"x"}', b'{"value":' + b"[" * 100_000),
    ],
)
def test_what_is_no_batch_of_messages_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not a batch of messages"):
        read_envelopes(body, JsonCodec())


@pytest.mark.parametrize("body", [b"", b"\xc0", b"\x91\xc0", b"\x91\x91\x07", b"\x91" * 100_000, pack([]) + b"x"])
def test_what_is_no_binary_batch_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not a binary message batch"):
        unpack(body)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=10))
def test_the_place_after_each_message_leaves_nothing_out_and_repeats_nothing(steps: list[tuple[int, int]]) -> None:
    place, batch, expected = Position("e", {0: 0, 1: 0, 2: 0}), [], []
    for partition, gap in steps:  # offsets may leave gaps, as in a compacted topic
        message = Message(value=b"1", partition=partition, offset=place.offsets[partition] + gap - 1)
        place = place.after(message)
        batch.append(message)
        expected.append(place)
    bodies = [json.loads(text) for text in envelopes(batch, JsonCodec(), place)]
    for body, after, rest in zip(bodies, expected, range(1, len(batch) + 1), strict=True):
        found = Position.parse(body["position"])
        # What follows is read from there, and nothing that came before.
        assert all(m.offset >= found.offsets[m.partition] for m in batch[rest:])
        assert all(m.offset < found.offsets[m.partition] for m in batch[:rest])
        assert all(found.offsets[p] >= after.offsets[p] for p in found.offsets)


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(1, 500))
def test_pieces_put_together_are_the_batch(sizes: list[int], size: int) -> None:
    batch = [Message(value=b"x" * length) for length in sizes]
    cut = list(pieces(batch, size))
    assert [message for _, piece in cut for message in piece] == batch
    assert [first for first, _ in cut] == list(accumulate([len(piece) for _, piece in cut], initial=0))[:-1]
    assert all(piece and (len(piece) == 1 or sum(len(m.value) + 64 for m in piece) <= size) for _, piece in cut)


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


@pytest.mark.parametrize("timestamp", [2**63, -(2**63) - 1])
def test_a_time_that_no_transport_can_keep_is_wrong_with_its_message_alone(timestamp: int) -> None:
    body = b'[{"value":1,"timestamp":%d},{"value":2,"timestamp":%d}]' % (timestamp, 2**63 - 1)
    wrong, right = read_envelopes(body, JsonCodec())
    assert isinstance(wrong, CodecError)
    assert isinstance(right, Message)
    assert right.timestamp == 2**63 - 1
