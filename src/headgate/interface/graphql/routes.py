"""The routes: queries by `POST` and `GET`, subscriptions as Server-Sent Events, and the page to try them with."""

from importlib.resources import files
from typing import Any

import msgspec
from graphql import OperationType

from headgate.core import sse
from headgate.core.codec import decode_json, json_encode
from headgate.core.position import At, Position
from headgate.core.wire import JSON
from headgate.errors import BadRequest, HeadgateError, NotAcceptable, UnsupportedMedia
from headgate.interface.accept import preferred
from headgate.interface.boundary import render
from headgate.interface.call.routes import trace_of
from headgate.interface.exchange import Request, Response
from headgate.interface.feed import Asked as Follows
from headgate.interface.feed import Feed, Manners
from headgate.interface.graphql.context import Context
from headgate.interface.graphql.results import COMPLETE, NEXT, ResultEvents, refusal_of, result_of
from headgate.interface.graphql.service import Asked, Operation, QueryRefused
from headgate.interface.graphql.terms import Terms
from headgate.interface.route import Answer, Parameter, Route
from headgate.interface.sse import EVENTS, headers_of

RESPONSE = "application/graphql-response+json"
_PAGE = "text/html"
_PAGE_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
_ANY = ("*/*", "application/*")


def graphql_routes(terms: Terms) -> list[Route]:
    """`GET` and `POST` of an interface."""

    async def post(request: Request) -> Response:
        return await _serve(request, await _posted(request), terms)

    async def get(request: Request) -> Response:
        if terms.page and "query" not in request.query and _PAGE in preferred(request.header("accept") or ""):
            return _page()
        return await _serve(request, _got(request), terms)

    told: dict[str, Any] = {"failure": _failure, "for_all": True, "answers": _ANSWERS}
    return [
        Route("POST", terms.path, post, "Carry out a GraphQL query", "graphql", body={JSON: _BODY}, **told),
        Route("GET", terms.path, get, "Carry out a GraphQL query", "graphql", parameters=_PARAMETERS, **told),
    ]


async def _serve(request: Request, asked: Asked, terms: Terms) -> Response:
    media = _accepted(request.header("accept"))
    try:
        operation = terms.service.prepare(asked)
        if request.method == "GET" and operation.kind is OperationType.MUTATION:
            return _only_posted(request)
        if operation.kind is OperationType.SUBSCRIPTION:
            return await _follow(request, operation, terms, media)
        return await _answer(request, operation, terms, media)
    except QueryRefused as refused:
        return Response(400, json_encode({"errors": refused.errors}), RESPONSE if media == RESPONSE else JSON)


async def _answer(request: Request, operation: Operation, terms: Terms, media: str) -> Response:
    result = await request.unless_gone(terms.service.carry_out(operation, _context(request, terms)))
    body = json_encode(result_of(result))
    if media == EVENTS:
        return Response(200, sse.event(body, name=NEXT) + COMPLETE, EVENTS)
    return Response(200, body, media)


async def _follow(request: Request, operation: Operation, terms: Terms, media: str) -> Response:
    if media != EVENTS:
        raise NotAcceptable(f"a subscription is followed as {EVENTS}, or by a WebSocket")
    wanted, results = terms.service.follow(operation, _context(request, terms))
    await wanted.hub.come_up()
    manners = Manners(on_slow=terms.on_slow, stall=terms.stall)
    feed = Feed(ResultEvents(results), manners, Follows(wanted.hub, wanted.selection, wanted.start, terms.visitors))
    return Response(content_type=EVENTS, headers=headers_of(request, terms.origins), live=feed.serve)


def _context(request: Request, terms: Terms) -> Context:
    last = request.header("last-event-id")
    return Context(
        request.caller, terms.path, terms.drained, trace_of(request), At(Position.parse(last)) if last else None
    )


def _accepted(accept: str | None) -> str:
    for media in preferred(accept or "*/*"):
        if media in (RESPONSE, JSON, EVENTS):
            return media
        if media in _ANY:
            return JSON
    raise NotAcceptable(f"results come as {JSON}, {RESPONSE} or {EVENTS}")


async def _posted(request: Request) -> Asked:
    media = (request.header("content-type") or "").split(";")[0].strip().lower()
    if media != JSON:  # forms and plain text could be sent by the pages of any site
        raise UnsupportedMedia(f"a query is sent as {JSON}, not as {media[:100]!r}")
    return _read(decode_json(await request.body()))


def _got(request: Request) -> Asked:
    named = {name: request.parameter(name) for name in ("query", "operationName", "variables", "extensions")}
    decoded = {name: decode_json(text.encode()) for name, text in named.items() if text and name in _DECODED}
    return _read({name: text for name, text in named.items() if text is not None} | decoded)


_DECODED = ("variables", "extensions")


def _read(value: Any) -> Asked:
    try:
        return msgspec.convert(value, Asked)
    except msgspec.ValidationError as error:
        raise BadRequest(f"this is no GraphQL request: {error}") from None


def _failure(error: HeadgateError, request: Request) -> Response:
    """An error, in the form of this interface."""
    response = render(error, request)
    response.body, response.content_type = json_encode({"errors": [refusal_of(error)]}), JSON
    return response


def _only_posted(request: Request) -> Response:
    response = _failure(BadRequest("what changes something is sent by POST"), request)
    response.status, response.headers["Allow"] = 405, "POST"
    return response


def _page() -> Response:
    page = files("headgate.interface.graphql").joinpath("page.html").read_bytes()
    return Response(200, page, f"{_PAGE}; charset=utf-8", {"Content-Security-Policy": _PAGE_POLICY})


_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["query"],
    "properties": {
        "query": {"type": "string"},
        "variables": {"type": ["object", "null"]},
        "operationName": {"type": ["string", "null"]},
    },
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "properties": {"data": {}, "errors": {"type": "array", "items": {"type": "object"}}},
}
_PARAMETERS = [
    Parameter("query", "The query; mutations are sent by POST.", {"type": "string"}),
    Parameter("variables", "Its variables, as a JSON object.", {"type": "string"}),
    Parameter("operationName", "Which of several operations is meant.", {"type": "string"}),
]
_ANSWERS = [
    Answer(200, "What came of it; or events, for a subscription.", {JSON: _RESULT, RESPONSE: _RESULT, EVENTS: {}}),
    Answer(400, "Nothing was carried out: the query is none, or over a limit.", {JSON: _RESULT}),
    Answer(406, "The client accepts no form that results have."),
    Answer(413, "The body is over the limit."),
    Answer(415, "The body is not JSON."),
    Answer(503, "The stream that is subscribed to cannot be read just now."),
]
