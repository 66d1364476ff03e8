"""WebSockets: the way in, which a client passes or is refused before a word is said."""

from collections.abc import Awaitable, Callable, Collection

from headgate.errors import Refused
from headgate.interface.exchange import Request
from headgate.interface.socket import Socket
from headgate.interface.talk import Talk
from headgate.interface.terms import Terms
from headgate.interface.visitors import Visitors

Door = Callable[[Request, Socket], Awaitable[None]]


def websocket_door(terms: Terms, visitors: Visitors) -> Door:
    """What serves the sockets of an interface. It may raise, before it accepts, what keeps a client out."""

    async def enter(request: Request, socket: Socket) -> None:
        refuse_strangers(request, terms.origins)
        await Talk(socket, terms.for_caller(request.caller), visitors).serve(request)

    return enter


def refuse_strangers(request: Request, origins: Collection[str]) -> None:
    """Browsers let any page open a socket to anywhere: only pages of this host, and of those named, may."""
    origin = request.header("origin")
    if origin is None or origin in origins:
        return
    site, host = origin.partition("://")[2], request.header("host") or ""
    if not site or site.lower() != host.lower():  # sandboxed pages and files are of no site: "null"
        raise Refused(f"pages of {origin[:200]!r} may not connect here; name them under origins")
