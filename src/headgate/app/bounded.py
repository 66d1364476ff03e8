"""The bounds of a connection: how much of a head there may be, and how long its client may take to send something.

Uvicorn waits without end for a client that says nothing, and takes a head of any size.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from headgate.app.tls import names_of
from headgate.interface.exchange import CERTIFICATE, UNHURRIED
from headgate.spec.plan import LimitsPlan

LEAST_RATE = 100  # bytes of a body in a second
_LOOKS = 2  # within the time that a client has
_WORDS = {
    408: b"the request did not come in time",
    431: b"the head of the request has more headers or bytes than there may be",
}


class TooMuchHead(Exception):
    """The head of a request is over its bounds."""


class Bounded(HttpToolsProtocol):
    """A connection that looks at its client now and then."""

    head_since: float | None = None  # when the head began that is not complete
    head_bytes = 0  # of that head, beyond the chunk that it began in
    chunk = 0  # bytes that came last
    received = looked_at = strikes = 0
    status_of_refusal = 400
    names: tuple[str, ...] = ()  # of its client, in a certificate

    @property
    def bounds(self) -> LimitsPlan:
        """What the service takes."""
        limits: LimitsPlan = getattr(self.config, "limits", _USUAL)
        return limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.names = names_of(transport) if self.scheme == "https" else ()
        self.head_since = self.loop.time()
        self._look_again()

    # What comes

    def data_received(self, data: bytes) -> None:
        self.chunk = len(data)
        self.received += self.chunk
        if self.head_since is not None:
            self.head_bytes += self.chunk
        super().data_received(data)
        if self.head_since is not None:
            if self.head_bytes > self.bounds.header_bytes:
                self._send_away(431)
        elif self._is_idle():
            self.head_since = self.loop.time()  # line breaks before a head, or what is left of a body

    def _is_idle(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or bool(cycle.response_complete)

    def on_message_begin(self) -> None:
        if self.head_since is None:
            self.head_since = self.loop.time()
        self.head_bytes = 0
        super().on_message_begin()
        if self.names:
            self.scope[CERTIFICATE] = self.names  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        self.head_since = None
        bounds = self.bounds
        if len(self.headers) > bounds.headers or (
            self.head_bytes + self.chunk > bounds.header_bytes
            and sum([len(name) + len(value) + 4 for name, value in self.headers], len(self.url)) > bounds.header_bytes
        ):
            self.status_of_refusal = 431
            raise TooMuchHead  # the parser stops, and uvicorn asks for the answer below
        super().on_headers_complete()
        self.strikes, self.looked_at = 0, self.received

    def send_400_response(self, msg: str) -> None:
        if self.status_of_refusal == 400:
            super().send_400_response(msg)
        else:
            self._send_away(self.status_of_refusal)

    # What does not

    def _look_again(self) -> None:
        self.loop.call_later(self.bounds.patience / _LOOKS, self._look)

    def _look(self) -> None:
        """Send away a client that lets others wait. Who follows by now is somebody else's affair."""
        if self.transport.is_closing() or self not in self.connections or getattr(self, "kept", False):
            return
        if self.head_since is not None and self.loop.time() - self.head_since >= self.bounds.patience:
            self._send_away(408 if self.received else None)
        elif self._drips():
            self._send_away(408)
        else:
            self._look_again()

    def _drips(self) -> bool:
        """Whether a body comes so slowly that nobody may wait for it."""
        came, self.looked_at = self.received - self.looked_at, self.received
        cycle: Any = self.cycle
        waits = (
            not self._is_idle()
            and cycle.more_body
            and not (cycle.waiting_for_100_continue or self.flow.read_paused)
            and UNHURRIED not in cycle.scope
        )
        slow = waits and came < LEAST_RATE * self.bounds.patience / _LOOKS
        self.strikes = self.strikes + 1 if slow else 0
        return self.strikes >= _LOOKS

    def _send_away(self, status: int | None) -> None:
        cycle: Any = self.cycle
        if status is not None and (self._is_idle() or not cycle.response_started):
            body = _WORDS[status]
            head = b"content-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(b"".join([STATUS_LINE[status], head, body]))
        self.transport.close()


_USUAL = LimitsPlan()
