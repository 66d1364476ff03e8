"""The frames of a WebSocket, both ways, in JSON and in MessagePack."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.codec import JsonCodec, RawCodec
from headgate.core.message import Message, StreamId
from headgate.core.window import Gap
from headgate.errors import BadRequest, CodecError, Unavailable
from headgate.interface.frames import (
    Ack,
    Packed,
    Publish,
    PublishBytes,
    Subscribe,
    Texts,
    Unsubscribe,
    is_text,
    published,
    read_frame,
)

JSON, RAW = JsonCodec(), RawCodec()
MESSAGE = Message(value=b'{"a": 1}', timestamp=5, stream=StreamId("s", "n"), key=b"K", headers=(("h", b"\xff"),))
GAP = Gap(missed=3, of="stream", reason="expired", begin="e:1", end="e:4")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"type": "subscribe"}, Subscribe()),
        (
            {"type": "subscribe", "id": "x", "filter": {"a": "1", "b": ["1", "2"]}, "from": "oldest", "cursor": "c"},
            Subscribe(id="x", filter={"a": "1", "b": ["1", "2"]}, start="oldest", cursor="c"),
        ),
        ({"type": "subscribe", "after": "e:1"}, Subscribe(after="e:1")),
        ({"type": "unsubscribe", "id": "x"}, Unsubscribe("x")),
        ({"type": "ack", "position": "e:1"}, Ack("e:1")),
    ],
)
def test_a_frame_reads_the_same_in_both_forms(frame: dict[str, Any], said: Any) -> None:
    assert read_frame(json.dumps(frame)) == read_frame(msgspec.msgpack.encode(frame)) == said


def test_a_published_value_is_the_very_text_in_json_and_the_very_bytes_in_messagepack() -> None:
    said = read_frame('{"type": "publish", "value": {"a" : 1.0}, "key": "K", "timestamp": 5, "ref": 7}')
    assert isinstance(said, Publish)
    message = published(said, JSON)
    assert (message.value, message.key, message.timestamp, said.ref) == (b'{"a" : 1.0}', b"K", 5, 7)
    frame = {"type": "publish", "value": b"\xff", "headers": [["h", b"v"]], "key": b"\xfe", "timestamp": 5, "ref": "r"}
    packed = read_frame(msgspec.msgpack.encode(frame))
    assert isinstance(packed, PublishBytes)
    message = published(packed, RAW)
    assert (message.value, message.key, message.headers, packed.ref) == (b"\xff", b"\xfe", (("h", b"v"),), "r")


@pytest.mark.parametrize(
    "frame", ['{"type": "publish", "value": "no base64!"}', '{"type": "publish", "value": "AA==", "encoding": "hex"}']
)
def test_a_value_that_the_codec_refuses_is_a_codec_error(frame: str) -> None:
    said = read_frame(frame)
    assert isinstance(said, Publish)
    with pytest.raises(CodecError):
        published(said, RAW)
    with pytest.raises(CodecError):
        published(PublishBytes(value=b"not json"), JSON)


@given(st.one_of(st.text(), st.binary()))
def test_no_frame_is_more_than_refused(frame: str | bytes) -> None:
    try:
        read_frame(frame)
    except BadRequest:
        return


def test_a_message_in_json_has_its_key_and_headers_where_they_are_bound() -> None:
    plain, keyed = Texts(JSON), Texts(JSON, keyed=True)
    assert plain.frame(MESSAGE, "e:1") == b'{"type":"message","timestamp":5,"value":{"a": 1},"position":"e:1"}'
    assert json.loads(keyed.frame(MESSAGE, "e:1")) == {
        "type": "message",
        "timestamp": 5,
        "stream": {"kind": "s", "name": "n"},
        "value": {"a": 1},
        "key": "K",
        "headers": [["h", {"base64": "/w=="}]],
        "position": "e:1",
    }


def test_a_message_in_messagepack_is_bytes() -> None:
    shown = {"type": "message", "timestamp": 5, "value": b'{"a": 1}', "position": "e:1"}
    assert msgspec.msgpack.decode(Packed(JSON).frame(MESSAGE, "e:1")) == shown
    keyed = msgspec.msgpack.decode(Packed(JSON, keyed=True).frame(MESSAGE, "e:1"))
    assert keyed == shown | {"key": b"K", "headers": [["h", b"\xff"]]}


@pytest.mark.parametrize("voice", [Texts(JSON, keyed=True), Packed(JSON, keyed=True)])
@pytest.mark.parametrize("name", ["x", '"quoted"\n', "é" * 100])
def test_any_frame_can_be_given_the_id_of_its_subscription(voice: Texts | Packed, name: str) -> None:
    frames = [
        voice.frame(MESSAGE, "e:1"),
        voice.gap(GAP),
        voice.failure(Unavailable("away"), ref=1),
        voice.word("subscribed", position="e:1"),
    ]
    for frame in frames:
        named = voice.named(frame, name)
        assert is_text(named) is is_text(frame) is isinstance(voice, Texts)
        assert decoded(named) == decoded(frame) | {"id": name}


def decoded(frame: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame) if is_text(frame) else msgspec.msgpack.decode(frame)
    return found


@pytest.mark.parametrize("voice", [Texts(JSON), Packed(JSON)])
def test_gaps_and_failures_say_what_happened(voice: Texts | Packed) -> None:
    told = {"type": "gap", "missed": 3, "of": "stream", "reason": "expired", "from": "e:1", "to": "e:4"}
    assert decoded(voice.gap(GAP)) == told
    failure = voice.failure(Unavailable("away"), ref=1)
    assert decoded(failure) == {"type": "error", "error": "away", "code": "unavailable", "ref": 1}


def test_voices_that_say_the_same_are_one() -> None:
    assert Texts(JSON) == Texts(RAW) != Texts(JSON, keyed=True)
    assert hash(Packed(JSON)) == hash(Packed(RAW))
