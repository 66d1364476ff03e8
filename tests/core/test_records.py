"""Records: lines that pass as they came, lines that are explained, and single messages as values."""

import random
from datetime import date
from decimal import Decimal

import pytest

from headgate.core.entity import Entity, Fault, Kind, Record
from headgate.core.records import RecordParser, record_of_json, record_of_texts
from tests.layouts import TPCH, entity, field

ORDER = b"O|1|100|O|123.45|1996-01-02|5-LOW|Clerk#000000951|0|nstructions sleep furiously among"
SHORT = b"L|1|1|155190|7706|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22"
DBGEN = b"LI|1|155190|7706|1|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22|DELIVER IN PERSON|TRUCK|egular|"
NOTE = entity(
    "Note",
    "N",
    field("id", Kind.INTEGER),
    field("text", Kind.TEXT, nullable=True, max_length=3),
    field("more", Kind.JSON, nullable=True),
    field("origin", Kind.TEXT, constant="a\\|b"),
    field("items", Kind.OBJECT_LIST, nullable=True, stored=False),
)
PLAIN = entity("Plain", "P", field("id", Kind.INTEGER), field("text", Kind.TEXT, nullable=True, max_length=3))
tpch = RecordParser(list(TPCH.values()))
plain = RecordParser([PLAIN])
notes = RecordParser([NOTE])


def only(parser: RecordParser, line: bytes) -> Fault:
    [fault] = parser.parse(line).faults
    assert not parser.parse(line).rows
    return fault


def test_lines_of_several_entities_pass_in_their_order_without_their_prefix() -> None:
    parsed = tpch.parse(b"\n".join([ORDER, SHORT, ORDER, SHORT, DBGEN]) + b"\n")
    assert [(rows.layout.prefix, rows.count) for rows in parsed.rows] == [("O", 2), ("L", 2), ("LI", 1)]
    assert parsed.rows[0].data == (ORDER[2:] + b"\n") * 2
    assert parsed.rows[2].data == DBGEN[3:-1] + b"\n"
    assert parsed.rows[2].layout.columns[:4] == ("order_key", "part_key", "supplier_key", "line_number")
    assert (parsed.faults, parsed.lines) == ((), 5)


def test_lines_of_one_entity_pass_as_one_text() -> None:
    assert tpch.parse(ORDER + b"\n" + ORDER).rows[0].data == (ORDER[2:] + b"\n") * 2


@pytest.mark.parametrize("ending", [b"|\n", b"\r\n", b"|\r\n", b"\n"])
def test_a_delimiter_and_a_return_at_the_end_of_lines_are_fine(ending: bytes) -> None:
    [rows] = tpch.parse((ORDER + ending) * 3).rows
    assert rows.data == (ORDER[2:] + b"\n") * 3


@pytest.mark.parametrize("ending", [b"", b"\r", b"|", b"|\r"])
def test_the_last_line_may_lack_its_break(ending: bytes) -> None:
    [rows] = tpch.parse(ORDER + b"\n" + ORDER + ending).rows
    assert rows.data == (ORDER[2:] + b"\n") * 2


def test_a_delimiter_at_the_end_is_told_from_an_empty_last_field() -> None:
    [rows] = plain.parse(b"P|1|\nP|2||\nP|3|x\nP|4|y|\n").rows
    assert rows.data == b"1|\n2|\n3|x\n4|y\n"
    assert plain.parse(b"P|1|\nP|2|\n").rows[0].data == b"1|\n2|\n"
    assert plain.parse(b"P|1||\nP|2||\n").rows[0].data == b"1|\n2|\n"


def test_comments_and_blank_lines_are_counted_as_lines_and_as_nothing_else() -> None:
    parsed = tpch.parse(b"# a comment|with|this\n\n" + ORDER + b"\n\r\n#\n\xff\n# \xff\n")
    assert [rows.count for rows in parsed.rows] == [1]
    assert [fault.line_number for fault in parsed.faults] == [6]
    assert parsed.lines == 7
    nothing = tpch.parse(b"")
    assert (nothing.rows, nothing.faults, nothing.lines) == ((), (), 0)


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert tpch.parse(b"\xef\xbb\xbf" + ORDER).rows[0].count == 1
    assert tpch.parse(b"\xef\xbb\xbf" + ORDER, first_line=2).faults


def test_only_bad_lines_are_explained_and_good_ones_pass_them_by() -> None:
    bad = ORDER.replace(b"1996-01-02", b"1996-02-30")
    parsed = tpch.parse(b"\n".join([ORDER, bad, SHORT, b"X|1", ORDER]), first_line=10)
    assert [(fault.line_number, fault.entity, fault.field) for fault in parsed.faults] == [
        (11, "Order", "order_date"),
        (13, None, None),
    ]
    assert parsed.faults[0].message == 'order_date must be a date that exists, as YYYY-MM-DD, not "1996-02-30"'
    assert parsed.faults[0].line == bad.decode()
    assert [rows.count for rows in parsed.rows] == [2, 1]


