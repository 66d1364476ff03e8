"""The socket: a WebSocket as ASGI has it, before and after it is accepted."""

from collections.abc import Callable, Sequence
from typing import Any

from headgate.interface.exchange import ClientGone, Event, Receive, Request, Response, Scope, Send, raw_headers
from headgate.interface.frames import is_text

GOING_AWAY, INVALID, POLICY, TOO_LARGE, FAILED = 1001, 1007, 1008, 1009, 1011
FRAME_BYTES = "headgate.frame_bytes"  # in the event that accepts a socket


class Goodbye(Exception):
    """The socket is to be closed, with this code and for this reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code} {reason}")


class Socket:
    """One WebSocket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.accepted = False
        self.when_accepted: Callable[[], object] = bool
        self._receive, self._push = receive, send

    @property
    def protocols(self) -> Sequence[str]:
        """The subprotocols that the client speaks."""
        return list(self.scope.get("subprotocols") or ())

    async def _send(self, event: Event) -> None:
        try:
            await self._push(event)
        except OSError:  # as ASGI has it, for a client that is gone
            raise ClientGone from None

    async def accept(self, protocol: str | None, frame_bytes: int) -> None:
        """Let the client in, whose messages are to have so many bytes: our own server reads no larger ones."""
        await self._send({"type": "websocket.accept", "subprotocol": protocol, "headers": [], FRAME_BYTES: frame_bytes})
        self.accepted = True
        self.when_accepted()

    async def refuse(self, response: Response, request: Request) -> None:
        """Answer the handshake as if it were any other request."""
        headers = [*raw_headers(response), (b"x-request-id", request.id.encode()), *request.notes]
        start: dict[str, Any] = {"status": response.status, "headers": headers}
        await self._send({"type": "websocket.http.response.start", **start})
        await self._send({"type": "websocket.http.response.body", "body": response.body})

    async def next(self) -> str | bytes:
        """What the client says next. Raises `ClientGone` when it is gone."""
        while (event := await self._receive())["type"] == "websocket.connect":
            pass
        if event["type"] == "websocket.disconnect":
            raise ClientGone
        text: str | None = event.get("text")
        return event["bytes"] if text is None else text

    async def say(self, frames: Sequence[bytes]) -> None:
        """Send each frame as a message; for a server without an outlet of its own."""
        for frame in frames:
            await self._send(
                {"type": "websocket.send", "text": frame.decode()}
                if is_text(frame)
                else {"type": "websocket.send", "bytes": frame}
            )

    async def close(self, code: int, reason: str) -> None:
        """Close it. A reason is up to 123 bytes, as the protocol has it."""
        reason = reason.encode()[:123].decode(errors="ignore")
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
