"""Entity files: every dialect, and every mistake with its place, all of them at once."""

import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headgate.core.entity import Computed, Derivation, Entity, ForeignKey, Kind, Transform
from headgate.core.records import RecordParser
from headgate.spec.entities.resolve import load_entities
from headgate.spec.resolve import load_plan
from headgate.spec.tree import Mark

HERE = Mark("headgate.yaml", 3, 5)
Folder = Callable[[Mapping[str, str]], tuple[dict[str, Entity], list[str]]]

ORDER = """\
entity:
  name: Order
  source_type: root
  doc: What was ordered
  fields:
    - {name: order_key, type: String}
    - {name: comment, type: String, nullable: false}
    - {name: line_items, type: "List[Object]"}
  persistence:
    database: {conformant_table: orders, conformant_id_column: id, unicity_fields: [order_key]}
    primary_key: {name: id, type: Integer, autogenerate: true}
    field_overrides:
      - {name: comment, type: String, nullable: true}
      - {name: order_key, type: Integer}
"""
ITEM = """\
entity:
  name: OrderLineItem
  type: derived
  parent: Order
  prefix: L
  repeated_for: {entity: Order, field: line_items, each_known_as: item}
  fields:
    - name: order_key
      type: Integer
      computed_from: {transform: copy_field, sources: [{source: Order, field: order_key}]}
    - name: line_number
      type: Integer
      computed_from: {transform: json_get_int, sources: [item], args: {key: line_number}}
    - {name: origin, type: String, constant: web}
"""
V1 = """\
apiVersion: nomnom.io/v1
kind: Entity
metadata:
  name: PatientVisit
  labels: {domain: healthcare}
  annotations: {description: A visit, owner: nobody}
spec:
  type: derived
  derivation:
    parents: [{name: order, entity: Order}]
    repeatedFor: {entity: Order, field: line_items, itemName: segment}
  fields:
    - name: facilityId
      type: string
      constraints: {maxLength: 20, indexed: true}
      source: {copyFrom: order, field: comment}
    - {name: visitCode, type: integer, constraints: {nullable: true}, source: {transform: json_get_int, inputs: [segment], args: {key: c}}}
    - {name: system, type: string, source: {constant: HL7}}
    - {name: seenAt, type: timestamp, constraints: {nullable: true}, doc: When}
  persistence:
    enabled: true
    table: patient_visits
    unicity: {fields: [facilityId, visitCode]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write these files into a folder, and load it: its entities by name, and its problems as text."""

    def load(files: Mapping[str, str]) -> tuple[dict[str, Entity], list[str]]:
        for old in tmp_path.iterdir():
            old.unlink()
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        entities, problems = load_entities([(tmp_path, HERE)])
        told = [f"{Path(p.file).stem}:{p.line}:{p.column}: {p.message}" for p in problems]
        return {entity.name: entity for entity in entities}, [line.replace(str(tmp_path), "") for line in told]

    return load


def sound(folder: Folder, *texts: str) -> dict[str, Entity]:
    entities, problems = folder({f"file{number}": text for number, text in enumerate(texts)})
    assert not problems
    return entities


def short(fields: str = "[{name: a, type: String}]", **keys: str) -> str:
    said = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"entity: {{name: Note, fields: {fields}{said}}}\n"


def test_what_is_kept_comes_in_messages_in_the_order_of_the_overrides(folder: Folder) -> None:
    order = sound(folder, ORDER)["Order"]
    assert [field.name for field in order.fields] == ["comment", "order_key", "line_items"]
    [layout] = order.layouts
    assert (layout.prefix, layout.columns) == ("O", ("comment", "order_key"))
    assert [(field.kind, field.nullable) for field in layout.fields] == [(Kind.TEXT, True), (Kind.INTEGER, False)]
    assert not order.fields[2].stored
    assert order.storage is not None
    assert (order.storage.table, order.storage.primary_key, order.storage.unique) == ("orders", ("id",), ("order_key",))
    assert order.storage.generated
    assert (order.kind, order.doc) == ("root", "What was ordered")


