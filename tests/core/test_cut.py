"""The cutter: however a body comes, its lines are whole and keep their numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.cut import Cutter, Piece, last_row_break


def cut(chunks: list[bytes], *, piece: int = 10, line: int = 100) -> list[Piece]:
    cutter = Cutter(piece_bytes=piece, line_bytes=line)
    pieces = []
    for chunk in chunks:
        cutter.add(chunk)
        if cutter.full:
            pieces.append(cutter.take())
    pieces.append(cutter.take(final=True))
    return [piece for piece in pieces if piece is not None]


def test_a_small_body_is_one_piece() -> None:
    assert cut([b"a\nb"]) == [Piece(b"a\nb", 1)]


def test_nothing_is_no_piece() -> None:
    assert cut([]) == cut([b""]) == []


def test_pieces_end_with_whole_lines_and_number_goes_on() -> None:
    assert cut([b"one\ntwo\nthr", b"ee\nfour\nfive"]) == [
        Piece(b"one\ntwo\n", 1),
        Piece(b"three\nfour\n", 3),
        Piece(b"five", 5),
    ]


def test_a_line_longer_than_a_piece_waits_for_its_end() -> None:
    assert cut([b"x" * 30, b"y" * 30 + b"\nz"]) == [Piece(b"x" * 30 + b"y" * 30 + b"\n", 1), Piece(b"z", 2)]


@pytest.mark.parametrize("chunks", [[b"a\n" + b"x" * 150 + b"\nb\n"], [b"a\n", b"x" * 75, b"x" * 75, b"\nb\n"]])
def test_a_line_too_long_is_a_fault_and_takes_no_other_with_it(chunks: list[bytes]) -> None:
    pieces = cut(chunks)
    assert b"".join(piece.data for piece in pieces) == b"a\n\nb\n"
    [fault] = [fault for piece in pieces for fault in piece.faults]
    assert (fault.line_number, fault.message) == (2, "the line is longer than 100 bytes")
    assert fault.line == "x" * 100 + "..."


def test_of_a_line_without_end_nothing_is_held() -> None:
    cutter = Cutter(piece_bytes=10, line_bytes=100)
    for _ in range(1000):
        cutter.add(b"x" * 50)
        if cutter.full:
            cutter.take()
        assert cutter.size <= 150
    assert cutter.take(final=True) is None


def test_a_line_too_long_at_the_end_is_told() -> None:
    pieces = cut([b"a\n" + b"x" * 101])
    assert [(piece.data, [fault.line_number for fault in piece.faults]) for piece in pieces][-1][1] == [2]


def test_rows_of_csv_may_hold_breaks() -> None:
    assert last_row_break(b'a,b\n"x\ny",1\n"z\n') == 12
    assert last_row_break(b'"x\n') == 0


@given(st.lists(st.sampled_from([b"a", b"bb\n", b"\n", b"c" * 30, b"d" * 9 + b"\n"]), max_size=30), st.integers(1, 40))
def test_however_it_comes_it_is_the_same(chunks: list[bytes], piece: int) -> None:
    whole = b"".join(chunks)
    pieces = cut(chunks, piece=piece, line=20)
    short = [b"" if len(line) > 20 else line for line in whole.split(b"\n")]
    assert b"".join(found.data for found in pieces).removesuffix(b"\n") == b"\n".join(short).removesuffix(b"\n")
    long = [number for number, line in enumerate(whole.split(b"\n"), 1) if len(line) > 20]
    assert [fault.line_number for found in pieces for fault in found.faults] == long
    at = 1
    for found in pieces:
        assert found.first_line == at
        at += found.data.count(b"\n")
