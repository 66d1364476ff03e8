"""The window: one series over all partitions, places that are exact, and bounds that hold."""

import json
import tracemalloc

import pytest

from headgate.core.codec import JsonCodec
from headgate.core.match import EVERYTHING, Facet, Kind, Selection, Source
from headgate.core.message import Message
from headgate.core.position import Batch, Position
from headgate.core.window import Window

CODEC = JsonCodec()


def window(messages: int = 100, size: int = 10**9) -> Window:
    made = Window(CODEC, messages=messages, size=size)
    made.restart(Position("e", {0: 0}))
    return made


def batch(*places: tuple[int, int], keys: str = "", value: bytes = b"1", epoch: str = "e") -> Batch:
    messages = [
        Message(value=value, partition=p, offset=o, key=keys[n].encode() if keys else None)
        for n, (p, o) in enumerate(places)
    ]
    return Batch(messages, Position(epoch, {p: o + 1 for p, o in places}))


def places(made: Window) -> list[str]:
    return [made[number].place for number in range(made.oldest, made.newest)]


def test_of_one_partition_places_are_plain_offsets() -> None:
    made = window()
    assert made.append(batch((0, 0), (0, 1))) == range(2)
    assert places(made) == ["e:1", "e:2"]
    assert (str(made.tail), str(made.head)) == ("e:0", "e:2")


def test_of_several_partitions_each_place_names_all() -> None:
    made = window()
    made.restart(Position("e", {0: 5, 2: 0, 10: 7}))
    made.append(batch((2, 0), (0, 5), (10, 7), (0, 6)))
    assert places(made) == ["e:0-5,2-1,10-7", "e:0-6,2-1,10-7", "e:0-6,2-1,10-8", "e:0-7,2-1,10-8"]


def test_a_partition_that_was_added_is_here_from_its_beginning() -> None:
    made = window()
    made.append(batch((0, 0)))
    made.append(batch((1, 0), (0, 1)))
    assert places(made) == ["e:1", "e:0-1,1-1", "e:0-2,1-1"]
    assert made.covers(Position("e", {0: 1}))
    assert made.covers(Position("e", {0: 1, 1: 0}))


def test_the_end_of_a_batch_may_lie_beyond_its_last_message() -> None:
    made = window()
    made.append(Batch([], Position("e", {0: 7})))
    assert str(made.head) == "e:7"


def test_the_oldest_go_by_number_when_all_had_them() -> None:
    made = window(messages=3)
    made.append(batch(*((0, n) for n in range(10)), keys="ababababab"))
    assert len(places(made)) == 10
    made.trim()
    assert (made.oldest, made.newest, str(made.tail)) == (7, 10, "e:7")
    assert [n for n, _ in made.wanted(Selection({Facet(Source.KEY): frozenset("a")}), 0)] == [8]


def test_the_oldest_go_by_weight_and_a_single_one_may_be_too_heavy() -> None:
    made = window(size=5000)
    made.append(batch(*((0, n) for n in range(10)), value=b"x" * 480))
    made.trim()
    assert len(places(made)) == 5
    made.append(batch((0, 10), value=b"x" * 10_000))
    made.trim()
    assert (places(made), str(made.tail)) == ([], "e:11")


def test_nothing_stays_of_keys_that_are_gone() -> None:
    made = window(messages=2)
    for number in range(1000):
        made.append(Batch([Message(value=b"", key=b"%d" % number, offset=number)], Position("e", {0: number + 1})))
        made.trim()
    assert len(made._last) == 2
    made.restart(Position("f", {0: 0}))
    made.append(batch((0, 0), keys="a", epoch="f"))
    assert len(made._last) == 1


def test_all_that_a_message_brings_has_its_weight() -> None:
    heavy = [
        Message(value=b"x" * 1000, offset=0),
        Message(value=b"", key=b"k" * 1000, offset=1),
        Message(value=b"", headers=(("h" * 500, b"v" * 500),), offset=2),
    ]
    for message in heavy:
        made = window(size=1500)
        made.append(Batch([message], Position("e", {0: message.offset + 1})))
        assert len(places(made)) == 1
        made.trim()
        assert (places(made), made._bytes) == ([], 0)


@pytest.mark.parametrize("keys", [1, 20_000])
@pytest.mark.parametrize("partitions", [1, 50])
def test_what_it_takes_is_about_what_it_says(keys: int, partitions: int) -> None:
    made = window(messages=20_000)
    made.restart(Position("e", dict.fromkeys(range(partitions), 0)))
    tracemalloc.start()
    for number in range(0, 20_000, partitions):
        offset = number // partitions
        messages = [
            Message(value=b"%100d" % number, key=b"%d" % ((number + p) % keys), partition=p, offset=offset)
            for p in range(partitions)
        ]
        made.append(Batch(messages, Position("e", dict.fromkeys(range(partitions), offset + 1))))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * made._bytes < taken < 1.5 * made._bytes