def test_a_derived_entity_is_computed_from_its_parent_or_comes_in_messages_of_its_own(folder: Folder) -> None:
    item = sound(folder, ORDER, ITEM)["OrderLineItem"]
    assert item.derivation == Derivation("Order", "line_items", "item")
    assert [field.computed for field in item.fields] == [
        Computed(Transform.COPY_FIELD, "Order", ("order_key",)),
        Computed(Transform.JSON_GET_INT, "item", ("line_number",)),
        None,
    ]
    assert item.layouts[0].columns == ("order_key", "line_number", "origin")
    assert item.layouts[0].fields == item.fields[:2]
    assert item.storage is None


def test_the_same_can_be_said_in_a_block(folder: Folder) -> None:
    block = ITEM.replace("  parent: Order\n", "").replace("  repeated_for:", "  derivation:\n    repeated_for:")
    assert sound(folder, ORDER, block) == sound(folder, ORDER, ITEM)


def test_the_v1_dialect_says_the_same_in_its_own_words(folder: Folder) -> None:
    visit = sound(folder, ORDER, V1)["PatientVisit"]
    assert [field.column for field in visit.fields] == ["facility_id", "visit_code", "system", "seen_at"]
    assert [field.name for field in visit.fields] == ["facilityId", "visitCode", "system", "seenAt"]
    facility, code, system, seen = visit.fields
    assert (facility.max_length, facility.index, facility.nullable) == (20, True, False)
    assert facility.computed == Computed(Transform.COPY_FIELD, "Order", ("comment",))
    assert code.computed == Computed(Transform.JSON_GET_INT, "segment", ("c",))
    assert (system.constant, seen.kind, seen.doc) == ("HL7", Kind.TIMESTAMP, "When")
    assert visit.storage is not None
    assert (visit.storage.table, visit.storage.unique) == ("patient_visits", ("facility_id", "visit_code"))
    assert (visit.doc, visit.layouts[0].prefix) == ("A visit", "P")


def test_a_v1_resource_need_not_be_kept(folder: Folder) -> None:
    assert sound(folder, ORDER, V1.replace("enabled: true", "enabled: false"))["PatientVisit"].storage is None
    bare = "apiVersion: nomnom.io/v1\nmetadata: {name: Bare}\nspec: {fields: [{name: a, type: string}]}\n"
    assert sound(folder, bare)["Bare"].kind == "root"


def test_an_entity_has_what_it_extends(folder: Folder) -> None:
    base = """\
entity:
  name: Base
  abstract: true
  fields:
    - {name: key, type: Integer}
    - {name: text, type: String}
  persistence:
    database: {conformant_table: never_made, unicity_fields: [key], foreign_keys: [{name: key, references: roots.key}]}
    primary_key: {name: id, autogenerate: true}
    field_overrides: [{name: text}, {name: key}]
"""
    middle = "entity: {name: Middle, extends: Base, abstract: true}\n"
    leaf = """\
entity:
  name: Leaf
  extends: Middle
  fields: [{name: text, type: String, max_length: 5}, {name: more, type: Boolean}]
  persistence: {database: {conformant_table: leaves}, field_overrides: [{name: more}]}
"""
    root = "entity: {name: Root, fields: [{name: key, type: Integer, primary_key: true}], persistence: {database: {conformant_table: roots}}}\n"
    entities = sound(folder, base, middle, leaf, root)
    assert list(entities) == ["Leaf", "Root"]
    found = entities["Leaf"]
    assert [(field.name, field.max_length) for field in found.fields] == [("text", 5), ("key", None), ("more", None)]
    assert found.storage is not None
    assert (found.storage.table, found.storage.primary_key, found.storage.unique) == ("leaves", ("id",), ("key",))
    assert found.storage.foreign_keys == (ForeignKey(("key",), "roots", ("key",)),)


def test_an_entity_may_have_several_layouts(folder: Folder) -> None:
    fields = "[{name: a, type: int}, {name: b, type: int, nullable: true}, {name: c, type: string, constant: 5}]"
    layouts = "[{prefix: X, fields: [b, a]}, {prefix: Y, fields: [a]}]"
    found = sound(folder, short(fields, layouts=layouts))["Note"]
    assert [(layout.prefix, layout.columns) for layout in found.layouts] == [("X", ("b", "a", "c")), ("Y", ("a", "c"))]
    found = sound(folder, short(fields, layouts=layouts, prefix="NN"))["Note"]
    assert [layout.prefix for layout in found.layouts] == ["NN", "X", "Y"]


