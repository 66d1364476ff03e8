"""The sites: by which names a gate is asked, and from the pages of which others.

A browser lets any page send requests to anywhere, this machine included, and a name of the page's own can be made to
stand for it. Both tell themselves apart by a header.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from headgate.errors import Misdirected, Refused
from headgate.interface.exchange import Request, Response

_HOST = re.compile(r"(?:\[(?P<number>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]*))(?::[0-9]*)?")
_SAFE = ("GET", "HEAD", "OPTIONS")
_MOST = 1000  # names that are remembered
_PREFLIGHT = 600  # seconds for which a browser need not ask again
_SHOWN = "Headgate-Position, Headgate-Missed, Retry-After, RateLimit, RateLimit-Policy, X-Request-ID, Location"


class Sites:
    """What a gate makes of `Host` and `Origin`."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str], *, trusting: bool) -> None:
        self.origins = frozenset(origins)
        self._hosts = frozenset(name.lower() for name in hosts)
        self._trusting = trusting  # any name will do: others reach it, by names that only they know
        self._good: set[bytes] = set()

    def __repr__(self) -> str:
        return f"<Sites: {', '.join(sorted(self._hosts)) or 'any host'}; {len(self.origins)} origins>"

    def look(self, request: Request) -> None:
        """Refuse what comes by a name of somebody else's, or from a page of theirs and changes something."""
        origin = host = None
        for name, value in request.scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
        if host is not None and not self._trusting and host not in self._good:
            self._check_host(host)
        if origin is not None:
            self._check_origin(request, origin.decode("latin-1"), (host or b"").decode("latin-1"))

    def preflight(self, request: Request) -> Response | None:
        """What a browser is told that asks before it sends a page's request; None for everybody else."""
        asked = request.header("access-control-request-method")
        if request.method != "OPTIONS" or asked is None or request.header("origin") not in self.origins:
            return None
        headers = {"Access-Control-Allow-Methods": asked[:20], "Access-Control-Max-Age": str(_PREFLIGHT)}
        if wanted := request.header("access-control-request-headers"):
            headers["Access-Control-Allow-Headers"] = wanted[:1000]
        return Response(204, headers=headers)

    def _check_host(self, host: bytes) -> None:
        name = _name_of(host.decode("latin-1"))
        if not (name in self._hosts or (not self._hosts and _is_nobodys(name))):
            raise Misdirected(f"nothing is served by the name {name[:200]!r} here; name it under service.hosts")
        if len(self._good) < _MOST:
            self._good.add(host)

    def _check_origin(self, request: Request, origin: str, host: str) -> None:
        if origin in self.origins:
            request.notes += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", _SHOWN.encode()),
                (b"vary", b"Origin"),
            ]
        elif request.method not in _SAFE and origin.partition("://")[2].lower() != host.lower():
            raise Refused(f"pages of {origin[:200]!r} may change nothing here; name them under service.origins")


def _name_of(host: str) -> str:
    """The name without the port."""
    match = _HOST.fullmatch(host)
    return (match["number"] or match["name"] if match else host).lower().rstrip(".")


def _is_nobodys(name: str) -> bool:
    """Whether this is no name that somebody could have in the public system of names: a number, or a single word."""
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
