"""Record layouts against a real PostgreSQL: what is accepted is stored, and comes back as it was."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from psycopg.sql import SQL

from headgate.core.entity import Entity, Kind, Record, Storage
from headgate.core.records import RecordParser, record_of_json
from headgate.core.rows import Rows, row_of
from headgate.core.table import Dialect, copy_statement, create, in_order, migrate, table_of
from tests.core.test_kinds import GOOD
from tests.core.test_records import LINES, SHORT
from tests.layouts import TPCH, entity, field
from tests.services.postgres import PostgresCluster

Connection = psycopg.Connection[tuple[object, ...]]

KINDS = entity(
    "Kinds",
    "K",
    field("id", Kind.INTEGER),
    field("text", Kind.TEXT, min_length=2, max_length=5, nullable=True),
    field("any", Kind.TEXT, nullable=True),
    field("choice", Kind.TEXT, choices=("A", "AB", "a.b", "né"), nullable=True),
    field("integer", Kind.INTEGER, nullable=True),
    field("small", Kind.INTEGER, minimum=-128, maximum=127, nullable=True),
    field("decimal", Kind.DECIMAL, precision=5, scale=2, nullable=True),
    field("fraction", Kind.DECIMAL, precision=3, scale=3, nullable=True),
    field("whole", Kind.DECIMAL, precision=4, nullable=True),
    field("free", Kind.DECIMAL, nullable=True),
    field("float", Kind.FLOAT, nullable=True),
    field("boolean", Kind.BOOLEAN, nullable=True),
    field("date", Kind.DATE, nullable=True),
    field("time", Kind.TIMESTAMP, nullable=True),
    field("uuid", Kind.UUID, nullable=True),
    field("json", Kind.JSON, nullable=True),
    field("origin", Kind.TEXT, constant="a\\b|c"),
    storage=Storage("kinds", ("id",)),
)
NUMBERS = ["5", "1e20", "-0.0", "1e-999", "0e999", "9" * 999]
JSON = ("json", ['{"a": ["\\\\u0000", "\\n", 1.5, null]}', '"é"', '"1e-99999"', "[" * 900 + "]" * 900, *NUMBERS])
NAMES = [found.name for found in KINDS.fields]
PIECES = [*"0123456789-.:\\ aeNT\t\b\x7f", "é", "😀", "\\.", "\\N", "''", "1996-02-29", "1e5"]


@pytest.fixture
def database(postgres: PostgresCluster) -> Iterator[Connection]:
    with psycopg.connect(postgres.create_database()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def make(database: Connection, *entities: Entity) -> None:
    for found in in_order(entities):
        for statement in create(table_of(found, Dialect.POSTGRESQL), Dialect.POSTGRESQL):
            database.execute(SQL(statement))  # type: ignore[arg-type]


def store(database: Connection, rows: Rows, table: str) -> None:
    with database.cursor() as cursor, cursor.copy(SQL(copy_statement(rows.layout, table))) as copy:  # type: ignore[arg-type]
        copy.write(rows.data)


def stored(database: Connection) -> dict[object, dict[str, object]]:
    found = database.execute("SELECT * FROM kinds").fetchall()
    return {row[0]: dict(zip(NAMES, row, strict=True)) for row in found}


def _lines() -> list[str]:
    dice = random.Random(7)
    texts = [(name, text) for name, texts in [*GOOD, JSON] for text in texts if "|" not in text]
    lines = [_line(number, {name: text}) for number, (name, text) in enumerate(texts)]
    for number in range(len(lines), len(lines) + 20_000):
        chosen = dict(dice.sample(texts, 3))
        name = dice.choice(list(chosen))
        at = dice.randrange(len(chosen[name]) + 1)
        chosen[name] = chosen[name][:at] + dice.choice(PIECES) + chosen[name][at + dice.choice([0, 1]) :]
        lines.append(_line(number, chosen))
    return lines


def _line(number: int, cells: dict[str, str]) -> str:
    return "|".join(["K", str(number), *(cells.get(name, "") for name in NAMES[1:-1])])


def test_what_is_accepted_is_stored_and_comes_back_as_it_was(database: Connection) -> None:
    make(database, KINDS)
    parser = RecordParser([KINDS])
    lines = _lines()
    parsed = parser.parse("\n".join(lines).encode())
    [rows] = parsed.rows
    store(database, rows, "kinds")
    kept = stored(database)
    refused = {fault.line_number for fault in parsed.faults}
    assert len(kept) == rows.count == len(lines) - len(refused) > 4000
    for number, line in enumerate(lines, 1):
        if number not in refused:
            record = parser.line(line.encode())
            assert isinstance(record, Record)
            assert measured(kept[record.values["id"]]) == measured(record.values)


def measured(values: Mapping[str, object]) -> dict[str, object]:
    """The values with the numbers of their JSON as floats: PostgreSQL writes 1e200 as 201 digits."""
    return {**values, "json": json.loads(json.dumps(values["json"]), parse_int=float)}


def test_a_record_of_json_is_stored_as_it_was(database: Connection) -> None:
    make(database, KINDS)
    given = {
        "id": 1,
        "any": "a|b\nc\rd\\e\tf\\.\b",
        "json": {"|": "\n\\"},
        "free": 1e-7,
        "float": 5e300,
        "boolean": True,
    }
    record = record_of_json(KINDS, given)
    assert isinstance(record, Record)
    store(database, row_of(record), "kinds")
    assert stored(database)[1] == dict(record.values)
    assert record.values["free"] == Decimal("1e-7")


def test_all_of_tpch_is_stored_with_its_foreign_keys(database: Connection) -> None:
    make(database, *TPCH.values())
    parser = RecordParser(list(TPCH.values()))
    order = [found.name for found in in_order(list(TPCH.values()))]
    lines = dict(LINES)
    lines["Nation"] = LINES["Nation"] + b"\nN|15|MOROCCO|0|x|\nN|17|PERU|0|x|"
    lines["Supplier"] = LINES["Supplier"] + b"\n" + LINES["Supplier"].replace(b"S|1|", b"S|7706|")
    lines["Part"] = LINES["Part"] + b"\n" + LINES["Part"].replace(b"P|1|", b"P|155190|")
    lines["PartSupplier"] = LINES["PartSupplier"].replace(b"PS|1|2|", b"PS|155190|7706|")
    lines["Order"] = LINES["Order"].replace(b"|36901|", b"|1|")
    lines["OrderLineItem"] = LINES["OrderLineItem"] + b"\n" + SHORT.replace(b"L|1|1|", b"L|1|2|")
    for name in order:
        parsed = parser.parse(lines[name])
        assert not parsed.faults
        for rows in parsed.rows:
            storage = TPCH[name].storage
            assert storage is not None
            store(database, rows, storage.table)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        store(database, parser.parse(SHORT.replace(b"L|1|", b"L|999|")).rows[0], "order_line_items")


def test_a_table_with_rows_grows(database: Connection) -> None:
    region = TPCH["Region"]
    make(database, region)
    store(database, RecordParser([region]).parse(LINES["Region"]).rows[0], "regions")
    fields = (*region.fields[:1], replace(region.fields[1], max_length=50, nullable=True), *region.fields[2:])
    grown = replace(region, fields=(*fields, field("remark", Kind.TEXT, nullable=True, index=True)))
    before, after = table_of(region, Dialect.POSTGRESQL), table_of(grown, Dialect.POSTGRESQL)
    for statement in migrate(before, after, Dialect.POSTGRESQL):
        database.execute(SQL(statement))  # type: ignore[arg-type]
    database.execute("INSERT INTO regions (region_key, remark) VALUES (9, 'new')")
    assert database.execute("SELECT count(*) FROM regions").fetchone() == (2,)
    types = database.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'regions'::regclass AND attnum > 0 ORDER BY attnum"
    ).fetchall()
    assert dict(types) == {column.name: column.type for column in after.columns}  # type: ignore[arg-type]