def test_types_may_be_spelled_in_lower_case_and_by_other_names(folder: Folder) -> None:
    names = ["string", "INTEGER", "double", "list[string]", "Json", "uuid", "DateTime", "bigint"]
    fields = ", ".join(f'{{name: f{number}, type: "{name}"}}' for number, name in enumerate(names))
    kinds = [field.kind.value for field in sound(folder, short(f"[{fields}]"))["Note"].fields]
    assert kinds == ["text", "integer", "float", "text_list", "json", "uuid", "timestamp", "integer"]


def test_decimals_have_their_digits(folder: Folder) -> None:
    fields = "[{name: a, type: Decimal}, {name: b, type: Decimal, precision: 5}, {name: c, type: Decimal, scale: 2}]"
    found = sound(folder, short(fields))["Note"].fields
    assert [(field.precision, field.scale) for field in found] == [(None, 0), (5, 0), (38, 2)]


def test_parents_may_be_ancestors_under_other_names(folder: Folder) -> None:
    grandchild = """\
entity:
  name: Tax
  parents: [{name: order, type: Order}, OrderLineItem]
  fields:
    - {name: a, type: String, computed_from: {transform: copy_field, sources: [{source: order, field: comment}]}}
    - {name: b, type: Integer, computed_from: {transform: copy_field, sources: [{source: parent, field: line_number}]}}
    - {name: c, type: Object, computed_from: {transform: copy_field, sources: [item]}}
"""
    found = sound(folder, ORDER, ITEM, grandchild)["Tax"]
    assert (found.kind, found.derivation) == ("derived", Derivation("OrderLineItem"))
    assert [field.computed.source for field in found.fields if field.computed] == ["Order", "OrderLineItem", "item"]


def test_one_that_names_a_parent_and_computes_nothing_comes_in_messages(folder: Folder) -> None:
    assert sound(folder, ORDER, short(parent="Order"))["Note"].derivation is None


