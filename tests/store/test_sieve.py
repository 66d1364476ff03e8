"""The sieve: what is cut out of rows before the database sees them."""

from headgate.core.entity import Kind, Layout
from headgate.core.rows import Rows
from headgate.store.postgresql.sieve import keys_alone, repeated, without
from tests.layouts import field

LAYOUT = Layout("Thing", "T", (field("a", Kind.INTEGER), field("b", Kind.TEXT), field("c", Kind.INTEGER)))


def rows(*lines: str) -> Rows:
    return Rows(LAYOUT, "".join(f"{line}\n" for line in lines).encode(), len(lines))


def test_numbers_and_keys_are_cut_out() -> None:
    found = rows("1|10|x|5", "3|11||6")
    assert keys_alone(found, ["a"]) == b"1|10\n3|11\n"
    assert keys_alone(found, ["c", "a"]) == b"1|5|10\n3|6|11\n"


def test_what_would_have_to_be_read_is_not_cut() -> None:
    assert keys_alone(rows("1|10|x\\|y|5"), ["a"]) is None
    assert keys_alone(rows("1|10|x|5"), ["d"]) is None


def test_some_rows_are_left_out() -> None:
    assert without(rows("1|10|x|5", "3|11||6", "12|12|y|7"), {1, 12}) == b"11||6\n"


def test_the_first_of_a_key_stays_whichever_layout_it_is_of() -> None:
    one, other = b"1|10|5\n4|11|6\n", b"2|10|7\n3|12|6\n5|13|\n6|14|\n"
    assert repeated([one, other], [[0]], set()) == {2}
    assert repeated([one, other], [[0], [1]], set()) == {2, 4}
    assert repeated([one, other], [[0], [1]], {1, 3}) == set()
    assert repeated([b"1|1|23\n2|12|3\n"], [[0, 1]], set()) == set()
