"""Deriving: records that come out of others, in order, and faults that say where."""

from headgate.core.derive import Deriver
from headgate.core.entity import Computed, Derivation, Entity, Fault, Kind, Record, Transform
from headgate.core.records import record_of_json
from tests.layouts import field


def copied(source: str, *path: str) -> Computed:
    return Computed(Transform.COPY_FIELD, source, path)


ORDER = Entity(
    "Order",
    "root",
    (
        field("order_key", Kind.INTEGER),
        field("details", Kind.OBJECT, nullable=True),
        field("line_items", Kind.OBJECT_LIST, nullable=True, stored=False),
    ),
)
ITEM = Entity(
    "Item",
    "derived",
    (
        field("order_key", Kind.TEXT, computed=copied("Order", "order_key")),
        field("number", Kind.INTEGER, computed=Computed(Transform.JSON_GET_INT, "item", ("number",))),
        field("part", Kind.TEXT, computed=Computed(Transform.JSON_GET_STRING, "item", ("part",))),
        field("price", Kind.DECIMAL, computed=Computed(Transform.JSON_GET_FLOAT, "item", ("price",))),
        field(
            "note", Kind.TEXT, nullable=True, computed=Computed(Transform.JSON_GET_OPTIONAL_STRING, "item", ("note",))
        ),
        field("tax", Kind.FLOAT, nullable=True, computed=Computed(Transform.JSON_GET_OPTIONAL_FLOAT, "item", ("tax",))),
        field("whole", Kind.OBJECT, computed=copied("item")),
        field("origin", Kind.TEXT, constant="web"),
        field("remark", Kind.TEXT, nullable=True),
    ),
    derivation=Derivation("Order", "line_items", "item"),
)
COLOR = Computed(Transform.JSON_GET_OPTIONAL_STRING, "Order", ("details", "color"))
SUMMARY = Entity(
    "Summary",
    "derived",
    (
        field("part", Kind.TEXT, computed=copied("Item", "part")),
        field("color", Kind.TEXT, nullable=True, computed=COLOR),
    ),
    derivation=Derivation("Item"),
)
deriver = Deriver([ORDER, ITEM, SUMMARY])
GOOD = {"number": 1, "part": "p", "price": 1.5, "note": "n", "tax": 2}


def derive(**given: object) -> list[Record | Fault]:
    record = record_of_json(ORDER, given)
    assert isinstance(record, Record)
    return list(deriver.derive(record))


def test_each_item_becomes_a_record_and_what_comes_out_of_that_follows() -> None:
    item, summary = derive(order_key=7, details={"color": "red"}, line_items=[GOOD])
    assert isinstance(item, Record)
    assert isinstance(summary, Record)
    plain = {name: str(value) for name, value in item.values.items() if name != "whole"}
    assert list(plain.items())[:4] == [("order_key", "7"), ("number", "1"), ("part", "p"), ("price", "1.5")]
    assert list(plain.items())[4:] == [("note", "n"), ("tax", "2.0"), ("origin", "web"), ("remark", "None")]
    assert item.values["whole"] == GOOD
    assert dict(summary.values) == {"part": "p", "color": "red"}


def test_what_is_optional_is_null_when_it_is_missing_or_of_another_type() -> None:
    item, summary = derive(order_key=7, line_items=[{**GOOD, "note": 5, "tax": True}])
    assert isinstance(item, Record)
    assert isinstance(summary, Record)
    assert (item.values["note"], item.values["tax"], summary.values["color"]) == (None, None, None)


def test_a_bad_item_is_told_by_its_place_and_the_others_are_derived() -> None:
    first, fault, other, *_ = derive(order_key=7, line_items=[GOOD, {**GOOD, "part": 5}, {**GOOD, "number": True}])[1:]
    assert isinstance(first, Record) is False or first.entity is SUMMARY
    assert isinstance(fault, Fault)
    assert fault.message == "line_items[1]: part needs a string as part of item"
    assert (fault.entity, fault.field) == ("Item", "part")
    assert isinstance(other, Fault)
    assert other.message == "line_items[2]: number needs an integer as number of item"


def test_a_value_that_does_not_fit_is_told_too() -> None:
    [fault] = derive(order_key=7, line_items=[{**GOOD, "price": 1e300}])
    assert isinstance(fault, Fault)
    assert fault.message.startswith("line_items[0]: price must be a decimal number")


def test_no_items_make_no_records() -> None:
    assert derive(order_key=7) == derive(order_key=7, line_items=[]) == []