NOTES = "persistence: {database: {conformant_table: notes"
BAD = [
    (short('[{name: a, type: Strng}]'), ['1:47: entity.fields[0].type: "Strng" is not one of String, Text, Integer, Int, BigInt, Decimal, Float, Double, Boolean, Bool, Date, DateTime, Timestamp, UUID, Json, Object, List[String], List[Object]; did you mean "String"?']),
    (short(prefx="N"), ['1:57: unknown key "prefx" in entity; did you mean "prefix"?']),
    (short("[{name: a, type: String, nulable: true}]"), ['1:55: unknown key "nulable" in entity.fields[0]; did you mean "nullable"?']),
    (short("[{name: 'a; DROP TABLE b', type: String}]"), ['1:38: entity.fields[0].name must be a name: a letter or _, then letters, digits or _, 63 in all at most, not "a; DROP TABLE b"']),
    ("entity: {name: ../../etc/passwd, fields: [{name: a, type: String}]}\n", ['1:16: entity.name must be a name: a letter or _, then letters, digits or _, 63 in all at most, not "../../etc/passwd"']),
    (short(prefix="'|'"), ['1:65: entity.prefix must be what a message begins with: 1 to 32 letters, digits or _ . -, not "|"']),
    (short("[{name: select, type: String}]"), ['1:38: "select" is a reserved word of SQL: give the field another column']),
    (short("[{name: a, column: Order, type: String}]"), ['1:49: "Order" is a reserved word of SQL: give the field another column']),
    (short(persistence='{database: {conformant_table: user}}'), ['1:100: entity.persistence.database.conformant_table must be a name that SQL has no other use for, not "user"']),
    (short(persistence='{database: {conformant_table: \'n"; --\'}}'), ['1:100: entity.persistence.database.conformant_table must be a name: a letter or _, then letters, digits or _, 63 in all at most, not "n"; --"']),
    (short(type="leaf"), ['1:63: entity.type: "leaf" is not one of root, derived, reference']),
    (short(type="root", source_type="root"), ["1:82: type and source_type are the same: leave one out"]),
    (short("[]"), ['1:16: "Note" has no field that a message carries']),
    ("{}\n", ['1:1: the file needs the key "entity"']),
    ("- a\n", ["1:1: a configuration is a mapping, not a list"]),
    ("entity: {name: Note, fields: [\n", ["2:1: a value is missing here"]),
    (short("[{name: a, type: String}, {name: A, type: String}]"), ['1:63: the field "A" stands on line 1 already; a table does not tell a from A']),
    (short("[{name: a, type: String}, {name: b, type: String, column: a}]"), ['1:88: the column "a" stands on line 1 already; a table does not tell a from A']),
    (short(persistence="{field_overrides: [{name: a}, {name: a}]}"), ['1:107: the override "a" stands on line 1 already; a table does not tell a from A']),
    (short(persistence="{field_overrides: [{name: b}]}"), ['1:96: there is no field "b"', '1:16: "Note" has no field that a message carries']),
    (short("[{name: a, type: Integer, max_length: 5}]"), ['1:68: max_length is for texts, and "a" is of type integer']),
    (short("[{name: a, type: String, scale: 5}]"), ['1:62: scale is for decimals, and "a" is of type text']),
    (short("[{name: a, type: String, minimum: 5}]"), ['1:64: minimum is for integers, and "a" is of type text']),
    (short("[{name: a, type: Decimal, precision: 2, scale: 5}]"), ["1:77: a scale of 5 does not fit in a precision of 2"]),
    (short("[{name: a, type: Integer, minimum: 2, maximum: 1}]"), ["1:77: no integer lies between 2 and 1"]),
    (short("[{name: a, type: String, min_length: 3, max_length: 2}]"), ["1:67: no text has 3 to 2 characters"]),
    (short("[{name: a, type: String, enum: []}]"), ["1:61: entity.fields[0].enum must be a list of 1 or more"]),
    (short("[{name: a, type: String, max_length: 2, enum: [b, b, 'x|', '', abc]}]"), ['1:80: "b" stands there already', '1:83: "x|" cannot stand in a message', '1:89: "" cannot stand in a message', '1:93: "abc" has another length than the field allows']),
    (short("[{name: b, type: Integer}, {name: a, type: Integer, constant: x}]"), ['1:92: the constant must be an integer of 64 bits, not "x"']),
    (short("[{name: b, type: Integer}, {name: a, type: Integer, nullable: true, primary_key: true}]"), ["1:111: what belongs to the primary key cannot be nullable"]),
    (short(layouts="[{prefix: X, fields: [b]}]"), ['1:88: no message of Note carries a field "b"', '1:87: this layout lacks "a", which cannot be null']),
    (short(layouts="[{prefix: X, fields: [a, a]}]"), ['1:91: "a" stands in this layout already']),
    (short(layouts="[{prefix: X, fields: [a]}, {prefix: X, fields: [a]}]"), ['1:102: messages begin with "X" for Note and for Note (/file.yaml:1): each needs one of its own']),
    (short(persistence="{database: {conformant_table: notes, conformant_id_column: id}}"), ['1:129: there is no field "id" that is kept; if the database is to count it up, say autogenerate: true']),
    (short("[{name: a, type: String, nullable: true}]", persistence="{database: {conformant_table: notes, conformant_id_column: a}}"), ['1:145: "a" is nullable and cannot be the primary key']),
    (short(persistence="{database: {conformant_table: notes, conformant_id_column: b}, primary_key: {name: a}}"), ['1:129: the primary key is "a", not "b"']),
    (short(persistence="{database: {conformant_table: notes}, primary_key: {name: b}}"), ['1:128: there is no field "b" that is kept; if the database is to count it up, say autogenerate: true']),
    (short(persistence="{database: {conformant_table: notes}, primary_key: {name: id, type: String, autogenerate: true}}"), ["1:138: what the database counts up is an Integer"]),
    (short(persistence="{database: {conformant_table: notes}, primary_key: {name: a, autogenerate: true}}"), ['1:128: "a" is a field that messages carry: the database cannot count it up as well']),
    (short(persistence="{database: {conformant_table: notes}, primary_key: {name: user, autogenerate: true}}"), ['1:128: "user" is a reserved word of SQL']),
    (short("[{name: a, type: String, primary_key: true}]", persistence="{database: {conformant_table: notes}, primary_key: {name: id, autogenerate: true}}"), ['1:68: the primary key is "id" elsewhere in this entity']),
    (short(persistence="{database: {conformant_table: notes, unicity_fields: [b]}}"), ['1:124: there is no field "b" that is kept']),
    (short(persistence="{database: {conformant_table: notes, foreign_keys: [{name: b, references: notes.a}]}}"), ['1:129: there is no field "b" that is kept', '1:144: "a" of notes is neither its primary key nor its unicity: more than one row may have the same']),
    (short(persistence="{database: {conformant_table: notes, foreign_keys: [{name: a, references: nots.a}]}}"), ['1:144: there is no table "nots"; did you mean "notes"?']),
    (short(persistence="{database: {conformant_table: notes, foreign_keys: [{name: a, references: notes.aa}]}}"), ['1:144: notes has no column "aa"; did you mean "a"?']),
    (short(persistence="{database: {conformant_table: notes, foreign_keys: [{name: a, references: notes}]}}"), ['1:144: entity.persistence.database.foreign_keys[0].references must be a table and its column, as orders.order_key, not "notes"']),
    (short(persistence="{database: {conformant_table: notes, foreign_keys: [{name: a, references: [notes.a, notes.b]}]}}"), ["1:144: a foreign key names as many columns of one other table as it has fields"]),
    (short(persistence="{database: {conformant_table: notes, foreign_keys: [{name: a, references: notes.id}]}, primary_key: {name: id, autogenerate: true}}"), ['1:144: "a" is text, and notes.id is integer']),
    (short(extends="Nte"), ['1:66: there is no entity "Nte" to extend; did you mean "Note"?']),
    (short(extends="Note"), ["1:66: Note -> Note: an entity cannot extend itself"]),
    (short(parent="Nobody"), ['1:65: there is no entity "Nobody"']),
    (short(parent="Note"), ["1:65: Note <- Note: it comes out of itself"]),
    (short("[{name: a, type: String, computed_from: {transform: copy_field, sources: [item]}}]"), ["1:70: this entity names no parent to compute it from"]),
    (short("[{name: a, type: String, computed_from: {transform: copy, sources: [item]}}]"), ['1:82: entity.fields[0].computed_from.transform: "copy" is not one of copy_field, json_get_string, json_get_int, json_get_float, json_get_optional_string, json_get_optional_float']),
    (short("[{name: a, type: String, constant: x, computed_from: {transform: copy_field, sources: [item]}}]"), ["1:65: a field is constant or computed, not both", '1:16: "Note" has no field that a message carries', "1:83: this entity names no parent to compute it from"]),
    ("apiVersion: nomnom.io/v2\nmetadata: {name: A}\nspec: {}\n", ['1:13: apiVersion: "nomnom.io/v2" is not one of nomnom.io/v1; did you mean "nomnom.io/v1"?']),
    ("apiVersion: nomnom.io/v1\nmetadata: {name: A}\nspec: {fields: [{name: aB, type: string, constraints: {maxLenght: 5}}]}\n", ['3:56: unknown key "maxLenght" in spec.fields[0].constraints; did you mean "maxLength"?']),
    ("apiVersion: nomnom.io/v1\nmetadata: {name: A}\nspec: {fields: [{name: aB, type: string, source: {copyFrom: X}}]}\n", ["3:50: spec.fields[0].source must be either copyFrom with field, or transform with inputs, or constant, not a mapping"]),
    ("apiVersion: nomnom.io/v1\nmetadata: {name: A}\nspec: {fields: [{name: aB, type: integer, constraints: {maxLength: 5}}]}\n", ['3:68: max_length is for texts, and "aB" is of type integer']),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BAD, ids=[told[0] for _, told in BAD])
