"""The routes of a command interface, and what OpenAPI says of them."""

from collections.abc import Awaitable, Callable
from typing import Any

from headgate.core.command import HIGHEST_PRIORITY, Catalog, CommandType
from headgate.core.command_status import BY_WORD
from headgate.core.wire import JSON
from headgate.interface.command import service, status
from headgate.interface.command.answers import failure
from headgate.interface.command.office import Office
from headgate.interface.command.push import push, push_batch
from headgate.interface.exchange import Request, Response
from headgate.interface.idempotency import KEY
from headgate.interface.route import Answer, Parameter, Route

Serve = Callable[[Request, Office], Awaitable[Response]]


def command_routes(office: Office) -> list[Route]:
    """All that is served at and beside the path of a command interface."""
    one, many = command_schema(office.catalog), {"type": "array", "items": command_schema(office.catalog)}
    batch = {"type": "object", "required": ["commands"], "properties": {"commands": many}}

    def route(method: str, path: str, serve: Serve, summary: str, *answers: Answer, **more: Any) -> Route:
        async def endpoint(request: Request) -> Response:
            return await serve(request, office)

        return Route(method, path, endpoint, summary, "commands", answers=answers, failure=failure, **more)

    path, base, by_id = office.path, office.base, f"{office.path}/{{request_id}}"
    return [
        route("POST", path, push, "Push a command", *_PUSHED, parameters=[KEY, _PREFER], body={JSON: one}),
        route("POST", f"{path}/batch", push_batch, "Push commands", *_BATCH, parameters=[KEY], body={JSON: batch}),
        route("GET", path, status.listing, "List commands", *_LISTED, parameters=_LIST_PARAMETERS),
        route("GET", f"{by_id}/status", status.status, "Get a command's status", *_STATUS, parameters=[_ID, _WAIT]),
        route("GET", f"{by_id}/events", status.events, "Follow a command", *_EVENTS, parameters=[_ID, _LAST]),
        route("DELETE", by_id, status.cancel, "Cancel a command", *_CANCELLED, parameters=[_ID]),
        route("GET", f"{base}/health", service.health, "Is the service alive?", _told("healthy"), **_OPEN),
        route("GET", f"{base}/status", service.service_status, "How is the service?", _told("its state"), **_ALWAYS),
        route("GET", f"{base}/metrics", service.metrics, "What has been done?", _told("counters"), **_ALWAYS),
    ]


def command_schema(catalog: Catalog) -> dict[str, Any]:
    """The schema of a command: any, unless types say more."""
    known = [_typed(kind, catalog) for kind in catalog.types.values()]
    if catalog.closed:
        return {"anyOf": known} if known else _command(catalog.protocols)
    return {"anyOf": [*known, _command(catalog.protocols)]} if known else _command(catalog.protocols)


def _typed(kind: CommandType, catalog: Catalog) -> dict[str, Any]:
    schema = _command(kind.protocols or catalog.protocols)
    schema["title"], schema["description"] = kind.name, kind.description
    schema["properties"]["command_type"] = {"const": kind.name}
    if kind.schema is not None:
        schema["properties"]["payload"] = dict(kind.schema)
    return schema


def _command(protocols: tuple[str, ...]) -> dict[str, Any]:
    name: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256}
    flag = {"type": ["boolean", "null"]}
    moment = {"type": ["string", "null"], "format": "date-time"}
    return {
        "type": "object",
        "required": ["device_id", "command_type", "payload", "protocol"],
        "additionalProperties": False,
        "properties": {
            "device_id": name,
            "command_type": name,
            "payload": {"type": "object"},
            "protocol": {"type": "string", "enum": list(protocols)},
            "parser_script_ref": {"type": ["string", "null"], "pattern": r"\.py$"},
            "metadata": {"type": ["object", "null"]},
            "qos": {"type": ["integer", "null"], "minimum": 0, "maximum": 2},
            "retain": flag,
            "confirmable": flag,
            "request_id": {"type": ["string", "null"], "pattern": "^[0-9A-Za-z._:-]{1,128}$"},
            "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": HIGHEST_PRIORITY},
            "not_before": moment,
            "expires_at": moment,
        },
        "example": {
            "device_id": "efento_device_001",
            "command_type": "config_update",
            "payload": {"measurement_interval": 600},
            "protocol": protocols[-1],
            "parser_script_ref": "efento_bidirectional_parser.py",
        },
    }


def _told(meaning: str) -> Answer:
    return Answer(200, meaning, {JSON: {"type": "object"}})


