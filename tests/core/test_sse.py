"""Server-Sent Events: whatever a payload holds, a browser reads one event with that payload and nothing else."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.core import sse
from tests.gates.events import Event, Parser

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,30}", fullmatch=True)
places = st.from_regex(r"[0-9a-z]{8}:[0-9]{1,9}", fullmatch=True)
payloads = (
    st.binary()
    | st.text().map(str.encode)
    | st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b"\0", b"data: x", b"id: 9", b"event: gap", b": ", b"retry: 0", b"a", b""]
        )
    ).map(b"".join)
)


def read(stream: bytes) -> tuple[list[Event], Parser]:
    parser = Parser()
    text = stream.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    assert text.endswith("\n\n")
    events = [parser.line(line) for line in text.split("\n")[:-1]]
    return [event for event in events if event is not None], parser


@settings(max_examples=5000, deadline=None)
@given(payloads, names, places)
@example(b"", "x", "e:1")
@example(b"\n", "x", "e:1")
@example(b"a\r\rb\n\r", "x", "e:1")
@example(b"\xef\xbb\xbf\xff", "x", "e:1")
def test_no_payload_forges_a_field_or_an_event(payload: bytes, name: str, place: str) -> None:
    wanted = payload.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    events, parser = read(sse.event(payload, name=name.encode(), place=place.encode()))
    assert events == [Event(name, wanted, place)]
    assert (parser.retry, parser.comments) == (None, 0)
    assert read(sse.event(payload))[0] == [Event("message", wanted, "")]


def test_a_payload_of_one_line_is_untouched() -> None:
    assert sse.event(b'{"a" : 1}', name=b"n", place=b"e:1") == b'event: n\nid: e:1\ndata: {"a" : 1}\n\n'


def test_a_place_is_remembered_without_an_event() -> None:
    events, parser = read(sse.place_at(b"e:5"))
    assert (events, parser.last_id) == ([], "e:5")


def test_the_word_on_when_to_come_again_and_the_comment_move_nothing() -> None:
    events, parser = read(sse.place_at(b"e:5") + sse.retry(1500) + sse.COMMENT)
    assert (events, parser.last_id, parser.retry, parser.comments) == ([], "e:5", 1500, 1)