def test_what_is_wrong_is_told_with_its_place(text: str, told: list[str], folder: Folder) -> None:
    _, problems = folder({"file": text})
    assert problems == [f"file:{line}" for line in told]


COMPUTED = """\
entity:
  name: Item
  parent: Order
  repeated_for: {{entity: Order, field: {field}, each_known_as: item}}
  fields:
    - {{name: x, type: String, nullable: true}}
    - {{name: a, type: String, {computed}}}
"""


@pytest.mark.parametrize(
    ("computed", "told"),
    [
        ("transform: copy_field, sources: [itm]", '7:80: "itm" is no parent and no item of this entity; did you mean "item"?'),
        ("transform: copy_field, sources: [Order]", "7:80: say which field of Order it is: {source: Order, field: ...}"),
        ("transform: copy_field, sources: [{source: Order, field: kee}]", '7:103: Order has no field "kee"'),
        ("transform: json_get_int, sources: [item]", "7:58: json_get_int takes a key: args: {key: ...}"),
        ("transform: copy_field, sources: [item], args: {key: a}", "7:58: copy_field takes no key"),
        ("transform: json_get_int, sources: [{source: Order, field: comment}], args: {key: a}", '7:105: "comment" of Order is no JSON object to take a key from'),
    ],
)  # fmt: skip
def test_a_source_that_is_not_there_is_told(computed: str, told: str, folder: Folder) -> None:
    text = COMPUTED.format(field="line_items", computed=f"computed_from: {{{computed}}}")
    assert folder({"order": ORDER, "file": text})[1] == [f"file:{told}"]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("line_itms", 'file:4:40: Order has no field "line_itms"; did you mean "line_items"?'),
        ("comment", 'file:4:40: "comment" of Order is no List[Object]'),
    ],
)
def test_a_list_that_is_not_there_is_told(field: str, told: str, folder: Folder) -> None:
    text = COMPUTED.format(field=field, computed="nullable: true")
    assert folder({"order": ORDER, "file": text})[1] == [told]


