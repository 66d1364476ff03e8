"""The contract: what a node's function takes and gives, as far as it is known here, checked and described."""

from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.core.codec import decode_json, encode_json
from headgate.errors import BadRequest, InvalidParameter


class Contract:
    """The types of a request and of its response. What is not known here is `Any`, and let through."""

    def __init__(self, takes: Any = Any, gives: Any = Any) -> None:
        self.takes, self.gives = takes, gives

    def __repr__(self) -> str:
        return f"<Contract {self.takes!r} -> {self.gives!r}>"

    def body(self, body: bytes, values: Mapping[str, str], *, bodiless: bool = False) -> bytes:
        """The JSON of a request: its body, with the values of its path and its query as fields.

        Raises a `CodecError`, a `BadRequest`, or an `InvalidParameter` that names the field.
        """
        value = decode_json(body) if body else None
        if values or bodiless:
            value = self._with(value, values)
        elif not body:
            raise BadRequest("the request has no body")
        if self.takes is Any:
            return body if body and not values else encode_json(value)
        try:
            converted = msgspec.convert(value, self.takes, strict=not values)
        except msgspec.ValidationError as error:
            raise InvalidParameter(_told(error)) from None
        return body if body and not values else encode_json(converted)

    def _with(self, value: Any, values: Mapping[str, str]) -> dict[str, Any]:
        if value is not None and not isinstance(value, dict):
            raise BadRequest("the body has to be a JSON object: the path or the query brings fields of it")
        twice = (value or {}).keys() & values.keys()
        if twice:
            raise BadRequest(f"{min(twice)!r} stands in the body and in the path or the query; give it once")
        return {**(value or {}), **values}

    def request_schema(self) -> dict[str, Any]:
        """What OpenAPI says of a request."""
        return schema_of(self.takes)

    def response_schema(self) -> dict[str, Any]:
        """What OpenAPI says of the response."""
        return schema_of(self.gives)


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type, whole; of one that has none, anything."""
    if annotation is Any:
        return {}
    try:
        schema = msgspec.json.schema(annotation)
    except TypeError:
        return {}
    definitions = schema.pop("$defs", {})
    resolved = _resolved(schema, definitions, ())
    return resolved if isinstance(resolved, dict) else {}


def _resolved(part: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """A part of a schema with what it refers to in the place of the reference; a type within itself is anything."""
    if isinstance(part, list):
        return [_resolved(item, definitions, inside) for item in part]
    if not isinstance(part, dict):
        return part
    if (name := str(part.get("$ref", "")).removeprefix("#/$defs/")) in definitions:
        return {} if name in inside else _resolved(definitions[name], definitions, (*inside, name))
    return {key: _resolved(value, definitions, inside) for key, value in part.items()}


def _told(error: msgspec.ValidationError) -> str:
    """What is wrong, with the field before it."""
    words, _, place = str(error).partition(" - at `$")
    path = place.rstrip("`").removeprefix(".")
    return f"{path}: {words}" if path else words
