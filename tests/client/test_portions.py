"""Portions: whole lines, the same ones from the same place on, with the lines they were."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.client.portions import Portion, Portions, Whole
from headgate.errors import BadRequest, BodyTooLarge


def cut(data: bytes, most: int = 10, *, rows: bool = False, offset: int = 0, first_line: int = 1) -> list[Portion]:
    portions = Portions(io.BytesIO(data), rows=rows, most=most, offset=offset, first_line=first_line)
    return list(iter(portions.take, None))


@given(st.lists(st.binary(max_size=12)).map(b"\n".join), st.integers(1, 20))
def test_portions_are_whole_lines_and_together_the_file(data: bytes, most: int) -> None:
    portions = cut(data, most)
    assert b"".join(bytes(portion.data) for portion in portions) == data
    assert all(bytes(portion.data).endswith(b"\n") for portion in portions[:-1])
    assert all(portion.first_line == data[: portion.offset].count(b"\n") + 1 for portion in portions)


@given(st.lists(st.binary(max_size=12)).map(b"\n".join), st.integers(1, 20))
@example(bytes(6) + b"\n\n\0", 3)
def test_from_the_place_of_a_portion_on_the_portions_are_the_same(data: bytes, most: int) -> None:
    portions = cut(data, most)
    for at, portion in enumerate(portions):
        assert cut(data, most, offset=portion.offset, first_line=portion.first_line) == portions[at:]


def test_rows_of_csv_are_not_cut_and_their_names_go_before_each() -> None:
    text = b'a,"b\nb"\n1,2\n3,"4\n5"\n6,7\n'
    first, second = cut(text, 14, rows=True)
    assert (first.head, first.data) == (b"", text[:12])
    assert (second.head, second.data, second.first_line) == (text[:8], text[12:], 4)
    assert b"".join(second.chunks()) == text[:8] + text[12:]
    assert second.line_of(3) == 4  # its first line, after two of the head
    assert cut(text, 14, rows=True, offset=12, first_line=4) == [second]


def test_a_portion_that_is_too_much_is_halved_and_what_comes_after_it_is_no_larger() -> None:
    data = b"1\n22\n333\n4444\n55555\n666666\n"
    portions = Portions(io.BytesIO(data), most=1000)
    whole = portions.take()
    assert whole is not None
    smaller = portions.halve(whole)
    assert smaller.data == b"1\n22\n333\n"
    rest = list(iter(portions.take, None))
    assert [(bytes(portion.data), portion.first_line) for portion in rest] == [(b"4444\n55555\n", 4), (b"666666\n", 6)]


def test_halving_is_the_same_again_after_a_new_start() -> None:
    data = b"".join(b"%d\n" % number for number in range(1000))
    runs = []
    for begin in (Portions(io.BytesIO(data), most=2000), Portions(io.BytesIO(data), most=2000)):
        first = begin.take()
        assert first is not None
        runs.append(begin.halve(begin.halve(first)))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("data", [b"one line\n", b"one line"])
def test_one_line_cannot_be_halved(data: bytes) -> None:
    portions = Portions(io.BytesIO(data))
    whole = portions.take()
    assert whole is not None
    with pytest.raises(BodyTooLarge, match="line 1 is over the limit"):
        portions.halve(whole)


def test_a_long_line_before_others_can_be_sent_alone() -> None:
    portions = Portions(io.BytesIO(b"x" * 50 + b"\n1\n2\n"))
    whole = portions.take()
    assert whole is not None
    assert portions.halve(whole).data == b"x" * 50 + b"\n"


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"line 2 is longer than 67,108,864 bytes"):
        cut(b"1\n" + b"x" * (140 * 2**20), 2**20)


def test_of_a_pipe_it_takes_what_is_there() -> None:
    out, into = os.pipe()
    with open(out, "rb") as reading, open(into, "wb", buffering=0) as writing:  # noqa: PTH123 - these are no paths
        portions = Portions(reading)
        for text in (b"1\n2\n", b"3\n"):
            writing.write(text)
            taken = portions.take()
            assert taken is not None
            assert taken.data == text
        writing.write(b"4")
        writing.close()
        last = portions.take()
        assert last is not None
        assert (last.data, last.offset, last.first_line) == (b"4", 6, 4)
        assert portions.take() is None


def test_the_key_is_of_the_bytes_their_place_and_the_run() -> None:
    portion = Portion(b"1\n", 10)
    assert portion.key("a") == Portion(b"1\n", 10, first_line=7).key("a")
    others = {portion.key("b"), Portion(b"1\n", 11).key("a"), Portion(b"2\n", 10).key("a"), portion.key("a")}
    assert len(others) == 4


def test_lines_are_found_by_their_number_in_the_file() -> None:
    portion = Portion(b"a\r\nb\n\nd", first_line=10)
    assert list(portion.lines([10, 11, 12, 13])) == [b"a", b"b", b"", b"d"]
    assert list(portion.lines([13, 13])) == [b"d", b"d"]


def test_rows_are_found_whole() -> None:
    portion = Portion(b'1,"x\ny"\n2,z\n', first_line=5)
    assert list(portion.lines([5, 7], rows=True)) == [b'1,"x\ny"', b"2,z"]


def test_the_whole_file_is_one_portion(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a,b\n1,2\n3,4\n")
    with (tmp_path / "x").open("rb") as file:
        whole = Whole(file, rows=True)
        portion = whole.take()
        assert portion is not None
        assert b"".join(portion.chunks()) == b"a,b\n1,2\n3,4\n"
        assert list(portion.lines([3])) == [b"3,4"]
        assert whole.head == b"a,b\n"
        assert whole.take() is None
        assert Whole(file, settled=True).take() is None
        with pytest.raises(BodyTooLarge, match="12 bytes are over"):
            whole.halve(portion)


def test_an_empty_file_has_no_portion(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with (tmp_path / "x").open("rb") as file:
        assert Whole(file).take() is None
        assert Portions(file).take() is None