def test_what_cannot_be_computed_is_told(folder: Folder) -> None:
    text = COMPUTED.format(field="line_items", computed="index: true")
    assert folder({"order": ORDER, "file": text})[1] == [
        'file:7:14: "a" must be computed, constant or nullable: this entity comes out of another'
    ]


def test_parents_that_are_not_of_one_line_are_told(folder: Folder) -> None:
    other = "entity: {name: Other, prefix: X, fields: [{name: a, type: String}]}\n"
    copied = "{transform: copy_field, sources: [{source: parent, field: comment}]}"
    fields = f"[{{name: a, type: String, computed_from: {copied}}}]"
    text = f"entity: {{name: Item, parents: [Other, Order], fields: {fields}}}\n"
    assert folder({"order": ORDER, "other": other, "text": text})[1] == [
        'text:1:32: "Other" is no ancestor of "Order": one record has one line'
    ]


def test_circles_between_entities_are_told_where_each_begins(folder: Folder) -> None:
    files = {
        "a": "entity: {name: A, extends: B}\n",
        "b": "entity: {name: B, extends: A}\n",
        "c": "entity: {name: C, extends: A}\n",
        "d": "entity: {name: D, parent: E, fields: [{name: a, type: String}]}\n",
        "e": "entity: {name: E, parent: D, fields: [{name: a, type: String}]}\n",
    }
    assert folder(files)[1] == [
        "a:1:28: A -> B -> A: an entity cannot extend itself",
        "b:1:28: B -> A -> B: an entity cannot extend itself",
        "d:1:27: D <- E <- D: it comes out of itself",
        "e:1:27: E <- D <- E: it comes out of itself",
    ]


def test_tables_in_a_circle_are_told(folder: Folder) -> None:
    def table(name: str, other: str) -> str:
        return f"""\
entity:
  name: {name}
  fields: [{{name: key, type: Integer, primary_key: true}}]
  persistence: {{database: {{conformant_table: t_{name}, foreign_keys: [{{name: key, references: t_{other}.key}}]}}}}
"""

    [problem] = folder({"a": table("A", "B"), "b": table("B", "A")})[1]
    assert problem.startswith("a:4:90: foreign keys go in a circle: ")
    assert problem.endswith(": no table can be filled first")


