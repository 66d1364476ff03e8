"""The schema of an entity: what a JSON record looks like, as JSON Schema (draft 2020-12), which OpenAPI uses too."""

from typing import Any

from headgate.core.entity import Entity, Field, Kind

_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.DECIMAL: {"type": ["number", "string"]},
    Kind.FLOAT: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.JSON: {},
    Kind.OBJECT: {"type": "object"},
    Kind.TEXT_LIST: {"type": "array", "items": {"type": "string"}},
    Kind.OBJECT_LIST: {"type": "array", "items": {"type": "object"}},
}


def entity_schema(entity: Entity) -> dict[str, Any]:
    """The JSON Schema of a record: what `record_of_json` takes."""
    described = {"title": entity.name, "description": entity.doc} if entity.doc else {"title": entity.name}
    return {
        **described,
        "type": "object",
        "properties": {field.name: _schema(field) for field in entity.given},
        "required": [field.name for field in entity.given if not field.nullable],
        "additionalProperties": False,
    }


def _schema(field: Field) -> dict[str, Any]:
    schema = {**_TYPES[field.kind], **_limits(field)}
    if field.nullable and "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*kinds, "null"]
    return {**schema, "description": field.doc} if field.doc else schema


def _limits(field: Field) -> dict[str, Any]:
    if field.kind is Kind.TEXT:
        return _text_limits(field)
    if field.kind is Kind.INTEGER:
        return {"minimum": field.minimum, "maximum": field.maximum}
    if field.kind is Kind.DECIMAL and field.precision is not None:
        limit = 10 ** (field.precision - field.scale)
        return {"exclusiveMinimum": -limit, "exclusiveMaximum": limit}
    return {}


def _text_limits(field: Field) -> dict[str, Any]:
    if field.choices:
        return {"enum": [*field.choices, *([None, ""] if field.nullable else [])]}
    # An empty text is null.
    limits: dict[str, Any] = {} if field.nullable else {"minLength": max(1, field.min_length)}
    return limits if field.max_length is None else {**limits, "maxLength": field.max_length}
