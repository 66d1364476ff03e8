"""The routes of an http interface: each request waits for its reply, no longer than it may."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.core.message import Headers, Message
from headgate.core.reply import DEADLINE, TRACE, ReplyError, failed
from headgate.core.wire import JSON
from headgate.errors import BadRequest, CodecError, NoReply, Unavailable, UnsupportedMedia
from headgate.interface.call.contract import Contract
from headgate.interface.exchange import Request, Response, refusal
from headgate.interface.route import Answer, Parameter, Route
from headgate.runtime.replies import Replies, Waiter
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import finish_or_cancel
from headgate.transport.base import Overflow

_BODILESS = ("GET", "DELETE")
_SOON = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Terms:
    """One interface. `drained` returns when the gate shuts down and nobody may wait longer."""

    path: str
    methods: Sequence[str]
    requests: Stream
    replies: Replies
    contract: Contract
    timeout: float  # seconds
    drained: Callable[[], Awaitable[object]]


def call_routes(terms: Terms) -> list[Route]:
    """A route for each method."""

    async def call(request: Request) -> Response:
        return await _call(request, terms)

    return [
        Route(
            method,
            terms.path,
            call,
            f"Ask {terms.requests.name}",
            "calls",
            parameters=_parameters(terms.path, terms.contract, method),
            body={} if method in _BODILESS else {JSON: terms.contract.request_schema()},
            answers=_answers(terms.contract),
        )
        for method in terms.methods
    ]


async def _call(request: Request, terms: Terms) -> Response:
    bodiless = request.method in _BODILESS
    value = terms.contract.body(await _body(request), _values(request), bodiless=bodiless)
    return _response(await ask(terms, value, trace_of(request), request), terms.replies.stream)


async def ask(terms: Terms, value: bytes, trace: Headers = (), request: Request | None = None) -> Message[bytes]:
    """The reply to a request, whose value is JSON. Raises a `HeadgateError` when there is none in time.

    With the `request` that asks, nobody waits for one whose client is gone.
    """
    began = time.monotonic()
    await terms.replies.ready(terms.timeout)
    with terms.replies.register() as waiter:
        deadline = str(int((time.time() + terms.timeout) * 1000)).encode()
        headers = (*terms.replies.headers(waiter), (DEADLINE, deadline), *trace)
        await _publish(terms, Message(value=terms.requests.codec.from_json(value), headers=headers), request)
        # Most replies come before anybody would look whether the client is there still.
        soon = terms.timeout <= _SOON
        reply = await waiter.wait(min(_SOON, terms.timeout), last=soon)
        if reply is None and not soon:
            patience = _patiently(waiter, terms.timeout - (time.monotonic() - began), terms)
            reply = await (patience if request is None else request.unless_gone(patience))
        if reply is None:
            raise NoReply(f"there was no reply within {terms.timeout:g} s")
        return reply


async def _publish(terms: Terms, message: Message[bytes], request: Request | None) -> None:
    if terms.requests.settings.overflow is not Overflow.BLOCK:
        await terms.requests.publish([message])
        return
    publishing = finish_or_cancel(terms.requests.publish([message]), terms.drained)
    if await (publishing if request is None else request.unless_gone(publishing)) is None:
        raise Unavailable("the gate is shutting down, and there was no room for the request")


async def _patiently(waiter: Waiter, seconds: float, terms: Terms) -> Message[bytes] | None:
    """The reply, when it takes its time."""

    async def wait() -> tuple[Message[bytes] | None]:
        return (await waiter.wait(max(0.0, seconds)),)

    outcome: tuple[Message[bytes] | None] | None = await finish_or_cancel(wait(), terms.drained)
    if outcome is None:
        raise Unavailable("the gate is shutting down, and the reply has not come yet")
    return outcome[0]


async def _body(request: Request) -> bytes:
    if request.method in _BODILESS:
        return b""
    media = request.header("content-type")
    if media is not None and media.split(";")[0].strip().lower() != JSON:
        raise UnsupportedMedia(f"a body of type {media[:100]!r} is not read here; send {JSON}")
    return await request.body()


def _values(request: Request) -> Mapping[str, str]:
    """What the path and the query say."""
    named = {name: request.parameter(name) or "" for name in request.query}
    if twice := named.keys() & request.values.keys():
        raise BadRequest(f"{min(twice)!r} stands in the path and in the query; give it once")
    return {**named, **request.values}


def trace_of(request: Request) -> Headers:
    """What says of which trace a request is."""
    given = request.header(TRACE)
    return () if given is None else ((TRACE, given.encode("latin-1")),)


def _response(reply: Message[bytes], stream: Stream) -> Response:
    error = failed(reply)
    if error is None:
        try:
            return Response(200, stream.codec.to_json(reply.value))
        except CodecError as wrong:
            error = ReplyError(500, "internal", f"the reply cannot be read: {wrong}")
    status = error.status if 400 <= error.status <= 599 else 500
    response = refusal(status, error.error, error.type, None)
    response.failed = "reply"
    return response


def _parameters(path: str, contract: Contract, method: str) -> list[Parameter]:
    schema = contract.request_schema()
    properties: dict[str, Any] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    in_path = [part[1:-1] for part in path.split("/") if part[:1] == "{"]
    found = [Parameter(n, "", properties.get(n, {"type": "string"}), required=True, place="path") for n in in_path]
    if method in _BODILESS:
        others = ((name, part) for name, part in properties.items() if name not in in_path)
        found += [Parameter(name, "", part, required=name in required) for name, part in others]
    return found


def _answers(contract: Contract) -> list[Answer]:
    return [
        Answer(200, "The reply.", {JSON: contract.response_schema()}),
        Answer(400, "The request cannot be read; or the service refuses it."),
        Answer(413, "The body is over the limit."),
        Answer(415, "The body is not JSON."),
        Answer(422, "A field is missing or wrong; the message names it."),
        Answer(500, "The service failed on this request."),
        Answer(503, "The service is away, or has too much to do."),
        Answer(504, "There was no reply in time."),
    ]