def test_entities_that_share_a_name_a_prefix_or_a_table_are_both_named(folder: Folder) -> None:
    text = short(persistence="{database: {conformant_table: notes}}")
    other = text.replace("name: Note", "name: Nothing").replace("notes", "NOTES")
    assert folder({"a": text, "b": other})[1] == [
        'b:1:16: messages begin with "N" for Nothing and for Note (/a.yaml:1): each needs one of its own',
        'b:1:103: records are kept in a table "notes" for Nothing and for Note (/a.yaml:1): each needs one of its own',
    ]
    assert folder({"a": text, "b": text})[1][0] == (
        'b:1:16: an entity is called "Note" for Note and for Note (/a.yaml:1): each needs one of its own'
    )


def test_one_broken_file_breaks_no_others(folder: Folder) -> None:
    broken = ORDER.replace("source_type", "sourcetype")
    customer = short(
        persistence="{database: {conformant_table: notes, foreign_keys: [{name: a, references: orders.x}]}}"
    )
    heir = "entity: {name: Heir, extends: Order}\n"
    [problem] = folder({"order": broken, "item": ITEM, "note": customer, "heir": heir})[1]
    assert problem.startswith('order:3:3: unknown key "sourcetype" in entity')


def test_all_mistakes_of_all_files_are_told_at_once(folder: Folder) -> None:
    _, problems = folder({"a": short(prefx="N"), "b": short(type="leaf"), "c": short(extends="Nobody"), "d": "[\n"})
    assert [problem[:2] for problem in problems] == ["a:", "b:", "d:", "c:"]


def test_files_with_letters_changed_are_told_their_mistakes_and_never_break_the_reader(folder: Folder) -> None:
    dice = random.Random(3)
    words = [
        *" ".join([ORDER, ITEM, V1]).replace("{", " { ").replace("}", " } ").split(),
        "null",
        "[]",
        "5",
        "true",
        "~",
    ]
    outcomes = set()
    for _ in range(150):
        texts = {"a": ORDER, "b": ITEM, "c": V1}
        name = dice.choice(list(texts))
        at = dice.randrange(len(texts[name]))
        texts[name] = texts[name][:at] + dice.choice(["", *words]) + texts[name][at + dice.choice([0, 1, 5]) :]
        entities, problems = folder(texts)
        assert all(re.match(r"(a|b|c):[1-9][0-9]*:[1-9][0-9]*: ", problem) for problem in problems)
        if not problems:
            RecordParser(list(entities.values()))
        outcomes.add(bool(problems))
    assert outcomes == {True, False}


def test_paths_that_lead_nowhere_are_told_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    places = [(tmp_path / "none.yaml", HERE), (tmp_path / "empty", HERE)]
    entities, problems = load_entities(places)
    assert not entities
    assert [(p.file, p.line, p.column) for p in problems] == [("headgate.yaml", 3, 5)] * 2
    assert problems[0].message.startswith("there is no file or folder ")
    assert problems[1].message.startswith("there is no .yaml file in the folder ")


def test_a_folder_with_too_many_files_is_not_read(tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / f"{number}.yaml").touch()
    [problem] = load_entities([(tmp_path, HERE)])[1]
    assert problem.message.endswith("holds more than 1000 files")


def test_hidden_and_other_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".hidden.yaml").write_text("[")
    (tmp_path / "README.md").write_text("[")
    (tmp_path / "note.yml").write_text(short())
    entities, problems = load_entities([(tmp_path, HERE), (tmp_path / "note.yml", HERE)])
    assert len(problems) == 1  # the one file, named twice, says the same name twice
    assert {entity.name for entity in entities} == {"Note"}


def test_a_path_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "site" / "layouts").mkdir(parents=True)
    (tmp_path / "site" / "layouts" / "note.yaml").write_text(short())
    (tmp_path / "headgate.yaml").write_text("streams: {a: {}}\n")
    (tmp_path / "site" / "over.yaml").write_text("entities: [layouts]\n")
    plan = load_plan([tmp_path / "headgate.yaml", tmp_path / "site" / "over.yaml"], environ={})
    assert [entity.name for entity in plan.entities] == ["Note"]
    assert plan.summary()["entities"] == [{"name": "Note", "prefixes": ["N"], "table": None}]
    same = load_plan([tmp_path / "site" / "over.yaml"], environ={})
    assert same.entities == plan.entities
