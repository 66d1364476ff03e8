"""The schema: what JSON records look like."""

from headgate.core.entity import Kind
from headgate.core.entity_schema import entity_schema
from tests.layouts import TPCH, entity, field


def test_every_kind_and_limit_is_described() -> None:
    schema = entity_schema(
        entity(
            "Note",
            "N",
            field("id", Kind.INTEGER, minimum=0, maximum=9, doc="Which"),
            field("text", Kind.TEXT, max_length=5, min_length=2),
            field("free", Kind.TEXT, nullable=True),
            field("choice", Kind.TEXT, choices=("a", "b"), nullable=True),
            field("must", Kind.TEXT, choices=("a", "b")),
            field("price", Kind.DECIMAL, precision=5, scale=2, nullable=True),
            field("any", Kind.JSON, nullable=True),
            field("when", Kind.TIMESTAMP),
            field("origin", Kind.TEXT, constant="x"),
        )
    )
    assert schema == {
        "title": "Note",
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "text", "must", "when"],
        "properties": {
            "id": {"type": "integer", "minimum": 0, "maximum": 9, "description": "Which"},
            "text": {"type": "string", "minLength": 2, "maxLength": 5},
            "free": {"type": ["string", "null"]},
            "choice": {"type": ["string", "null"], "enum": ["a", "b", None, ""]},
            "must": {"type": "string", "enum": ["a", "b"]},
            "price": {"type": ["number", "string", "null"], "exclusiveMinimum": -1000, "exclusiveMaximum": 1000},
            "any": {},
            "when": {"type": "string", "format": "date-time"},
        },
    }


def test_an_entity_says_what_it_means() -> None:
    assert entity_schema(TPCH["Order"])["description"] == "What a customer ordered"
