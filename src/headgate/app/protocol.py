"""The protocol of our server: uvicorn's, whose requests may also write to the socket themselves.

Plain ASGI wakes a task for each client and each write. A stream with thousands of followers writes one
payload to all of them, and does so here without a task. An answer that is short and whole is one write.
"""

from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from headgate.app.bounded import Bounded
from headgate.core.lanes import Payload
from headgate.errors import Overloaded
from headgate.interface.boundary import render
from headgate.interface.exchange import Receive, Request, Scope, Send, start_of
from headgate.interface.outlet import EXTENSION, Writer


class Protocol(Bounded):
    """One connection. It is the outlet of the request that it carries."""

    writer: Writer | None = None
    kept = False

    @property
    def paused(self) -> bool:
        """Whether the client has not taken what it was sent."""
        return self.flow.write_paused

    def offer(self, payload: Payload) -> bool:
        """Send this, unless the client has not taken what it was sent."""
        if self.flow.write_paused:
            return False
        self.write(payload)
        return True

    def write(self, payload: Payload) -> None:
        """Send this as a chunk of the response's body."""
        try:  # noqa: SIM105 - this is called for each client and each payload, and `suppress` is an object
            self.transport.write(payload.wire(_chunk))
        except RuntimeError:
            pass  # the client is going, and nobody was told yet

    def attach(self, writer: Writer | None) -> None:
        """Tell this writer when there is room again, and when the client goes."""
        self.writer = writer

    def answer(self, status: int, head: bytes, body: bytes) -> bool:
        """Send a whole response in one write; False when it has to go the long way."""
        cycle = self.cycle
        if self.pipeline or self.flow.write_paused or not cycle.keep_alive:
            return False
        if cycle.disconnected or cycle.response_started:
            return False
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        always = [b"%b: %b\r\n" % header for header in cycle.default_headers]
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"".join([STATUS_LINE[status], *always, head, length, body]))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def keep(self) -> None:
        """The response goes on when its request was served, until it is finished."""
        self.kept = True
        self.cycle.disconnected = True  # as far as uvicorn is concerned: nothing more comes by way of ASGI

    def finish(self) -> None:
        """The body ends here. One that was not kept is ended by whoever serves the request."""
        if self.kept and not self.transport.is_closing():
            self.transport.write(b"0\r\n\r\n")
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once; what was not sent is dropped."""
        # Not from within a call of the transport's own: it would end twice.
        self.loop.call_soon(self.transport.abort)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, dict[object, object]] = {EXTENSION: self}  # type: ignore[dict-item]
        self.scope["extensions"] = extensions

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, _full if app is service_unavailable else app)  # type: ignore[arg-type]

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.writer is not None:
            self.writer.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.writer is not None:
            self.writer.lost()
        if self.scope is not None:
            # The scope refers to this connection, and the connection to it.
            self.scope.get("extensions", {}).pop(EXTENSION, None)


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """What a client gets where there is no place for one more: uvicorn's own answer does not say when to come again."""
    error = Overloaded("there are as many connections as there may be; try again in a moment")
    response = render(error, Request(scope, receive, limit=0, id=""))
    response.headers["Connection"] = "close"
    await send(start_of(response))
    await send({"type": "http.response.body", "body": response.body})


def _chunk(frames: Sequence[bytes]) -> bytes:
    body = b"".join(frames)
    return b"%x\r\n%b\r\n" % (len(body), body)
