"""The shapes: GraphQL types for the JSON Schemas of what nodes take and give."""

import re
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from headgate.interface.graphql.fields import JSON, Long, Names, entry, many, maybe, record

NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SCALARS: Mapping[str, Any] = {"string": str, "integer": Long, "number": float, "boolean": bool}


class Shapes:
    """Makes a type for each schema. What GraphQL has no type for is JSON: maps, unions, names that it does not know."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._made: list[tuple[str, bool, Mapping[str, Any], Any]] = []  # each once

    def given(self, schema: Mapping[str, Any], name: str) -> Any:
        """The type of what a client gives."""
        return self._shape(schema, name, is_input=True)

    def shown(self, schema: Mapping[str, Any], name: str) -> Any:
        """The type of what a client gets."""
        return self._shape(schema, name, is_input=False)

    def _shape(self, schema: Mapping[str, Any], name: str, *, is_input: bool) -> Any:
        schema, is_optional = _without_null(schema)
        made = self._there(schema, name, is_input=is_input)
        return maybe(made) if is_optional else made

    def _there(self, schema: Mapping[str, Any], name: str, *, is_input: bool) -> Any:
        kind = schema.get("type")
        if kind == "array" and isinstance(schema.get("items"), Mapping):
            return many(self._shape(schema["items"], name, is_input=is_input))
        properties = schema.get("properties")
        if kind == "object" and properties and all(NAME.fullmatch(key) and not iskeyword(key) for key in properties):
            return self._object(schema, name, is_input=is_input)
        return _SCALARS.get(kind, JSON) if isinstance(kind, str) and "properties" not in schema else JSON

    def _object(self, schema: Mapping[str, Any], name: str, *, is_input: bool) -> Any:
        own = str(schema.get("title", ""))
        wanted = own if NAME.fullmatch(own) else name
        for title, *rest, made in self._made:
            if (title, *rest) == (wanted, is_input, schema):
                return made
        make, ending = (entry, "input") if is_input else (record, "")
        made = make(self._names.free(wanted, ending), self._members(schema, name, is_input=is_input))
        self._made.append((wanted, is_input, schema, made))
        return made

    def _members(self, schema: Mapping[str, Any], name: str, *, is_input: bool) -> dict[str, tuple[Any, str]]:
        """Types and meanings; what need not be there may be null."""
        members = {}
        for key, part in schema["properties"].items():
            shape = self._shape(part, f"{name}_{key}", is_input=is_input)
            shape = shape if key in schema.get("required", ()) else maybe(shape)
            members[key] = (shape, str(part.get("description", "")))
        return members


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """A schema without its null, and whether that was one of the things it may be."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": others[0] if len(others) == 1 else others}, "null" in kinds
    options = schema.get("anyOf")
    if isinstance(options, list):
        others = [option for option in options if option.get("type") != "null"]
        if len(others) == 1:
            return others[0], len(others) < len(options)
        return {}, len(others) < len(options)
    return schema, False
