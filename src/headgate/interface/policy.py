"""The policy: what an interface allows of each client, and what every answer says of that."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from headgate.core.rate import MAKERS, Meters, Places, Verdict
from headgate.errors import NoReply, RateLimited
from headgate.interface.exchange import Request, Response
from headgate.interface.route import Endpoint
from headgate.interface.socket import Socket
from headgate.interface.websocket import Door

MOST_CLIENTS = 100_000  # that are counted; beyond them, who was idle for longest begins anew
_NETWORK = 64  # bits of an IPv6 address: a single client has all that follow


@dataclass(frozen=True, slots=True)
class Rate:
    """How often each client may ask."""

    kind: str
    limit: int
    window: float
    per: str = "client"  # client, identity, address
    methods: frozenset[str] = frozenset()  # none: all


class Limiter:
    """Counts requests by who sends them: the name of a key, or else an address."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._clock = clock
        self._count: Places | Meters
        if rate.kind == "concurrency":
            self._count, span = Places(rate.limit), ""
        else:
            self._count = Meters(partial(MAKERS[rate.kind], rate.limit, rate.window), MOST_CLIENTS)
            span = f";w={ceil(rate.window)}"
        self._policy = f'"requests";q={rate.limit}{span}'.encode()

    def __repr__(self) -> str:
        return f"<Limiter: {self.rate.limit} by {self.rate.kind}>"

    def admit(self, request: Request) -> None:
        """Count a request, and note on its answer what is left. Raises `RateLimited`."""
        if self.rate.methods and request.method not in self.rate.methods:
            return
        who = self._who(request)
        if who is None:
            return
        verdict = self._take(request, who)
        reset = b"" if isinstance(self._count, Places) else b";t=%d" % ceil(verdict.reset)
        request.notes += [
            (b"ratelimit-policy", self._policy),
            (b"ratelimit", b'"requests";r=%d%b' % (verdict.remaining, reset)),
        ]
        if not verdict.allowed:
            raise RateLimited(self._told(), after=max(1, ceil(verdict.reset)))

    def _take(self, request: Request, who: str) -> Verdict:
        if isinstance(self._count, Meters):
            return self._count.take(who, self._clock())
        verdict = self._count.take(who)
        if verdict.allowed:
            request.at_end(partial(self._count.leave, who))
        return verdict

    def _told(self) -> str:
        limit = self.rate.limit
        if isinstance(self._count, Places):
            return f"{limit} requests at once are the limit here; wait for the answer to one of them"
        return f"{limit} requests in {self.rate.window:g} s are the limit here; try again later"

    def _who(self, request: Request) -> str | None:
        """Whose request this counts as; None where it counts as nobody's."""
        if self.rate.per != "address" and request.caller.named:
            return request.caller.name  # which begins with no blank, unlike an address here
        return None if self.rate.per == "identity" else f" {address_of(request)}"


class Policy:
    """What is asked of a request before it gets to its endpoint, and how long it may be there."""

    def __init__(self, limiter: Limiter | None, request_bytes: int | None, seconds: float | None) -> None:
        self._limiter, self._request_bytes, self._seconds = limiter, request_bytes, seconds

    def around(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint behind this policy."""

        async def policed(request: Request) -> Response:
            self._admit(request)
            if self._seconds is None:
                return await endpoint(request)
            try:
                async with asyncio.timeout(self._seconds):
                    return await endpoint(request)
            except TimeoutError:  # an endpoint keeps its own to itself
                raise self._late() from None

        return policed

    def around_door(self, door: Door) -> Door:
        """The way in for WebSockets behind this policy. Who was let in may stay."""

        async def policed(request: Request, socket: Socket) -> None:
            self._admit(request)
            if self._seconds is None:
                await door(request, socket)
                return
            try:
                async with asyncio.timeout(self._seconds) as patience:
                    socket.when_accepted = partial(patience.reschedule, None)
                    await door(request, socket)
            except TimeoutError:
                raise self._late() from None

        return policed

    def _admit(self, request: Request) -> None:
        if self._limiter is not None:
            self._limiter.admit(request)
        if self._request_bytes is not None:
            request.limit, request.limited_by = self._request_bytes, "policies.request_size_bytes of the interface"

    def _late(self) -> NoReply:
        words = "whether the request was carried out is not known"
        return NoReply(f"there was no answer within {self._seconds:g} s; {words}")


def address_of(request: Request) -> str:
    """Where a request comes from, as far as one client can be told from another by it."""
    client = request.scope.get("client")
    if not client:
        return "unknown"
    try:
        address = ip_address(client[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, _NETWORK), strict=False))
    return str(client[0])