@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        (b"P|1", None, "expected 2 fields after P, found 1"),
        (b"P|1|a|b", None, "expected 2 fields after P, found 3"),
        (b"P|1|aP|2|b", None, "expected 2 fields after P, found 4; were line breaks lost?"),
        (b"P", None, 'a message begins with P and |, not with "P"'),
        (b"INVALID|MESSAGE", None, 'a message begins with P and |, not with "INVALID"'),
        (b" P|1|a", None, 'a message begins with P and |, not with " P"'),
        (b"P|x|a", "id", 'id must be an integer of 64 bits, not "x"'),
        (b"P|1|abcd", "text", 'text must be at most 3 characters (these are 4), not "abcd"'),
        (b"P|1|\xff", None, "byte 4 of the line is not UTF-8"),
        (b"P|1|\xc3\xa9\xed\xa0\x80", None, "byte 6 of the line is not UTF-8"),
        (b"P|1|a\rb", "text", "text must not hold a carriage return"),
        (b"P|1|a\0", "text", "text must be text without NUL"),
        (b"P||a", "id", "id must not be empty"),
        (b"P|1 |a", "id", "id must be an integer of 64 bits"),
    ],
)
def test_a_bad_line_is_told_which_field_and_what_is_wrong(line: bytes, name: str | None, message: str) -> None:
    fault = only(plain, line)
    assert fault.field == name
    assert fault.message.startswith(message)
    assert fault == plain.line(line)


def test_a_text_is_measured_in_characters() -> None:
    assert plain.parse("P|1|é€😀\n".encode()).rows[0].data == "1|é€😀\n".encode()
    assert only(plain, "P|1|éééé\n".encode()).field == "text"


def test_a_backslash_is_doubled_for_copy_would_read_it() -> None:
    assert plain.parse(b"P|1|\\N\nP|2|\\.\n").rows[0].data == b"1|\\\\N\n2|\\\\.\n"


def test_constants_stand_in_every_row() -> None:
    parsed = notes.parse(b"N|1|a|\nN|2|b|{}|\n")
    assert parsed.rows[0].data == b"1|a||a\\\\\\|b\n2|b|{}|a\\\\\\|b\n"
    assert parsed.rows[0].layout.columns == ("id", "text", "more", "origin")


def test_json_in_a_line_is_checked_by_itself() -> None:
    assert notes.parse(b'N|1||{"a": "\\n"}\n').rows[0].data.startswith(b'1||{"a": "\\\\n"}|')
    assert only(notes, b"N|1||{a}\n").message == 'more must be JSON, not "{a}"'


def test_rows_can_be_had_with_their_line_numbers() -> None:
    parsed = tpch.parse(b"# c\n" + ORDER + b"|\nX\n" + SHORT + b"\n\n" + ORDER + b"\n", first_line=5)
    numbered = {rows.layout.prefix: rows.data for rows in parsed.numbered()}
    assert numbered == {"O": b"6|" + ORDER[2:] + b"\n10|" + ORDER[2:] + b"\n", "L": b"8|" + SHORT[2:] + b"\n"}


def test_one_message_is_read_as_values() -> None:
    record = tpch.line(SHORT + b"\r\n")
    assert isinstance(record, Record)
    assert record.entity.name == "OrderLineItem"
    assert record.key == (1, 1)
    assert record.values["extended_price"] == Decimal("21168.23")
    assert record.values["ship_date"] == date(1996, 3, 13)
    assert record.values["comment"] is None


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"", "a blank line or a comment is no message"),
        (b"# c", "a blank line or a comment is no message"),
        (ORDER + b"\n" + ORDER, "a message is one line, and these are several"),
    ],
)
def test_what_is_not_one_message_is_refused(message: bytes, said: str) -> None:
    fault = tpch.line(message)
    assert isinstance(fault, Fault)
    assert fault.message == said


def test_an_object_of_json_is_the_same_record() -> None:
    record = notes.line(b'N|5|\xc3\xa9|{"a":1}')
    given = {"id": 5, "text": "é", "more": {"a": 1}}
    assert record_of_json(NOTE, given) == record
    assert record_of_texts(NOTE, {"id": "5", "text": "é", "more": '{"a":1}'}) == record
    assert isinstance(record, Record)
    assert record.values["origin"] == "a\\|b"
    assert record.values["items"] is None


def test_what_is_not_kept_is_read_from_json_all_the_same() -> None:
    record = record_of_json(NOTE, {"id": 1, "items": [{"a": 1}]})
    assert isinstance(record, Record)
    assert record.values["items"] == [{"a": 1}]


