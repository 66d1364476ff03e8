"""Positions: their text, and the ways to name a place to start at."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.message import Message
from headgate.core.position import UNKNOWN, At, Last, Newest, Oldest, Position, Receipt, Since, parse_start
from headgate.errors import PositionError

EPOCHS = st.text("0123456789abcdefXYZ_-", min_size=1, max_size=64)
OFFSETS = st.dictionaries(st.integers(0, 10_000), st.integers(0, 2**63 - 1), min_size=1, max_size=20)


@given(EPOCHS, OFFSETS)
def test_text_says_all_of_a_position(epoch: str, offsets: dict[int, int]) -> None:
    position = Position(epoch, offsets)
    assert Position.parse(str(position)) == position


def test_a_stream_with_one_partition_has_a_short_position() -> None:
    assert str(Position.single("9f3c21ab", 41)) == "9f3c21ab:41"


def test_partitions_stand_in_their_order() -> None:
    assert str(Position("e", {1: 7, 0: 13})) == "e:0-13,1-7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e",
        "e:",
        ":1",
        "e:-1",
        "e:1-",
        "e:1-2,",
        "e:1.5",
        "é:1",
        "e:1\n",
        "e f:1",
        "e:" + "9" * 30,
        "x" * 100,
        "e:٣",
        "e:1-٣",
        "e:1-2,1-3",
    ],
)
def test_anything_else_is_no_position(text: str) -> None:
    with pytest.raises(PositionError):
        Position.parse(text)


def test_an_offset_beyond_64_bits_is_refused() -> None:
    with pytest.raises(PositionError, match="too large"):
        Position.parse("e:9999999999999999999")


@given(
    st.text(max_size=100)
    | st.from_regex(r"[a-f0-9]{1,4}:[0-9]{1,25}(-[0-9]{1,25}(,[0-9]{1,10}-[0-9]{1,25})*)?", fullmatch=True)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{5,9}(\.[0-9]*)?([Zz+ -][0-9:]{0,6})?", fullmatch=True)
    | st.from_regex(r"last:\d{0,15}", fullmatch=True)
)
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(PositionError):
        parse_start(text)


def test_the_place_after_a_message_moves_its_partition_alone() -> None:
    place = Position("e", {0: 3, 1: 5}).after(Message(value=b"", partition=1, offset=8))
    assert place == Position("e", {0: 3, 1: 9})
    assert place.offset == 3


def test_a_place_moved_back_is_before_the_first_of_each_partition() -> None:
    batch = [Message(value=b"", partition=p, offset=o) for p, o in [(0, 3), (1, 8), (0, 4)]]
    assert Position("e", {0: 5, 1: 9, 2: 7}).before(batch) == Position("e", {0: 3, 1: 8, 2: 7})
    assert Position("e", {0: 5}).before([]) == Position("e", {0: 5})


def test_the_place_of_a_stream_without_a_first_partition_is_its_beginning() -> None:
    assert Position("e", {4: 7}).offset == 0


def test_a_receipt_gives_the_place_after_each_message() -> None:
    assert [str(place) for place in Receipt("e", range(3, 5)).positions()] == ["e:4", "e:5"]
    assert [str(place) for place in Receipt("e", [3, 9], [1, 0]).positions()] == ["e:1-4", "e:10"]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("oldest", Oldest()),
        ("newest", Newest()),
        ("last:12", Last(12)),
        ("e:4", At(Position.single("e", 4))),
        ("2022-11-06T21:40:21.587353Z", Since(1667770821587353000)),
        ("2022-11-06T21:40:21.123456789Z", Since(1667770821123456789)),
        ("2022-11-06t22:40:21+01:00", Since(1667770821000000000)),
        ("2022-11-06T22:40:21 01:00", Since(1667770821000000000)),  # a plus sign, after a query string
        ("2022-11-06 21:40:21z", Since(1667770821000000000)),
        ("2022-11-06T21:40:21.12345678999Z", Since(1667770821123456789)),
        ("1960-01-01T00:00:00.5Z", Since(0)),
        ("9999-12-31T23:59:59Z", Since(2**63 - 1)),
        ("last:0", Last(0)),
    ],
)
def test_a_start_is_read(text: str, start: object) -> None:
    assert parse_start(text) == start


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "no place to start"),
        ("2022-11-06T21:40:21", "no time zone"),
        ("2022-13-06T21:40:21Z", "not an RFC 3339 time"),
        ("2022-11-06T21", "not an RFC 3339 time"),
        ("2022-11-06T21:40:21,5Z", "not an RFC 3339 time"),
        ("2022-11-06T21:40:21+0100", "not an RFC 3339 time"),
        ("2022-11-06T21:40:21+25:00", "not an RFC 3339 time"),
        ("2022-11-06T21:40:21Z\n", "not an RFC 3339 time"),
        ("٢022-11-06T21:40:21Z", "no place to start"),
        ("last:٣", "no place to start"),
        ("last:-1", "no place to start"),
        ("last:", "no place to start"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(PositionError, match=reason):
        parse_start(text)


def test_the_furthest_of_two_places_is_the_furthest_in_each_partition() -> None:
    one, other = Position("e", {0: 5, 1: 2}), Position("e", {1: 7, 2: 1})
    assert one.furthest(other) == Position("e", {0: 5, 1: 7, 2: 1})


def test_a_place_that_nobody_can_tell_yet_is_not_known() -> None:
    assert Position("e", {0: 5}).is_known
    assert not Position(UNKNOWN, {}).is_known
