"""The boundary: the one place that every request passes."""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from random import getrandbits

from headgate.core.scopes import EVERYTHING, READ, WRITE
from headgate.errors import (
    BodyTooLarge,
    Draining,
    Forbidden,
    HeadgateError,
    NotFound,
    Overloaded,
    Unauthorized,
    Unavailable,
)
from headgate.interface.audit import Audit
from headgate.interface.exchange import (
    CERTIFICATE,
    App,
    ClientGone,
    Event,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    refusal,
    respond,
    start_of,
)
from headgate.interface.identity.caller import STRANGER, Caller
from headgate.interface.identity.guard import Guard
from headgate.interface.identity.tickets import PARAMETER as TICKET
from headgate.interface.identity.tickets import Tickets
from headgate.interface.outlet import direct_outlet
from headgate.interface.route import Route, Router
from headgate.interface.sites import Sites
from headgate.interface.socket import Socket
from headgate.interface.websocket import Door
from headgate.interface.workload import Workload
from headgate.runtime.stats import WebStats

logger = logging.getLogger("headgate.web")
_SAFE_ID = re.compile(r"[0-9A-Za-z._:-]{1,128}")
_READING = ("GET", "HEAD", "OPTIONS")
HSTS = (b"strict-transport-security", b"max-age=31536000")
PAGE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_METHODS = {name: name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Boundary:
    """An ASGI app: the hot routes in front, everything else behind them."""

    def __init__(self, *, behind: App, stats: WebStats, request_limit: int, clock: Callable[[], float]) -> None:
        self.router = Router(())
        self.doors: Mapping[str, Door] = {}  # of WebSockets, by path
        self.guard: Guard | None = None  # None: nobody is asked who they are
        self.tickets: Tickets | None = None
        self.sites: Sites | None = None
        self.audit: Audit | None = None
        self.draining = False
        self.request_limit = request_limit
        self.workload = Workload()
        self._behind = behind
        self._stats = stats
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._meet(scope, receive, send)
            return
        request = Request(scope, receive, limit=self.request_limit, id=_request_id(scope), workload=self.workload)
        if scope.get("scheme") == "https":
            request.notes.append(HSTS)
        outgoing = _Outgoing(send, request, self)
        # Paths and methods come from the router or are "other", so that the number of labels is bounded.
        found = self.router.resolve(request.path)
        label = "other" if found is None else found[0]
        if found is not None:
            request.values = found[1]
        method = _METHODS.get(request.method, "other")
        began = self._clock()
        self._stats.in_flight += 1
        try:
            await self._serve(request, label, outgoing)
        except asyncio.CancelledError:
            if not self.draining:
                raise
            _note_cut(label, request)
        finally:
            request.done()
            self._stats.in_flight -= 1
            self._stats.count(label, method, outgoing.status, self._clock() - began)
            self._note(request, label, outgoing.status)

    async def _meet(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A client that wants a WebSocket: it gets one, or an answer like that to any other request."""
        request = Request({**scope, "method": "GET"}, receive, limit=0, id=_request_id(scope))
        socket = Socket(scope, receive, send)
        label = request.path if request.path in self.doors else "other"
        began = self._clock()
        self._stats.in_flight += 1
        status = 101
        try:
            if (refusal := await self._admit(request, socket)) is not None:
                status = refusal.status
                await socket.refuse(refusal, request)
        except ClientGone:
            status = 499
        except asyncio.CancelledError:
            if not self.draining:
                raise
            _note_cut(label, request)
        finally:
            request.done()
            self._stats.in_flight -= 1
            self._stats.count(label, "GET", status, self._clock() - began)
            self._note(request, label, status)

    def _note(self, request: Request, label: str, status: int) -> None:
        if self.audit is not None and not self.audit.note(request, label, status):
            self._stats.count_error("audit_dropped")

    async def _admit(self, request: Request, socket: Socket) -> Response | None:
        """Serve a socket to its end; or why it was never opened."""
        try:
            if self.sites is not None:
                self.sites.look(request)
            if self.guard is not None:
                await self._identify(request, None, self.guard)
            if self.draining:
                raise Draining("the gate is shutting down; try again elsewhere or later")
            if request.path not in self.doors:
                raise NotFound(f"there is no WebSocket at {request.path[:200]}")
            await self.doors[request.path](request, socket)
        except HeadgateError as error:
            self._stats.count_error(error.code)
            return render(error, request)
        except ClientGone:
            raise
        except Exception:  # the root of a socket's task: one that is open was closed by whoever served it
            logger.exception("socket failed", extra={"path": request.path, "request_id": request.id})
            self._stats.count_error("internal")
            return None if socket.accepted else _failure(request)
        return None

    async def _serve(self, request: Request, path: str, send: "_Outgoing") -> None:
        route = self.router.find(request.method, path)
        allowed = [] if route else self.router.allowed(path)
        response = await self._turned_away(request, route)
        if response is None and route is None and not allowed:
            request.notes += PAGE_HEADERS
            await self._behind(request.scope, request.receive, send)
            return
        try:
            response = response or await self._answer(request, route, allowed)
            if response.is_plain and send.whole(response):
                return
            if response.live is not None and request.method != "HEAD":
                await response.live(request, start_of(response), send)
            else:
                await respond(request, response, send)
        except ClientGone:
            logger.debug("the client went away", extra={"path": request.path, "request_id": request.id})

    async def _turned_away(self, request: Request, route: Route | None) -> Response | None:
        """The answer to somebody who is not let in.

        The route is what decides, not the text of the path: there is no spelling that leads to one past the other.
        """
        try:
            if self.sites is not None:
                self.sites.look(request)
                if request.method == "OPTIONS" and (told := self.sites.preflight(request)) is not None:
                    return told
            if self.guard is not None:
                await self._identify(request, route, self.guard)
                if request.caller.scopes is not EVERYTHING:
                    _permit(request, route)
        except HeadgateError as error:
            self._stats.count_error(error.code)
            return ((route and route.failure) or render)(error, request)
        return None

    async def _identify(self, request: Request, route: Route | None, guard: Guard) -> None:
        """Find out who sends a request. Raises `Unauthorized` where that has to be said and was not."""
        request.caller = STRANGER
        if b"access_token=" in request.scope["query_string"] and self._reads_by_ticket(request, route):
            return
        try:
            headers = request.scope["headers"]
            request.caller = guard.known(headers) or _certified(guard, request) or await guard.caller(headers)
        except (Unauthorized, Unavailable):
            if route is None or not route.public:
                raise

    def _reads_by_ticket(self, request: Request, route: Route | None) -> bool:
        """Whether a ticket in the URL lets a request in. What is served there does not see it."""
        is_reading = request.path in self.doors if route is None else route.method == "GET"
        if self.tickets is None or not is_reading:
            return False
        ticket = request.parameter(TICKET)
        caller = self.tickets.read(ticket, request.path) if ticket else None
        if caller is not None:
            request.caller = caller
            del request.query[TICKET]
        return caller is not None

    async def _answer(self, request: Request, route: Route | None, allowed: list[str]) -> Response:
        if route is None:
            return _without_route(request, allowed)
        try:
            if self.draining and not route.open_while_draining:
                raise Draining("the gate is shutting down; try again elsewhere or later")
            response = await route.endpoint(request)
        except HeadgateError as error:
            response = (route.failure or render)(error, request)
        except ClientGone:
            raise
        except Exception:  # the root of a request's task: whatever broke, the client gets an answer
            logger.exception("request failed", extra={"path": request.path, "request_id": request.id})
            response = _failure(request)
        if response.failed is not None:
            self._stats.count_error(response.failed)
        return response


class _Outgoing:
    """The way out: notes the status, and adds what every response carries."""

    __slots__ = ("_boundary", "_request", "_send", "status")

    def __init__(self, send: Send, request: Request, boundary: Boundary) -> None:
        self.status = 499  # until a response starts: the client went first
        self._send = send
        self._request = request
        self._boundary = boundary

    def whole(self, response: Response) -> bool:
        """Send this at once, where our own server serves it and nothing is in the way."""
        outlet = direct_outlet(self._request.scope)
        if outlet is None or self._boundary.draining or self._request.method == "HEAD":
            return False
        head = f"content-type: {response.content_type}\r\nx-request-id: {self._request.id}\r\n".encode()
        head += b"".join([b"%b: %b\r\n" % note for note in self._request.notes])
        if not outlet.answer(response.status, head, response.body):
            return False
        self.status = response.status
        return True

    async def __call__(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            there = {name for name, _ in event["headers"]} if self._request.notes else ()
            notes = [note for note in self._request.notes if note[0] not in there]
            event["headers"] = [*event["headers"], (b"x-request-id", self._request.id.encode()), *notes]
            if self._boundary.draining and (b"connection", b"close") not in event["headers"]:
                event["headers"].append((b"connection", b"close"))
        await self._send(event)


def _certified(guard: Guard, request: Request) -> Caller | None:
    names = request.scope.get(CERTIFICATE)
    return guard.certified(names) if names and not guard.is_given(request.scope["headers"]) else None


def _permit(request: Request, route: Route | None) -> None:
    """Find out what the caller may do with what a route serves. Raises `Forbidden`."""
    if route is not None and (route.public or route.for_all):
        return
    verb = READ if (request.method if route is None else route.method) in _READING else WRITE
    path = request.path if route is None else route.path
    request.keys = request.caller.permitted(verb, [path, route.stream] if route and route.stream else [path])
    if request.keys.patterns and not (route and route.keyed):
        told = "knows nothing of keys of messages, and this permission is for some keys alone"
        raise Forbidden(f"{path[:200]} {told}")


def _note_cut(label: str, request: Request) -> None:
    # The root of a request's task: the server would print a traceback for what is no failure.
    logger.warning("cut off: the time to drain is over", extra={"path": label, "request_id": request.id})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(text := value.decode("latin-1")):
            return str(text)
    return f"{getrandbits(64):016x}"  # it has to differ, not to be a secret


def _without_route(request: Request, allowed: list[str]) -> Response:
    if request.method == "OPTIONS":
        return Response(204, headers={"Allow": ", ".join(allowed)})
    response = _error(405, f"{request.method} is not one of {', '.join(allowed)}", "method_not_allowed", request)
    response.headers["Allow"] = ", ".join(allowed)
    return response


def render(error: HeadgateError, request: Request) -> Response:
    """The one form that an error of the tree has on the web."""
    response = _error(error.status, str(error), error.code, request)
    response.failed = error.code
    if error.retriable:
        response.headers["Retry-After"] = str(error.after)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, BodyTooLarge):
        response.headers["Connection"] = "close"
    response.unread = isinstance(error, BodyTooLarge | Draining | Overloaded)
    return response


def _failure(request: Request) -> Response:
    response = _error(500, "the gate failed on this request; its log has the reason", "internal", request)
    response.failed = "internal"
    return response


def _error(status: int, message: str, code: str, request: Request) -> Response:
    return refusal(status, message, code, request.header("accept"))
