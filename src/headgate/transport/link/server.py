"""The server of links: listens on loopback, and hands over a link when the other side has shown that it is ours."""

import asyncio
import logging
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import ip_address

from headgate.core.greeting import NONCE, Rules, Server
from headgate.errors import BindRefused, HeadgateError, LinkLost
from headgate.transport.bell import Bell
from headgate.transport.link.connection import Ends, Link

logger = logging.getLogger("headgate.link")
MOST_STRANGERS = 64  # connections that have not shown yet who they are


class LinkServer:
    """Accepts links. `owner_of` says whose a link is by the name that it greeted with; None refuses it."""

    def __init__(self, rules: Rules, kinds: Collection[int], owner_of: Callable[[str], Ends | None]) -> None:
        self._rules, self._kinds, self._owner_of = rules, tuple(kinds), owner_of
        self._strangers: set[Link] = set()
        self._links: set[Link] = set()
        self._fewer = Bell()
        self._server: asyncio.Server | None = None
        self.host, self.port = "", 0
        self.refused: Counter[str] = Counter()  # by the code of what was wrong

    def __repr__(self) -> str:
        return f"<LinkServer {self.host}:{self.port}: {len(self._links)} links>"

    async def start(self, host: str, port: int) -> None:
        """Listen. May raise `BindRefused` or a `HeadgateError`."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._link, host, port, family=_family(host))
        except OSError as error:
            raise HeadgateError(f"cannot listen for workers on {host}:{port}: {error.strerror}") from None
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        if not ip_address(self.host).is_loopback:  # a name may mean anything
            self._server.close()
            raise BindRefused(f"{host} is {self.host}: workers are talked to on a loopback address only")

    async def close(self) -> None:
        """Listen no more, and end all links."""
        if self._server is not None:
            self._server.close()
        for link in [*self._strangers, *self._links]:
            link.abort(LinkLost("the server is closed"))
        while self._strangers or self._links:
            await self._fewer.wait()

    def _link(self) -> Link:
        link = Link(self._rules, self)
        server = Server(self._rules, secrets.token_bytes(NONCE))

        def greeted(frame: bytes) -> None:
            link.name = server.greeted(frame, now=time.monotonic_ns())
            answer, version = server.welcome(now=time.monotonic_ns())
            link.write(answer)
            if version:
                link.converse(*server.session(self._kinds))
            else:
                link.close()

        link.greeted_by(greeted)
        self._strangers.add(link)
        if len(self._strangers) > MOST_STRANGERS:
            asyncio.get_running_loop().call_soon(link.abort, LinkLost("too many who have not said who they are"))
        return link

    # A stranger's first frame shows that it has the secret

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        owner = self._owner_of(link.name)
        if owner is None:
            link.abort(LinkLost(f"nobody waits for {link.name!r}"))
            return
        self._strangers.discard(link)
        self._links.add(link)
        link.belong_to(_Counted(self, owner))
        owner.frame(link, kind, payload)

    def ended(self, link: Link, reason: HeadgateError | None) -> None:
        self._strangers.discard(link)
        self.note(link, reason)

    def note(self, link: Link, reason: HeadgateError | None) -> None:
        """A link is over: count what was wrong with it."""
        self._links.discard(link)
        self._fewer.ring()
        if reason is not None:
            self.refused[reason.code] += 1
            logger.warning("a link was ended", extra={"link": link.name, "reason": f"{reason.code}: {reason}"})


class _Counted:
    """The owner of a link, with the server told of its end."""

    def __init__(self, server: LinkServer, owner: Ends) -> None:
        self._server, self._owner = server, owner
        self.frame = owner.frame

    def ended(self, link: Link, reason: HeadgateError | None) -> None:
        self._server.note(link, reason)
        self._owner.ended(link, reason)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
