"""The exchange: a request as it came and a response as it goes, close to ASGI and without a framework."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from headgate.core.codec import encode_json
from headgate.core.scopes import ALL_KEYS
from headgate.errors import BadRequest, BodyTooLarge
from headgate.interface.identity.caller import ANYONE
from headgate.interface.workload import Workload

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Value = TypeVar("Value")
PROBLEM = "application/problem+json"
UNHURRIED = "headgate.unhurried"  # in a scope, as the next, the names of a client in its certificate
CERTIFICATE = "headgate.certificate"
_LINGER_BYTES, _LINGER_SECONDS = 16 * 1024 * 1024, 5.0  # for a body that is refused to be seen out
_TURNS = 6  # of the loop, for an end that the kernel knows of to reach us: socket, transport, protocol, request


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


class Request:
    """What a client sent."""

    __slots__ = (
        "_ends",
        "_headers",
        "_held",
        "_query",
        "_workload",
        "caller",
        "id",
        "keys",
        "limit",
        "limited_by",
        "method",
        "notes",
        "path",
        "read",
        "receive",
        "scope",
        "values",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        limit: int,
        id: str,  # noqa: A002
        workload: Workload | None = None,
    ) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.limit = limit
        self.limited_by = "service.limits.request_size_bytes"
        self.id = id
        self.receive = receive
        self.read = False  # the body, to its end
        self.caller = ANYONE
        self.keys = ALL_KEYS  # of the messages that the caller may have to do with
        self.notes: list[tuple[bytes, bytes]] = []  # headers that its answer gets, whatever that is
        self.values: Mapping[str, str] = {}  # that stand in the path for names
        self._headers: dict[bytes, bytes] | None = None
        self._query: dict[str, list[str]] | None = None
        self._workload = workload
        self._ends: list[Callable[[], object]] = []
        self._held: int | None = None  # bytes of the body that count as work; None before it is read

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters."""
        if self._query is None:
            self._query = _parse_query(self.scope["query_string"])
        return self._query

    def parameter(self, name: str) -> str | None:
        """A query parameter that may be given once."""
        values = self.query.get(name, [])
        if len(values) > 1:
            raise BadRequest(f"query parameter {name!r} is given {len(values)} times; give it once")
        return values[0] if values else None

    async def body(self) -> bytes:
        """The whole body. One over the limit is refused before it is read, or where it passes the limit."""
        self._begin(self._declared_length())
        chunks: list[bytes] = []
        size = 0
        while not self.read:
            chunks.append(await self._next(size))
            size += len(chunks[-1])
            self._hold(size)
        return b"".join(chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, for those who hold little of it at once. The limit is the same."""
        self._declared_length()
        self._begin(0)
        size = 0
        while not self.read:
            chunk = await self._next(size)
            size += len(chunk)
            yield chunk

    async def _next(self, before: int) -> bytes:
        """What comes next of the body, after so many bytes."""
        event = await self.receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = event.get("body", b"")
        if before + len(chunk) > self.limit:
            raise self._too_large()
        self.read = not event.get("more_body", False)
        return chunk

    def unhurried(self) -> None:
        """The body comes when it comes: our own server need not see that it does."""
        self.scope[UNHURRIED] = True

    def _declared_length(self) -> int:
        text = self.header("content-length")
        declared = int(text) if text is not None and text.isdigit() else 0
        if declared > self.limit:
            raise self._too_large()
        return declared

    def _begin(self, size: int) -> None:
        if self._workload is not None:
            self._workload.begin(size)
            self._held = size

    def _hold(self, size: int) -> None:
        if self._workload is not None and self._held is not None and size > self._held:
            self._workload.grow(size - self._held)
            self._held = size

    def at_end(self, call: Callable[[], object]) -> None:
        """Call this when it is answered, or when the response that goes on is over."""
        self._ends.append(call)

    def outlive(self) -> Callable[[], None]:
        """The response goes on when it was served. What is returned has to be called in the end."""
        ends, self._ends = self._ends, []
        return partial(_call_all, ends)

    def done(self) -> None:
        """It is answered: its body is held no longer."""
        if self._ends:
            self.outlive()()
        if self._workload is not None and self._held is not None:
            self._workload.end(self._held)
            self._held = None

    def _too_large(self) -> BodyTooLarge:
        told = f"the body is over the limit of {self.limit} bytes"
        return BodyTooLarge(f"{told}; send less at once, or raise {self.limited_by}")

    async def gone(self) -> None:
        """Return when the client closes the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def is_gone(self) -> bool:
        """Whether the client closed the connection already, as far as can be told now."""
        leaving = asyncio.ensure_future(self.gone())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        told = leaving.done()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        return told

    async def unless_gone(self, work: Awaitable[Value]) -> Value:
        """The result of `work`; when the client goes first, `work` is cancelled and `ClientGone` raised."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self.gone())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise ClientGone
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)


def _call_all(calls: Sequence[Callable[[], object]]) -> None:
    for call in calls:
        call()


def _parse_query(text: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(text.decode("ascii"), keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise BadRequest(f"the query string cannot be read: {error}") from None


Live = Callable[[Request, Event, Send], Awaitable[None]]
"""Serves a request: sends the event that starts the response when it likes, and then the body."""


@dataclass(slots=True)
class Response:
    """What the client gets."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    live: Live | None = None  # writes the body itself, for as long as it likes
    failed: str | None = None  # the code of the error that it tells of
    unread: bool = False  # some of the request's body was not read, and the connection is closed
    settle: Callable[[bool], Awaitable[None]] | None = None  # called in the end, with whether the client got it all

    @property
    def is_plain(self) -> bool:
        """Whether it is a body and nothing else."""
        return not (self.headers or self.unread or self.live or self.settle) and self.status != 204


def json(value: Any, status: int = 200, **headers: str) -> Response:
    """A JSON response. Header names are given with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()} if headers else {}
    return Response(status, encode_json(value), headers=named)


def refusal(status: int, message: str, code: str, accept: str | None) -> Response:
    """The one form that an error has on the web, or the standard one for a client that asks for it."""
    if PROBLEM in (accept or ""):
        problem = {"type": f"urn:headgate:error:{code}", "title": message, "status": status, "code": code}
        return Response(status, encode_json(problem), PROBLEM)
    body = {"error": message, "type": code}
    return json(body | {"code": code} if status == 429 else body, status)


def start_of(response: Response) -> Event:
    """The event that starts a response."""
    return {"type": "http.response.start", "status": response.status, "headers": raw_headers(response)}


async def respond(request: Request, response: Response, send: Send) -> None:
    """Send a response."""
    delivered = False
    try:
        await send(start_of(response))
        delivered = await _send(request, response, send)
    finally:
        if response.settle is not None:
            await response.settle(delivered)


async def _send(request: Request, response: Response, send: Send) -> bool:
    """Send the body, and tell whether the client got it, as far as a server can know."""
    if request.method == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        return False
    if response.unread:
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        await _see_out(request)
        await send({"type": "http.response.body", "body": b""})
    elif response.settle is None:
        await send({"type": "http.response.body", "body": response.body})
    else:
        return await _send_and_look(request, response.body, send)
    return True


async def _see_out(request: Request) -> None:
    """Let go of the rest of a body, up to a limit. A connection that is closed on bytes that nobody read is
    reset, and the client may never see the answer that went out before."""
    left = _LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                event = await request.receive()
                if not event.get("more_body"):  # it is over, or the client is gone
                    return
                left -= len(event["body"])


async def _send_and_look(request: Request, body: bytes, send: Send) -> bool:
    # A server does not fail at sending to a client that is gone, so it has to look before the response is over.
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": True})  # waits until most of it went out
    gone = await request.is_gone()
    await send({"type": "http.response.body", "body": b""})
    return not gone


def raw_headers(response: Response) -> list[tuple[bytes, bytes]]:
    """The headers of a response as ASGI has them."""
    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in response.headers.items()]
    if response.status != 204:
        raw.append((b"content-type", response.content_type.encode()))
        if response.live is None:
            raw.append((b"content-length", str(len(response.body)).encode()))
    return raw
