"""The entity: what its parts say of each other."""

import pytest

from headgate.core.entity import Entity, Kind, Record, Storage, Transform
from headgate.spec.entities.grammar import ComputedFromSpec
from tests.layouts import TPCH, entity, field

KEPT = Storage("notes", primary_key=("note_id",))


def test_a_record_is_named_by_its_primary_key() -> None:
    note = Entity("Note", "root", (field("id", Kind.INTEGER), field("text", Kind.TEXT)), storage=Storage("n", ("id",)))
    assert note.key == ("id",)
    assert Record(note, {"id": 5, "text": "a"}).key == (5,)
    assert TPCH["OrderLineItem"].key == ("order_key", "line_number")


@pytest.mark.parametrize("storage", [None, Storage("notes", ("id",), generated=True), Storage("notes")])
def test_a_record_whose_key_the_database_makes_has_no_name_yet(storage: Storage | None) -> None:
    assert entity("Note", "N", field("text", Kind.TEXT), storage=storage).key == ()


def test_a_record_cannot_be_changed() -> None:
    record = Record(TPCH["Region"], {"region_key": 1})
    with pytest.raises(TypeError):
        record.values["region_key"] = 2  # type: ignore[index]


def test_a_sender_gives_all_but_the_constants() -> None:
    note = entity(
        "Note", "N", field("a", Kind.TEXT), field("b", Kind.TEXT, constant="x"), field("c", Kind.TEXT, stored=False)
    )
    assert [f.name for f in note.given] == ["a", "c"]
    assert [f.name for f in note.stored] == ["a", "b"]
    assert note.whole.columns == ("a", "b")


def test_the_grammar_knows_every_transform() -> None:
    said = ComputedFromSpec.model_json_schema()["properties"]["transform"]["enum"]
    assert said == [transform.value for transform in Transform]
