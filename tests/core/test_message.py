"""Messages: what is filled in, and how they sort."""

import time

import pytest

from headgate.core.message import Message, StreamId


def test_a_message_is_of_now_unless_it_says_otherwise() -> None:
    before = time.time_ns()
    assert before <= Message(value=b"").timestamp <= time.time_ns()
    assert Message(value=b"", timestamp=7).timestamp == 7


def test_messages_sort_by_timestamp() -> None:
    late, early = Message(value="a", timestamp=2), Message(value="b", timestamp=1)
    assert sorted([late, early]) == [early, late]


def test_a_message_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Message(value=b"").value = b"other"  # type: ignore[misc]


def test_a_message_takes_keywords_only() -> None:
    with pytest.raises(TypeError):
        Message(b"value")  # type: ignore[misc]


def test_a_stream_id_is_a_kind_and_a_name() -> None:
    assert StreamId("results", "job") == StreamId(kind="results", name="job")
