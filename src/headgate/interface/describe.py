"""The description: OpenAPI made from the same routes that serve."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from headgate.core.wire import JSON
from headgate.interface.route import Answer, Route

_ERROR = {
    "type": "object",
    "required": ["error", "type"],
    "properties": {
        "error": {"type": "string", "description": "What is wrong and what to do."},
        "type": {"type": "string", "description": "A stable code."},
    },
}


def openapi_paths(routes: Sequence[Route]) -> dict[str, Any]:
    """The `paths` object of an OpenAPI document."""
    paths: dict[str, Any] = {}
    ids: set[str] = set()
    for route in routes:
        ids.add(name := _unique(_operation_id(route), ids))
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, name)
    return paths


def _operation(route: Route, operation_id: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": operation_id,
        "tags": [route.tag],
        "responses": {str(answer.status): _response(answer) for answer in route.answers},
    }
    if route.parameters:
        operation["parameters"] = [
            {"name": p.name, "in": p.place, "required": p.required, "description": p.meaning, "schema": p.schema}
            for p in route.parameters
        ]
    if route.body:
        content = {media: {"schema": schema} for media, schema in route.body.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = "".join(letter if letter.isalnum() else "_" for letter in route.path.strip("/"))
    return f"{route.method.lower()}_{words or 'root'}"


def _unique(name: str, taken: set[str]) -> str:
    """Paths may differ in what no identifier shows: `a.b` and `a-b`."""
    numbered = (f"{name}_{number}" for number in count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def _response(answer: Answer) -> dict[str, Any]:
    content = _with_error(answer.content) if answer.status >= 400 else answer.content
    response: dict[str, Any] = {"description": answer.meaning}
    if content:
        response["content"] = {media: {"schema": schema} for media, schema in content.items()}
    return response


def _with_error(content: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What an error may look like: the plain form, or what this answer has beside it."""
    return {**content, JSON: {"anyOf": [content[JSON], _ERROR]} if JSON in content else _ERROR}
