"""The queue as a sink: the newest stay, the dropped are counted, an age is that of the message, reading drains."""

import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headgate
from headgate.core.codec import MsgpackCodec
from headgate.core.message import Message, MessageSink, StreamId
from headgate.errors import CodecError
from headgate.transport.queue_sink import QueueBasedMessageSink

SECOND = 1_000_000_000


def dated(*timestamps: int) -> list[Message[int]]:
    return [Message(value=timestamp, timestamp=timestamp) for timestamp in timestamps]


def values(messages: list[Message[int]]) -> list[int]:
    return [message.value for message in messages]


def test_it_is_a_message_sink_and_part_of_the_public_api() -> None:
    sink: MessageSink[int] = headgate.QueueBasedMessageSink[int]()
    sink.publish_messages(dated(1))


def test_reading_drains_oldest_first() -> None:
    sink = QueueBasedMessageSink[int]()
    sink.publish_messages(dated(1, 2))
    sink.publish_messages(dated(3))
    assert len(sink) == 3
    assert values(sink.drain()) == [1, 2, 3]
    assert sink.drain() == []
    assert (len(sink), sink.dropped) == (0, 0)


def test_reading_up_to_a_limit_leaves_the_rest() -> None:
    sink = QueueBasedMessageSink[int]()
    sink.publish_messages(dated(1, 2, 3))
    assert [values(sink.drain(limit)) for limit in (0, 2, 2, 2)] == [[], [1, 2], [3], []]


def test_it_keeps_a_thousand_unless_told_otherwise() -> None:
    sink = QueueBasedMessageSink[int]()
    sink.publish_messages(dated(*range(1003)))
    assert (len(sink), sink.dropped) == (1000, 3)
    assert values(sink.drain())[0] == 3


def test_the_oldest_go_when_it_is_full() -> None:
    sink = QueueBasedMessageSink[int](max_size=3)
    for number in range(5):
        sink.publish_messages(dated(number))
    assert sink.dropped == 2
    assert values(sink.drain()) == [2, 3, 4]
    sink.publish_messages(dated(5, 6, 7))
    assert sink.dropped == 2  # what was read is not dropped
    assert repr(sink) == "<QueueBasedMessageSink: 3 waiting, 2 dropped>"


@given(st.integers(1, 8), st.lists(st.tuples(st.sampled_from(["publish", "drain"]), st.integers(0, 12))))
def test_it_is_the_end_of_a_list_and_counts_every_message(size: int, acts: list[tuple[str, int]]) -> None:
    sink, kept, numbers = QueueBasedMessageSink[int](size), list[int](), itertools.count()
    dropped = 0
    for act, count in acts:
        if act == "publish":
            batch = dated(*itertools.islice(numbers, count))
            sink.publish_messages(batch)
            kept += values(batch)
            dropped += max(0, len(kept) - size)
            kept = kept[-size:]
        else:
            assert values(sink.drain(count)) == kept[:count]
            kept = kept[count:]
        assert (len(sink), sink.dropped) == (len(kept), dropped)


def test_an_age_is_measured_from_the_messages_own_timestamp_when_it_is_read() -> None:
    now = 100 * SECOND
    sink = QueueBasedMessageSink[int](max_age_seconds=10, clock=lambda: now)
    sink.publish_messages(dated(85 * SECOND, 95 * SECOND, 99 * SECOND))
    assert sink.dropped == 0  # nobody has looked yet
    now = 105 * SECOND
    assert values(sink.drain()) == [95 * SECOND, 99 * SECOND]  # exactly ten seconds old is not too old
    assert sink.dropped == 1


def test_a_message_that_is_too_old_is_not_given_out_whatever_came_before_it() -> None:
    sink = QueueBasedMessageSink[int](max_age_seconds=10, clock=lambda: 100 * SECOND)
    sink.publish_messages(dated(500 * SECOND, 1, 95 * SECOND, 2))
    assert len(sink) == 2
    assert values(sink.drain(1)) == [500 * SECOND]
    assert values(sink.drain(1)) == [95 * SECOND]
    assert sink.dropped == 2


def test_a_clock_that_goes_back_brings_nothing_back_and_drops_nothing() -> None:
    now = 100 * SECOND
    sink = QueueBasedMessageSink[int](max_age_seconds=10, clock=lambda: now)
    sink.publish_messages(dated(50 * SECOND, 99 * SECOND))
    assert len(sink) == 1
    now -= 3600 * SECOND
    assert values(sink.drain()) == [99 * SECOND]
    assert sink.dropped == 1


def test_without_an_age_nothing_is_too_old() -> None:
    sink = QueueBasedMessageSink[int]()
    sink.publish_messages(dated(0))
    assert len(sink) == 1


def test_everything_about_a_message_comes_through() -> None:
    sink = QueueBasedMessageSink[object](serializer=MsgpackCodec())
    message: Message[object] = Message(
        value={"a": b"\xff"}, timestamp=7, stream=StreamId("results", "r"), key=b"k", headers=(("h", b"v"),)
    )
    sink.publish_messages([message])
    assert sink.drain() == [message]


def test_what_is_changed_after_publishing_is_not_changed_in_the_queue() -> None:
    sink = QueueBasedMessageSink[list[int]]()
    value = [1]
    sink.publish_messages([Message(value=value)])
    value.append(2)
    assert sink.drain()[0].value == [1]


def test_a_batch_with_a_value_that_cannot_be_encoded_is_refused_as_a_whole() -> None:
    sink = QueueBasedMessageSink[object]()
    with pytest.raises(CodecError):
        sink.publish_messages([Message(value=1), Message(value=object())])
    assert (len(sink), sink.dropped) == (0, 0)


def test_a_queue_keeps_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        QueueBasedMessageSink[int](max_size=0)


def test_what_was_read_is_not_held_in_memory() -> None:
    sink = QueueBasedMessageSink[int]()
    sink.publish_messages(dated(1, 2))
    sink.drain()
    assert not sink._waiting


def test_threads_lose_nothing_and_get_nothing_twice() -> None:
    sink = QueueBasedMessageSink[int](max_size=200, max_age_seconds=3600)
    count, publishers = 2000, 4
    got: list[int] = []
    running = threading.Event()
    running.set()

    def publish(first: int) -> None:
        for number in range(first, first + count, 5):
            now = time.time_ns()
            sink.publish_messages([Message(value=n, timestamp=now) for n in range(number, number + 5)])

    def drain() -> None:
        while running.is_set() or len(sink):
            got.extend(values(sink.drain(7)))

    publishing = [threading.Thread(target=publish, args=(n * count,)) for n in range(publishers)]
    draining = [threading.Thread(target=drain) for _ in range(3)]
    for thread in (*draining, *publishing):
        thread.start()
    for thread in publishing:
        thread.join()
    running.clear()
    for thread in draining:
        thread.join()
    assert len(got) == len(set(got))
    assert len(got) + sink.dropped == count * publishers
