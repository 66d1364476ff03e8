"""References between rows of one block."""

from headgate.store.references import Link, falling


def test_what_refers_to_a_lost_row_falls_and_nothing_else() -> None:
    links = [Link(1, ("a",), (("z",),)), Link(2, ("b",), (("a",),)), Link(3, ("c",), (("b",),)), Link(4, ("d",))]
    assert falling(links, [1]) == {1, 2, 3}


def test_a_key_that_another_row_brings_too_is_not_lost() -> None:
    links = [Link(1, ("a",)), Link(2, ("a",)), Link(3, ("b",), (("a",),))]
    assert falling(links, [1]) == {1}
    assert falling(links, [1, 2]) == {1, 2, 3}


def test_nothing_falls_with_a_key_that_may_yet_be_brought() -> None:
    assert falling([Link(1, ("a",)), Link(2, ("b",), (("a",),))], [1], {("a",)}) == {1}


def test_rows_in_a_circle_fall_together() -> None:
    assert falling([Link(1, ("a",), (("b",),)), Link(2, ("b",), (("a",),))], [2]) == {1, 2}
