"""What a reply carries, and what takes its place when something went wrong."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.codec import JsonCodec, MsgpackCodec, TextCodec
from headgate.core.message import Message
from headgate.core.reply import ReplyError, answering, carried, failed, failure, is_over, wants_reply

REQUEST = Message(
    value=b"{}",
    key=b"k",
    headers=(("correlation-id", b"c"), ("own", b"x"), ("reply-to", b"a"), ("traceparent", b"t"), ("deadline", b"2000")),
)


def test_what_is_made_of_a_request_carries_on_who_waits() -> None:
    assert [name for name, _ in carried(REQUEST)] == ["correlation-id", "reply-to", "traceparent", "deadline"]
    plain, own = answering([Message(value=b"1"), Message(value=b"2", headers=(("reply-to", b"b"),))], carried(REQUEST))
    assert dict(plain.headers)["reply-to"] == b"a"
    assert dict(own.headers) == {**dict(carried(REQUEST)), "reply-to": b"b"}
    answer = REQUEST.answer(5)
    assert (answer.key, answer.headers, answer.value) == (b"k", REQUEST.headers, 5)


def test_a_request_says_whether_somebody_waits_and_until_when() -> None:
    assert wants_reply(REQUEST)
    assert not wants_reply(Message(value=b""))
    assert not is_over(REQUEST, 1.9)
    assert is_over(REQUEST, 2.1)
    assert not is_over(Message(value=b"", headers=(("deadline", b"soon"),)), 1e12)


def test_a_failure_takes_the_place_of_a_reply_on_streams_of_any_codec() -> None:
    error = ReplyError(404, "unknown_item", "there is no ü")
    for codec, value in ((JsonCodec(), b"null"), (MsgpackCodec(), b"\xc0"), (TextCodec(), b"")):
        told = failure(REQUEST, error, codec)
        assert (failed(told), told.value, told.key) == (error, value, b"k")
        assert dict(told.headers)["correlation-id"] == b"c"
    assert failed(REQUEST) is None


@given(st.binary())
def test_what_is_no_failure_is_told_as_one(text: bytes) -> None:
    found = failed(Message(value=b"", headers=(("reply-error", text),)))
    assert found is not None
    assert 100 <= found.status <= 10**19 or found.status < 100
