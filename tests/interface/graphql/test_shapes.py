"""Shapes: the types that nodes annotate, as GraphQL has them."""

from typing import Any

import msgspec
import strawberry
from graphql import GraphQLSchema, parse, print_type, validate
from strawberry.tools import create_type

from headgate.interface.call.contract import schema_of
from headgate.interface.graphql.fields import CONFIG, Argument, Names, field, plain
from headgate.interface.graphql.shapes import Shapes


class Part(msgspec.Struct):
    name: str
    size: float | None = None


class Order(msgspec.Struct):
    number: int
    parts: list[Part]
    note: str = ""
    first: Part | None = None
    more: dict[str, int] = {}
    either: int | str = 0
    spare: list[Part] = []


class Message(msgspec.Struct):
    text: str


class Keyword(msgspec.Struct, rename={"of": "from"}):
    of: str


def schema(**shown: Any) -> GraphQLSchema:
    """A schema with a field for each type, which takes and gives it."""
    shapes = Shapes(Names())
    fields = [
        field(
            name, shapes.shown(schema_of(kind), name), _same, [Argument("given", shapes.given(schema_of(kind), name))]
        )
        for name, kind in shown.items()
    ]
    made = strawberry.Schema(create_type("Query", fields), config=CONFIG)
    return made._schema


def _same(_: object, __: object, given: dict[str, Any]) -> Any:
    return plain(given["given"])


def members(made: GraphQLSchema, name: str) -> list[str]:
    return [line.strip() for line in print_type(made.type_map[name]).splitlines()[1:-1]]


def test_a_record_becomes_a_type_and_an_input() -> None:
    made = schema(orders=Order)
    optional = ["note: String", "first: Part", "more: JSON", "either: JSON", "spare: [Part!]"]
    assert members(made, "Order") == ["number: Long!", "parts: [Part!]!", *optional]
    inputs = [member.replace("Part", "PartInput") for member in ["number: Long!", "parts: [Part!]!", *optional]]
    assert members(made, "OrderInput") == inputs
    assert members(made, "Part") == ["name: String!", "size: Float"]


def test_types_of_ours_keep_their_names() -> None:
    made = schema(messages=Message)
    assert members(made, "Message2") == ["text: String!"]


def test_types_of_one_name_that_differ_are_told_apart() -> None:
    other = msgspec.defstruct("Part", [("weight", int)])
    made = schema(a=Part, b=other, c=Part)
    assert (members(made, "Part"), members(made, "Part2")) == (["name: String!", "size: Float"], ["weight: Long!"])
    assert "Part3" not in made.type_map


def test_what_graphql_has_no_type_for_is_json() -> None:
    made = schema(any=Any, map=dict[str, int], keyword=Keyword, many=list[int], text=str)
    shown = {name: str(member.type) for name, member in made.query_type.fields.items()}  # type: ignore[union-attr]
    assert shown == {"any": "JSON!", "map": "JSON!", "keyword": "JSON!", "many": "[Long!]!", "text": "String!"}
    assert not validate(made, parse('{ any(given: {a: [1, null]}) text(given: "x") }'))


def test_what_is_left_out_stays_out() -> None:
    made = schema(part=Part)
    assert made.query_type is not None
    from graphql import graphql_sync

    for given, value in (('{name: "a"}', None), ('{name: "a", size: null}', None), ('{name: "a", size: 2}', 2.0)):
        result = graphql_sync(made, f"{{ part(given: {given}) {{ name size }} }}")
        assert result.data == {"part": {"name": "a", "size": value}}
