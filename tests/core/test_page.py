"""The page: which message is which, and what stands or falls together."""

from headgate.core.cut import Piece
from headgate.core.entity import Computed, Derivation, Entity, Fault, Kind, Storage, Transform
from headgate.core.page import LineReader, RecordPage
from tests.layouts import entity, field

PLACE = entity(
    "Place",
    "P",
    field("key", Kind.INTEGER),
    field("name", Kind.TEXT, nullable=True),
    storage=Storage("places", ("key",)),
)
PARCEL = entity(
    "Parcel",
    "C",
    field("key", Kind.INTEGER),
    field("items", Kind.OBJECT_LIST, stored=True),
    storage=Storage("parcels", ("key",)),
)
ITEM = Entity(
    "Item",
    "derived",
    (
        field("part", Kind.TEXT, computed=Computed(Transform.JSON_GET_STRING, "item", ("part",))),
        field("parcel", Kind.INTEGER, computed=Computed(Transform.COPY_FIELD, "Parcel", ("key",))),
    ),
    storage=Storage("items", ("parcel", "part")),
    derivation=Derivation("Parcel", "items", "item"),
)


def test_each_message_has_its_number_and_its_entity() -> None:
    reader = LineReader([PLACE])
    block = b"P|1|a\n# comment\n\nP|x|\nP|2|\nZ|\nP|3|\xff\n"
    page = reader.read(Piece(block, 5, (Fault("too long", 12, line="xxx"),)))
    assert list(page.messages()) == [(5, "Place"), (8, "Place"), (9, "Place"), (10, None), (11, "Place"), (12, None)]
    assert [fault.line_number for fault in page.faults] == [8, 10, 11, 12]
    assert page.good == {"Place": 2}
    assert (page.text(5), page.raw(11), page.text(11)) == ("P|1|a", b"P|3|\xff", "P|3|\ufffd")
    assert [(number, record.values["key"]) for number, record in page.records({9, 5})] == [(5, 1), (9, 2)]
    assert [rows.data for rows in page.numbered()] == [b"5|1|a\n9|2|\n"]
    assert repr(page) == "<LinePage: 2 good messages, 4 bad>"
    assert repr(reader) == "<LineReader of <RecordParser: P>>"


def test_a_line_has_an_identity() -> None:
    reader = LineReader([PLACE])
    assert reader.identity("P|7|x") == ("Place", [7])
    layout = reader.layout(b"P|7|x")
    assert layout is not None
    assert layout.entity == "Place"
    assert reader.layout(b"nothing") is None


def test_what_comes_out_of_a_record_goes_with_it() -> None:
    reader = LineReader([PARCEL, ITEM, PLACE])
    lines = ['C|1|[{"part": "a"}, {"part": "b"}]', 'C|2|[{"part": 5}]', "C|x|[]", "P|9|"]
    page = reader.read(Piece("\n".join(lines).encode(), 1))
    assert [(fault.line_number, fault.entity, fault.line) for fault in page.faults] == [
        (2, "Item", lines[1]),
        (3, "Parcel", lines[2]),
    ]
    assert {rows.layout.entity: rows.data for rows in page.numbered()} == {
        "Parcel": b'1|1|[{"part":"a"},{"part":"b"}]\n',
        "Item": b"1|a|1\n1|b|1\n",
        "Place": b"4|9|\n",
    }
    assert page.good == {"Parcel": 1, "Place": 1}
    assert list(page.messages()) == [(1, "Parcel"), (2, "Item"), (3, "Parcel"), (4, "Place")]


def test_what_a_message_carries_is_told_from_what_comes_out_of_it() -> None:
    reader = LineReader([PARCEL, ITEM, PLACE])
    lines = ['C|1|[{"part": "a"}, {"part": "b"}]', "P|9|", "C|2|[]", 'C|3|[{"part": "c"}]']
    page = reader.read(Piece("\n".join(lines).encode(), 1))
    assert isinstance(page, RecordPage)
    assert page.has_families
    assert {rows.layout.entity: rows.data for rows in page.carried({1}).numbered()} == {
        "Place": b"2|9|\n",
        "Parcel": b'3|2|[]\n4|3|[{"part":"c"}]\n',
    }
    numbers, derived = page.derived({3})
    assert numbers == [1, 1, 4]
    assert [rows.data for rows in derived.numbered()] == [b"1|a|1\n2|b|1\n3|c|3\n"]
    assert page.derived({1, 4})[0] == []
    assert not page.carried(()).has_families
