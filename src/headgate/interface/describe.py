"""The description: OpenAPI made from the same routes that serve."""

from collections.abc import Sequence
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
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _operation_id(route),
        "tags": [route.tag],
        "responses": {str(answer.status): _response(answer) for answer in route.answers},
    }
    if route.parameters:
        operation["parameters"] = [
            {"name": p.name, "in": "query", "required": False, "description": p.meaning, "schema": p.schema}
            for p in route.parameters
        ]
    if route.body:
        content = {media: {"schema": schema} for media, schema in route.body.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = "".join(letter if letter.isalnum() else "_" for letter in route.path.strip("/"))
    return f"{route.method.lower()}_{words or 'root'}"


def _response(answer: Answer) -> dict[str, Any]:
    content = answer.content or ({JSON: _ERROR} if answer.status >= 400 else {})
    response: dict[str, Any] = {"description": answer.meaning}
    if content:
        response["content"] = {media: {"schema": schema} for media, schema in content.items()}
    return response