_ALWAYS: dict[str, Any] = {"open_while_draining": True}
_OPEN: dict[str, Any] = _ALWAYS | {"public": True}
_TEXT: dict[str, Any] = {"type": "string"}
_MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}
_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["success", "request_id", "message", "timestamp"],
    "properties": {
        "success": {"type": "boolean"},
        "request_id": _TEXT,
        "message": _TEXT,
        "timestamp": _MOMENT,
        "status": {"type": "string", "enum": list(BY_WORD), "description": "With Prefer: wait."},
        "detail": _TEXT,
        "type": {"type": "string", "description": "Of the error, when it was refused."},
    },
}
_RESULTS: dict[str, Any] = {
    "type": "object",
    "required": ["total_commands", "successful", "failed", "results"],
    "properties": {
        "total_commands": {"type": "integer"},
        "successful": {"type": "integer"},
        "failed": {"type": "integer"},
        "results": {"type": "array", "items": _RESULT},
    },
}
_STATE: dict[str, Any] = {
    "type": "object",
    "required": ["request_id", "status", "history"],
    "properties": {
        "request_id": _TEXT,
        "status": {"type": "string", "enum": [*BY_WORD, "unknown"]},
        "device_id": _TEXT,
        "command_type": _TEXT,
        "protocol": _TEXT,
        "priority": {"type": "integer"},
        "timestamp": _MOMENT,
        "updated_at": _MOMENT,
        "published_at": {"type": ["string", "null"], "format": "date-time"},
        "not_before": {"type": ["string", "null"], "format": "date-time"},
        "expires_at": {"type": ["string", "null"], "format": "date-time"},
        "detail": _TEXT,
        "history": {
            "type": "array",
            "items": {"type": "object", "properties": {"status": _TEXT, "timestamp": _MOMENT, "detail": _TEXT}},
        },
    },
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error", "type"],
    "properties": {"error": _TEXT, "type": {"type": "string", "description": "The class of the error."}},
}
_UNKNOWN = Answer(404, "There is no such command.", {JSON: _ERROR})
_WRONG = Answer(422, "A parameter is wrong.", {JSON: _ERROR})
_AWAY = Answer(503, "The stream or the database is away; try again.", {JSON: _ERROR})
_REFUSALS = [
    Answer(413, "The body is over the limit.", {JSON: _ERROR}),
    Answer(415, "The body is not JSON.", {JSON: _ERROR}),
    Answer(422, "The key or the request_id was used for another command.", {JSON: _ERROR}),
    Answer(429, "There is more to do than can be kept up with.", {JSON: _ERROR}),
    _AWAY,
    Answer(507, "The disk is full.", {JSON: _ERROR}),
]
_PUSHED = [
    Answer(200, "It is published, and acknowledged.", {JSON: _RESULT}),
    Answer(202, "It is kept for its time; or the device has not answered while you waited.", {JSON: _RESULT}),
    Answer(400, "It is not as a command has to be; the message begins with the field.", {JSON: _ERROR}),
    *_REFUSALS,
]
_BATCH = [
    Answer(200, "All are acknowledged.", {JSON: _RESULTS}),
    Answer(207, "Some are acknowledged; each result says what became of it.", {JSON: _RESULTS}),
    Answer(400, "None is as a command has to be.", {JSON: _RESULTS}),
    *_REFUSALS,
]
_STATUS = [Answer(200, "Its status.", {JSON: _STATE}), _UNKNOWN, _WRONG, _AWAY]
_EVENTS = [
    Answer(200, "Its transitions as they come.", {status.EVENTS: _TEXT}),
    Answer(204, "It is settled, and there is nothing more."),
    Answer(400, "The place to go on after is none.", {JSON: _ERROR}),
    _UNKNOWN,
    _AWAY,
]
_LISTED = [
    Answer(
        200,
        "A page, the newest first.",
        {
            JSON: {
                "type": "object",
                "required": ["commands", "next_cursor"],
                "properties": {
                    "commands": {"type": "array", "items": _STATE},
                    "next_cursor": {"type": ["string", "null"], "description": "What gives the next page."},
                },
            }
        },
    ),
    _WRONG,
    _AWAY,
]
_CANCELLED = [
    Answer(200, "It is cancelled.", {JSON: _STATE}),
    _UNKNOWN,
    Answer(409, "It is published already.", {JSON: _ERROR}),
    _AWAY,
]
_ID = Parameter("request_id", "The command.", {"type": "string"}, required=True, place="path")
_WAIT = Parameter("wait", "How long to wait until it is settled: 10s.", {"type": "string"})
_PREFER = Parameter(
    "Prefer", "`wait=10` waits so many seconds for the device to answer.", {"type": "string"}, place="header"
)
_LAST = Parameter("Last-Event-ID", "Go on after this event.", {"type": "string"}, place="header")
_LIST_PARAMETERS = [
    Parameter("device_id", "Commands for this device.", {"type": "string"}),
    Parameter("command_type", "Commands of this type.", {"type": "string"}),
    Parameter("status", "Commands in this state.", {"type": "string", "enum": list(BY_WORD)}),
    Parameter("since", "Accepted then or later.", _MOMENT),
    Parameter("until", "Accepted before then.", _MOMENT),
    Parameter("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
    Parameter("cursor", "The `next_cursor` of the page before.", {"type": "string"}),
]
