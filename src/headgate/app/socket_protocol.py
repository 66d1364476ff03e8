"""The protocol of our server for WebSockets: uvicorn's, whose sockets may also be written to without a task.

It also holds what a client may cost before a word of it is understood, and sees out those that it fails.
"""

from collections.abc import Sequence
from http import HTTPStatus

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN

from headgate.app.tls import names_of
from headgate.core.lanes import Payload
from headgate.interface.exchange import CERTIFICATE
from headgate.interface.frames import is_text
from headgate.interface.outlet import EXTENSION, Writer
from headgate.interface.socket import FRAME_BYTES, INVALID, POLICY, TOO_LARGE

MOST_FRAGMENTS = 4096  # of one message
MOST_CONTROLS = 100  # pings and pongs of one client in a second
SLICE = 16_384  # bytes that are parsed at once
LINGER = 5.0  # seconds for a client to read why it is sent away
LINGER_DRAINING = 1.0
LINGER_BYTES = 32 * 1024 * 1024  # that it may still be sending by then
PARSED_BYTES = 256 * 1024  # of these, for its answer to our close


class SocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket. It is the outlet of the request that opened it: each frame of a payload is a message."""

    writer: Writer | None = None
    failed = False
    controls = unread = 0
    controls_since = 0.0
    rest = b""  # what came and is not parsed yet

    # The outlet

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

    # What comes

    def data_received(self, data: bytes) -> None:
        if self.close_sent:
            self.unread += len(data)
            if self.unread > LINGER_BYTES:
                self.abort()
            elif self.unread > PARSED_BYTES and not self.failed:
                self._see_out(self.close_timeout)
        self.rest += data
        self._parse()

    def _parse(self) -> None:
        """Read on until there is something that nobody has heard yet: a client may put thousands of frames in one
        packet, and be sent away for the first of them."""
        while self.rest and not self.failed and (self.queue.empty() or self.close_sent):
            data, self.rest = self.rest[:SLICE], self.rest[SLICE:]
            super().data_received(data)
            self._answer_bad_handshake()
        if self.failed:
            self.rest = b""

    async def receive(self) -> ASGIReceiveEvent:
        event = await super().receive()
        if self.rest and self.queue.empty():
            self._parse()
        return event

    def _answer_bad_handshake(self) -> None:
        """What the HTTP parser lets pass and this one does not: uvicorn would leave it without an answer."""
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            answer = b"".join(self.conn.data_to_send())
            self._turn_away(answer or b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    def _turn_away(self, answer: bytes) -> None:
        self.handshake_initiated = self.handshake_complete = self.close_sent = self.failed = True
        self.transport.write(answer)
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        limit = self.config.limit_concurrency  # uvicorn counts WebSockets, but holds only other requests to it
        if limit is not None and len(self.connections) > limit:
            self.logger.warning("Exceeded concurrency limit.")
            response = self.conn.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
            response.headers["Retry-After"] = "1"
            self.conn.send_response(response)
            self._turn_away(b"".join(self.conn.data_to_send()))
            return
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]
            if names := names_of(self.transport):
                self.scope[CERTIFICATE] = names  # type: ignore[literal-required]
            # A client has to wait for our answer. One that does not is not read before the first `receive`.
            self.read_paused = True
            self.transport.pause_reading()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MOST_FRAGMENTS:
            self._fail(TOO_LARGE, f"a message may come in {MOST_FRAGMENTS} fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
            self._fail(INVALID, "a text is not UTF-8")
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self.paused and self.conn.state is OPEN:
            self.conn.data_to_send()  # who takes nothing gets no pongs that it could pile up
        elif not self.failed:
            super().handle_ping()
        self._count_control()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._count_control()

    def handle_close(self, event: Frame) -> None:
        if not self.failed:
            super().handle_close(event)

    def _count_control(self) -> None:
        now = self.loop.time()
        if now - self.controls_since >= 1:
            self.controls, self.controls_since = 0, now
        self.controls += 1
        if self.controls > MOST_CONTROLS:
            self._fail(POLICY, f"{MOST_CONTROLS} pings and pongs per second are the limit")

    # How it ends

    def _fail(self, code: int, reason: str) -> None:
        if not self.failed and self.conn.state is OPEN:
            self.frames = []
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """The client broke the protocol: it is told, and has a moment to read it.

        A connection that is closed on bytes that nobody read is reset, and the client might never see the reason.
        """
        if self.failed:
            return
        if (close := self.conn.close_sent) is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._see_out(LINGER)

    def _see_out(self, seconds: float) -> None:
        """Nothing more is said, and nothing more is heard."""
        self.failed, self.rest = True, b""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_within(seconds)

    def keepalive_timeout(self) -> None:
        if self.read_paused:  # by us: the pong may lie behind what we do not read just now
            self.pong_timer = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self._close_within(LINGER)

    def shutdown(self) -> None:
        """The server goes. A gate that drains tells its clients itself; this only hurries it on."""
        self.close_timeout = LINGER_DRAINING
        if self.close_timer is not None:
            self._close_within(LINGER_DRAINING)
        elif self.writer is None:
            super().shutdown()

    def _close_within(self, seconds: float) -> None:
        # Not by `close`: it waits until a client has taken all that is buffered for it, which may be never.
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(seconds, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        match message["type"]:
            case "websocket.accept":
                self._read_up_to(message.get(FRAME_BYTES, self.conn.max_message_size))  # type: ignore[arg-type]
            case "websocket.http.response.body":
                self.handshake_complete = True  # with a refusal; uvicorn would log an error for want of one
            case "websocket.close" if self.close_timer is not None and self.rest:
                self._see_out(self.close_timeout)  # its answer lies behind what nobody is going to parse
            case "websocket.close" if self.close_timer is not None:
                self._close_within(self.close_timeout)

    def _read_up_to(self, size: int | None) -> None:
        """Let messages have so many bytes: one that is larger fails with its first bytes, and is never held."""
        self.conn.max_message_size = size
        if self.conn.state is OPEN:
            self.conn.parser = self.conn.parse()  # the one before looked up its limit before there was one
            next(self.conn.parser)

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


def _is_utf8(fragments: Sequence[bytes]) -> bool:
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True


def _messages(frames: Sequence[bytes]) -> bytes:
    return b"".join([Frame(Opcode.TEXT if is_text(f) else Opcode.BINARY, f).serialize(mask=False) for f in frames])
