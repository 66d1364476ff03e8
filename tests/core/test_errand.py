"""Errands: what fits into a frame, and what is no errand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core import errand, wire
from headgate.core.errand import Kind
from headgate.core.message import Message, StreamId
from headgate.errors import FrameMalformed

MESSAGES = st.builds(
    Message[bytes],
    value=st.binary(max_size=300),
    timestamp=st.integers(-(2**63), 2**63 - 1),
    stream=st.builds(StreamId, st.text(max_size=20), st.text(max_size=20)),
    key=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=20)), max_size=3).map(tuple),
    offset=st.integers(-1, 2**63 - 1),
)


@given(st.lists(MESSAGES, max_size=20), st.integers(0, 3000))
def test_what_fits_does_and_what_does_not_is_told(messages: list[Message[bytes]], more: int) -> None:
    limit = errand.ROOM + more
    count = errand.fitting(messages, limit)
    assert len(wire.pack(messages[:count])) <= limit
    assert errand.messages_of(wire.pack(messages[:count])) == messages[:count]
    if count < len(messages):
        assert sum(map(errand.weight, messages[: count + 1])) > more


@given(st.lists(st.integers(1, 50), max_size=30))
def test_all_items_go_into_frames_in_their_order(sizes: list[int]) -> None:
    items = list(range(len(sizes)))
    frames = errand.frames_of(items, sizes, 50)
    assert [item for frame in frames for item in frame] == items
    assert all(frame and sum(sizes[item] for item in frame) <= 50 for frame in frames)


@given(st.sampled_from(Kind), st.binary(max_size=60))
def test_noise_is_no_errand_or_one_of_its_kind(kind: Kind, payload: bytes) -> None:
    try:
        said = errand.decode(kind, payload)
    except FrameMalformed:
        return
    assert errand.decode(kind, errand.encode(said)) == said


def test_messages_that_are_none_are_told() -> None:
    with pytest.raises(FrameMalformed):
        errand.messages_of(b"\xc1")
