"""Tickets: short-lived words that open one path for reading, for browsers, which can send no header with it.

A ticket stands in a URL, and so in logs. What it opens it opens for a minute.
"""

import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

import msgspec

from headgate.core.scopes import READ, Scope
from headgate.core.wire import JSON
from headgate.errors import InvalidParameter
from headgate.interface.exchange import Request, Response, json
from headgate.interface.identity.caller import Caller
from headgate.interface.route import Answer, Parameter, Route

PARAMETER = "access_token"
PATH = "/tokens"
SECONDS, MOST_SECONDS = 60, 300
_LONGEST = 8192


class _Said(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    path: str
    name: str
    named: bool
    scopes: list[tuple[str, str, str]]
    end: int


class Tickets:
    """Writes and reads them."""

    def __init__(self, secret: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"headgate tickets\0" + secret).digest()
        self._now = now

    def write(self, caller: Caller, path: str, seconds: int) -> str:
        """A ticket that lets whoever has it read there as this caller could."""
        scopes = [(READ, scope.target, scope.key) for scope in caller.scopes if scope.verb in (READ, "*")]
        said = _Said(path, caller.name, caller.named, scopes, int(self._now()) + seconds)
        content = msgspec.json.encode(said)
        return f"{_text(content)}.{_text(self._seal(content))}"

    def read(self, ticket: str, path: str) -> Caller | None:
        """Who reads there by this ticket; None when it does not open it, or not any more."""
        try:
            content, seal = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in ticket[:_LONGEST].split("."))
            if not hmac.compare_digest(seal, self._seal(content)):
                return None
            said = msgspec.json.decode(content, type=_Said)
        except (ValueError, msgspec.MsgspecError):
            return None
        if said.path != path or said.end <= self._now():
            return None
        return Caller(said.name, named=said.named, scopes=tuple(Scope(*scope) for scope in said.scopes))

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")


def ticket_route(tickets: Tickets, opens: Callable[[str], bool]) -> Route:
    """`POST /tokens?path=...`: a ticket for this path, if something is there that can be read."""

    async def give(request: Request) -> Response:
        path, seconds = request.parameter("path") or "", request.parameter("seconds") or str(SECONDS)
        if not opens(path):
            raise InvalidParameter(f"'path' must be one that is served here, not {path[:200]!r}")
        if not (seconds.isascii() and seconds.isdecimal() and 0 < int(seconds[:9]) <= MOST_SECONDS):
            raise InvalidParameter(f"'seconds' must be a whole number from 1 to {MOST_SECONDS}, not {seconds[:20]!r}")
        ticket = tickets.write(request.caller, path, int(seconds))
        return json({PARAMETER: ticket, "expires_in": int(seconds), "path": path}, cache_control="no-store")

    return Route(
        "POST",
        PATH,
        give,
        summary="A ticket for a browser that follows",
        tag="operations",
        parameters=[
            Parameter("path", "What it opens, for reading.", {"type": "string"}, required=True),
            Parameter("seconds", "For how long.", {"type": "integer", "minimum": 1, "maximum": MOST_SECONDS}),
        ],
        answers=[
            Answer(200, f"The ticket; it goes into the URL as {PARAMETER}.", {JSON: {"type": "object"}}),
            Answer(422, "A parameter is missing or wrong."),
        ],
        for_all=True,
    )


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")
