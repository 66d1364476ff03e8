"""Rows: single records in the text format of COPY, with everything escaped that it would read otherwise."""

from headgate.core.entity import Kind, Record
from headgate.core.records import record_of_json
from headgate.core.rows import row_of
from tests.layouts import entity, field

NOTE = entity(
    "Note",
    "N",
    field("id", Kind.INTEGER),
    field("text", Kind.TEXT, nullable=True),
    field("more", Kind.JSON, nullable=True),
    field("at", Kind.TIMESTAMP, nullable=True),
    field("items", Kind.OBJECT_LIST, nullable=True, stored=False),
    field("origin", Kind.TEXT, constant="web"),
)


def row(given: object) -> bytes:
    record = record_of_json(NOTE, given)
    assert isinstance(record, Record)
    return row_of(record).data


def test_a_record_becomes_a_row_of_what_is_kept() -> None:
    assert row({"id": 1, "text": "a", "items": []}) == b"1|a|||web\n"
    assert row({"id": 1, "at": "2000-01-01T00:00Z"}) == b"1|||2000-01-01T00:00:00+00:00|web\n"


def test_a_text_of_json_may_hold_what_a_line_cannot() -> None:
    assert row({"id": 1, "text": "a|b\nc\rd\\e\tf"}) == b"1|a\\|b\\nc\\rd\\\\e\tf|||web\n"
    assert row({"id": 1, "more": {"a|": "\n"}}) == b'1||{"a\\|":"\\\\n"}||web\n'


def test_a_row_names_its_columns() -> None:
    record = record_of_json(NOTE, {"id": 1})
    assert isinstance(record, Record)
    assert row_of(record).layout.columns == ("id", "text", "more", "at", "origin")
    assert repr(row_of(record).layout) == "<Layout whole of Note: 4 fields>"