@pytest.mark.parametrize(
    ("given", "name", "message"),
    [
        ([], None, "a record is a JSON object, not an array"),
        (5, None, "a record is a JSON object, not a number"),
        ({"id": "5"}, "id", "id must be an integer, not a string"),
        ({"id": 5, "text": 5}, "text", "text must be a string, not a number"),
        ({"id": 2**63}, "id", 'id must be an integer of 64 bits, not "9223372036854775808"'),
        ({}, "id", "id must not be empty"),
        ({"id": 5, "txt": ""}, None, 'Note has no field "txt"'),
        ({"id": 5, "origin": "x"}, None, 'Note has no field "origin"'),
        ({"id": 5, "items": [1]}, "items", 'items must be a JSON array of objects, not "[1]"'),
    ],
)
def test_an_object_that_is_no_record_is_told_why(given: object, name: str | None, message: str) -> None:
    fault = record_of_json(NOTE, given)
    assert isinstance(fault, Fault)
    assert (fault.entity, fault.field, fault.message) == ("Note", name, message)


@pytest.mark.parametrize("name", sorted(TPCH))
def test_dbgen_lines_are_accepted_with_their_prefix_in_front(name: str) -> None:
    line = LINES[name]
    parsed = tpch.parse(line)
    assert parsed.faults == ()
    assert parsed.rows[0].layout.entity == name


LINES = {
    "Region": b"R|0|AFRICA|lar deposits. blithely final packages cajole. regular waters are final requests. |",
    "Nation": b"N|0|ALGERIA|0| haggle. carefully final deposits detect slyly agai|",
    "Customer": b"C|1|Customer#000000001|IVhzIApeRb ot,c,E|15|25-989-741-2988|-711.56|BUILDING|to the even, regular|",
    "Supplier": b"S|1|Supplier#000000001| N kD4on9OM Ipw3,gf0JBoQDd7tgrzrddZ|17|27-918-335-1736|5755.94|each slyly|",
    "Part": b"P|1|goldenrod lavender spring chocolate lace|Manufacturer#1|Brand#13|PROMO BURNISHED COPPER|7|JUMBO PKG"
    b"|901.00|ly. slyly ironi|",
    "PartSupplier": b"PS|1|2|3325|771.64|, even theodolites. regular, final theodolites eat after the carefully|",
    "Order": b"O|1|36901|O|173665.47|1996-01-02|5-LOW|Clerk#000000951|0|nstructions sleep furiously among |",
    "OrderLineItem": DBGEN,
}

KINDS: Entity = entity(
    "Kinds",
    "K",
    field("text", Kind.TEXT, max_length=4),
    field("integer", Kind.INTEGER, nullable=True),
    field("decimal", Kind.DECIMAL, precision=5, scale=2),
    field("float", Kind.FLOAT, nullable=True),
    field("date", Kind.DATE),
    field("time", Kind.TIMESTAMP, nullable=True),
    field("choice", Kind.TEXT, choices=("a", "ab")),
    field("yes", Kind.BOOLEAN, nullable=True),
)
KIND_LINE = "K|é\\x|-9223372036854775808|999.99|1.5e-7|2000-02-29|1996-01-02T03:04:05.5+02:00|ab|true"
STARTS = [line.decode() for line in LINES.values()] + [SHORT.decode(), KIND_LINE, "# c", ""]
PIECES = [
    *"0123456789-|.:\\ #aeNT",
    "\r",
    "\0",
    "é",
    "😀",
    "\udcff",
    "||",
    "1996-02-29",
    "99999999999999999999",
    "1e5",
    "NaN",
]


def test_what_passes_is_what_nothing_can_be_said_against() -> None:
    """100,000 lines with letters changed: blocks and single lines are of one mind, and no line is lost or made."""
    parser = RecordParser([*TPCH.values(), KINDS])
    dice = random.Random(2)
    for _ in range(400):
        lines = [_mutated(dice) for _ in range(250)]
        block = "\n".join(lines).encode(errors="surrogateescape") + b"\n"
        parsed = parser.parse(block)
        one_by_one = [parser.parse(line + b"\n") for line in block[:-1].split(b"\n")]
        refused = {fault.line_number for fault in parsed.faults}
        assert parsed.lines == len(lines)
        assert refused == {number for number, one in enumerate(one_by_one, 1) if one.faults}
        assert sum(rows.count for rows in parsed.rows) == sum(len(one.rows) for one in one_by_one)
        assert sum(rows.data.count(b"\n") for rows in parsed.rows) == sum(rows.count for rows in parsed.rows)
        for number, line in enumerate(lines, 1):
            bare = line.removesuffix("\r")
            is_message = bool(bare) and bare[0] != "#"
            assert (number in refused) == (is_message and isinstance(parser._cells(bare, number), Fault)), line
            alone = parser.line(line.encode(errors="surrogateescape"))
            assert isinstance(alone, Record) == (is_message and number not in refused), line


def _mutated(dice: random.Random) -> str:
    line = dice.choice(STARTS)
    for _ in range(dice.choice([0, 0, 1, 1, 2, 5])):
        at = dice.randrange(len(line) + 1)
        line = line[:at] + dice.choice(PIECES) + line[at + dice.choice([0, 1, 1, 3]) :]
    return line


def test_a_parser_shows_what_it_reads() -> None:
    assert repr(plain) == "<RecordParser: P>"
    assert repr(PLAIN.layouts[0]) == "<Layout P of Plain: 2 fields>"
    assert repr(PLAIN) == "<Entity Plain: 2 fields, prefix P>"
