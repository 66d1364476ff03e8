"""The routes of an ingest interface, and what OpenAPI says of them."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from headgate.core.entity_schema import entity_schema
from headgate.core.wire import JSON, NDJSON
from headgate.interface.exchange import Request, Response
from headgate.interface.idempotency import KEY
from headgate.interface.ingest.answers import failure
from headgate.interface.ingest.asked import PARAMETERS, PROGRESS
from headgate.interface.ingest.batch import batch
from headgate.interface.ingest.forms import CSV, TEXT
from headgate.interface.ingest.message import message
from headgate.interface.ingest.stream import stream
from headgate.interface.route import Answer, Parameter, Route
from headgate.interface.sse import EVENTS
from headgate.runtime.ingest.intake import Intake

_UNBOUNDED = 2**63


def ingest_routes(intake: Intake) -> list[Route]:
    """`/message`, `/batch` and `/stream` below the path of an ingest interface."""

    async def one(request: Request) -> Response:
        if intake.terms.most_bytes is not None:
            request.limit = intake.terms.most_bytes
        began = time.monotonic()
        try:
            return await message(request, intake)
        finally:
            intake.count_request(time.monotonic() - began)

    async def many(request: Request) -> Response:
        whole_limit, request.limit = request.limit, _most_bytes(intake)
        began = time.monotonic()
        try:
            return await batch(request, intake, whole_limit)
        finally:
            intake.count_request(time.monotonic() - began)

    async def endless(request: Request) -> Response:
        whole_limit, request.limit = request.limit, _UNBOUNDED
        request.unhurried()
        return await stream(request, intake, whole_limit)

    schemas = [entity_schema(entity) for entity in intake.entities]
    text, several = {TEXT: _TEXT}, {TEXT: _TEXT, NDJSON: _TEXT, CSV: _TEXT}
    return [
        _route(
            intake,
            "message",
            one,
            "Keep one message",
            [*PARAMETERS, KEY],
            {**text, JSON: {"anyOf": schemas}},
            Answer(200, "It is committed.", {JSON: _ACCEPTED}),
        ),
        _route(
            intake,
            "batch",
            many,
            "Keep many messages",
            [*PARAMETERS, KEY],
            {**several, JSON: {"type": "array", "items": {"anyOf": schemas}}},
            Answer(200, "All are committed.", {JSON: _BATCH}),
            Answer(207, "Some are committed; `errors` tells of the others.", {JSON: _BATCH}),
        ),
        _route(
            intake,
            "stream",
            endless,
            "Keep messages as they come",
            [*PARAMETERS, PROGRESS],
            several,
            Answer(200, "Events tell what became of each message, and the last one of all.", {EVENTS: _TEXT}),
        ),
    ]


def _most_bytes(intake: Intake) -> int:
    return _UNBOUNDED if intake.terms.most_bytes is None else intake.terms.most_bytes


def _route(
    intake: Intake,
    name: str,
    serve: Callable[[Request], Awaitable[Response]],
    summary: str,
    parameters: list[Parameter],
    body: dict[str, dict[str, Any]],
    *answers: Answer,
) -> Route:
    return Route(
        "POST",
        f"{intake.path}/{name}",
        serve,
        summary=summary,
        tag="ingest",
        parameters=parameters,
        body=body,
        answers=[*answers, *_FAILURES],
        failure=failure,
    )


_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_NAME: dict[str, Any] = {"type": ["string", "null"]}
_ACCEPTED: dict[str, Any] = {
    "type": "object",
    "required": ["status", "entity", "id", "timestamp"],
    "properties": {
        "status": {"const": "success"},
        "entity": {"type": "string"},
        "id": {"description": "The primary key; a list when it has several columns."},
        "timestamp": {"type": "string", "format": "date-time"},
        "duplicate": {"const": True},
        "updated": {"const": True},
        "dry_run": {"const": True},
    },
}
_FAILED: dict[str, Any] = {
    "type": "object",
    "required": ["status", "message", "entity", "line"],
    "properties": {
        "status": {"const": "error"},
        "message": {"type": "string"},
        "type": {"type": "string", "description": "A stable code, when it is no message's own error."},
        "entity": _NAME,
        "line": _NAME,
    },
}
_BATCH: dict[str, Any] = {
    "type": "object",
    "required": ["status", "processed", "inserted", "failed", "duplicates", "updated", "errors", "duration_ms"],
    "properties": {
        "status": {"enum": ["success", "partial"]},
        **dict.fromkeys(("processed", "inserted", "failed", "duplicates", "updated", "duration_ms"), _COUNT),
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["line_number", "entity", "message", "line"],
                "properties": {
                    "line_number": _COUNT,
                    "entity": _NAME,
                    "message": {"type": "string"},
                    "line": {"type": "string"},
                },
            },
        },
        "errors_omitted": _COUNT,
        "dry_run": {"const": True},
    },
}
_FAILURES = [
    Answer(400, "It is refused; nothing was kept.", {JSON: _FAILED}),
    Answer(413, "The body is over the limit.", {JSON: _FAILED}),
    Answer(415, "The body is of a type or an encoding that is not read here.", {JSON: _FAILED}),
    Answer(422, "A parameter or the Idempotency-Key is wrong.", {JSON: _FAILED}),
    Answer(429, "The database does not keep up.", {JSON: _FAILED}),
    Answer(503, "The database is away; what was committed before is counted.", {JSON: _FAILED}),
    Answer(507, "The disk is full.", {JSON: _FAILED}),
]
