"""The protocol of our server for WebSockets: uvicorn's, whose sockets may also be written to without a task."""

from collections.abc import Sequence

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from headgate.core.lanes import Payload
from headgate.interface.frames import is_text
from headgate.interface.outlet import EXTENSION, Writer


class SocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket. It is the outlet of the request that opened it: each frame of a payload is a message."""

    writer: Writer | None = None

    @property
    def paused(self) -> bool:
        """Whether the client has not taken what it was sent."""
        return not self.writable.is_set()

    def offer(self, payload: Payload) -> bool:
        """Send this, unless the client has not taken what it was sent."""
        if not self.writable.is_set():
            return False
        self.write(payload)
        return True

    def write(self, payload: Payload) -> None:
        """Send each frame as a message; nothing after the socket was closed."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(payload.wire(_messages))

    def attach(self, writer: Writer | None) -> None:
        """Tell this writer when there is room again, and when the client goes."""
        self.writer = writer

    def abort(self) -> None:
        """Close the connection at once; what was not sent is dropped."""
        # Not from within a call of the transport's own: it would end twice.
        self.loop.call_soon(self.transport.abort)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # with a refusal; uvicorn would log an error for want of one

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.writer is not None:
            self.writer.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.writer is not None:
            self.writer.lost()
        if hasattr(self, "scope"):
            # The scope refers to this connection, and the connection to it.
            self.scope["extensions"].pop(EXTENSION, None)


def _messages(frames: Sequence[bytes]) -> bytes:
    return b"".join([Frame(Opcode.TEXT if is_text(f) else Opcode.BINARY, f).serialize(mask=False) for f in frames])