def test_it_covers_what_comes_after_its_tail_in_every_partition_of_the_same_life() -> None:
    made = window(messages=2)
    made.restart(Position("e", {0: 0, 1: 0}))
    made.append(batch((0, 0), (1, 0), (0, 1), (1, 1)))
    made.trim()
    assert str(made.tail) == "e:0-1,1-1"
    assert made.covers(Position("e", {0: 1, 1: 1}))
    assert made.covers(Position("e", {0: 9, 1: 9}))
    assert not made.covers(Position("e", {0: 0, 1: 2}))
    assert not made.covers(Position("e", {0: 2}))
    assert not made.covers(Position("f", {0: 1, 1: 1}))


def test_it_knows_what_is_beyond_it() -> None:
    made = window()
    made.append(batch((0, 0)))
    assert not made.is_beyond({0: 1})
    assert made.is_beyond({0: 2})
    assert made.is_beyond({1: 1})


@pytest.mark.parametrize(("offset", "number"), [(0, 0), (3, 0), (4, 1), (5, 2), (7, 2), (8, 3), (99, 3)])
def test_a_place_is_found_also_where_offsets_have_holes(offset: int, number: int) -> None:
    made = window()
    made.append(batch((0, 3), (0, 4), (0, 7)))
    assert made.seek({0: offset}) == number


@pytest.mark.parametrize(
    ("offsets", "number"),
    [
        ({}, 0),
        ({0: 1}, 1),
        ({1: 2}, 0),
        ({0: 1, 1: 1}, 2),
        ({0: 2, 1: 1}, 3),
        ({0: 1, 1: 2}, 2),
        ({0: 2, 1: 2}, 4),
        ({0: 9, 1: 9, 2: 9}, 4),
    ],
)
def test_of_several_partitions_a_place_is_before_the_first_message_that_it_has_not(
    offsets: dict[int, int], number: int
) -> None:
    made = window()
    made.restart(Position("e", {0: 0, 1: 0}))
    made.append(batch((0, 0), (1, 0), (0, 1), (1, 1)))
    assert made.seek(offsets) == number


def test_what_lies_before_a_place_among_what_does_not_is_left_out() -> None:
    made = window()
    made.append(batch((0, 0), (1, 0), (0, 1)))
    found = made.wanted(EVERYTHING, made.seek({0: 2}), {0: 2})
    assert [(entry.message.partition, entry.message.offset) for _, entry in found] == [(1, 0)]


def test_the_place_before_a_message_is_the_one_after_the_last() -> None:
    made = window(messages=2)
    made.append(batch((0, 0), (0, 1), (0, 2)))
    made.trim()
    assert [made.place_before(n) for n in (0, 1, 2, 3)] == ["e:1", "e:1", "e:2", "e:3"]


def test_another_life_begins_with_nothing_and_goes_on_counting() -> None:
    made = window()
    made.append(batch((0, 0), keys="a"))
    made.restart(Position("f", {0: 100}), missed=7)
    assert (made.oldest, made.newest, made.lost, str(made.head)) == (1, 1, 7, "f:100")
    assert list(made.wanted(Selection({Facet(Source.KEY): frozenset("a")}), 0)) == []
    assert made.append(batch((0, 100), epoch="f")) == range(1, 2)


def test_several_keys_come_in_the_order_of_arrival() -> None:
    made = window()
    made.append(batch(*((0, n) for n in range(6)), keys="abcabc"))
    selection = Selection({Facet(Source.KEY): frozenset("ac")})
    assert [n for n, _ in made.wanted(selection, 2)] == [2, 3, 5]


def test_a_value_is_decoded_once_and_rendered_once_for_each_kind_of_reader() -> None:
    decoded = []
    rendered = []

    class Codec(JsonCodec):
        def decode(self, body: bytes) -> object:
            decoded.append(body)
            return super().decode(body)

    class Plain:
        def frame(self, message: Message[bytes], place: str) -> bytes:
            rendered.append(place)
            return message.value

        def gap(self, gap: object) -> bytes:
            raise AssertionError

    made = Window(Codec(), messages=10, size=10**6)
    made.restart(Position("e", {0: 0}))
    made.append(Batch([Message(value=json.dumps({"a": 1}).encode(), offset=0)], Position("e", {0: 1})))
    made.append(Batch([Message(value=b"not json", offset=1)], Position("e", {0: 2})))
    selection = Selection({Facet(Source.FIELD, ("a",), kind=Kind.INTEGER): frozenset([1])})
    plain = Plain()
    for _ in range(3):
        [(_, entry)] = made.wanted(selection, 0)
        assert entry.frame(plain) == b'{"a": 1}'
    assert (decoded, rendered) == ([b'{"a": 1}', b"not json"], ["e:1"])
    assert repr(made).startswith("<Window 0..2")
