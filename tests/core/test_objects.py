"""Records that are JSON objects or rows of CSV: each has its number, and what is wrong with it."""

import json

import pytest

from headgate.core.cut import Piece
from headgate.core.entity import Fault, Kind, Storage
from headgate.core.objects import CsvReader, ObjectReader
from headgate.errors import CodecError
from tests.layouts import entity, field

PLACE = entity(
    "Place",
    "P",
    field("key", Kind.INTEGER),
    field("name", Kind.TEXT, nullable=True),
    storage=Storage("places", ("key",)),
)
OTHER = entity("Other", "O", field("key", Kind.INTEGER), storage=Storage("others", ("key",)))


def piece(text: str, first: int = 1) -> Piece:
    return Piece(text.encode("utf-8", "surrogateescape"), first, ())


def test_lines_of_json_name_their_entity() -> None:
    reader = ObjectReader([PLACE, OTHER])
    lines = [{"entity": "Place", "record": {"key": 1}}, {"entity": "X", "record": {}}, {"key": 1}, 5]
    found = reader.read(piece("\n".join(map(json.dumps, lines)) + "\n\nno\n", 10))
    assert [(fault.line_number, fault.message.split(":")[0]) for fault in found.faults] == [
        (11, 'there is no entity "X" here'),
        (12, "say whose it is"),
        (13, "say whose it is"),
        (15, "not JSON"),
    ]
    assert (found.good, [rows.data for rows in found.rows]) == ({"Place": 1}, [b"1|\n"])
    assert found.faults[-1].line == "no" == found.text(15)
    assert found.raw(15) == b"no"
    assert [(number, record.values["key"]) for number, record in found.records({10, 11})] == [(10, 1)]
    assert repr(found) == "<RecordPage: 1 good messages, 4 bad>"


def test_of_one_entity_the_objects_are_the_records() -> None:
    reader = ObjectReader([PLACE], PLACE)
    document = piece('[{"key": 1, "name": "a\\nb"}, {"key": "x"}, {"key": 3}]')
    found = reader.read_array(document)
    assert list(found.messages()) == [(1, "Place"), (2, "Place"), (3, "Place")]
    assert [rows.data for rows in found.numbered()] == [b"1|1|a\\nb\n3|3|\n"]
    assert reader.read_array(piece('{"key": 5}')).good == {"Place": 1}
    with pytest.raises(CodecError):
        reader.read_array(piece("[1"))
    record = reader.record({"key": 7})
    assert not isinstance(record, Fault)
    assert reader.page([record, record]).good == {"Place": 2}


def test_the_first_row_of_csv_names_the_fields_of_all_pieces() -> None:
    reader = CsvReader([PLACE], PLACE)
    first = reader.read(piece('\ufeffname, key\n"a\nb",1\n\nx\n,2\n'))
    assert [rows.data for rows in first.rows] == [b"1|a\\nb\n2|\n"]
    assert [(fault.line_number, fault.message, fault.line) for fault in first.faults] == [
        (5, "expected 2 cells, as in the first row, found 1", "x")
    ]
    second = reader.read(piece("né,x\n\udcff,3\n", 7))
    assert [(fault.line_number, fault.line) for fault in second.faults] == [(7, "né,x"), (8, "\ufffd,3")]


def test_a_header_that_is_none_is_told() -> None:
    twice = CsvReader([PLACE], PLACE).read(piece("key,key\n1,2\n"))
    assert twice.faults[0].message == "the first row names a field twice"
    unknown = CsvReader([PLACE], PLACE).read(piece("key,x\n1,2\n"))
    assert unknown.faults[0].message == 'Place has no field "x"'
    assert CsvReader([PLACE], PLACE).read(piece("")).good == {}
    with pytest.raises(CodecError, match="line 2 is no CSV"):
        CsvReader([PLACE], PLACE).read(piece(f'key\n"{"x" * 200_000}"\n'))
