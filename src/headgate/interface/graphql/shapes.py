"""The shapes: GraphQL types for the JSON Schemas of what nodes take and give."""

import re
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from headgate.interface.graphql.fields import JSON, Long, entry, many, maybe, record

NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SCALARS: Mapping[str, Any] = {"string": str, "integer": Long, "number": float, "boolean": bool}


class Shapes:
    """Makes a type for each schema. What GraphQL has no type for is JSON: maps, unions, names that it does not know."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Mapping[str, Any], Any]] = {}  # by name, so that none is made twice

    def given(self, schema: Mapping[str, Any], name: str) -> Any:
        """The type of what a client gives."""
        return self._shape(schema, f"{name}_input", is_input=True)

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
        name = (f"{own}_input" if is_input else own) if NAME.fullmatch(own) else name
        name = self._free(name, schema)
        if name not in self._made:
            make = self._entry if is_input else self._record
            self._made[name] = (schema, make(schema, name))
        return self._made[name][1]

    def _free(self, name: str, schema: Mapping[str, Any]) -> str:
        """This name, or the first one like it under which there is nothing else."""
        free, number = name, 1
        while free in self._made and self._made[free][0] != schema:
            number += 1
            free = f"{name}_{number}"
        return free

    def _record(self, schema: Mapping[str, Any], name: str) -> type:
        return record(name, self._members(schema, name, is_input=False))

    def _entry(self, schema: Mapping[str, Any], name: str) -> type:
        return entry(name, self._members(schema, name, is_input=True))

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
