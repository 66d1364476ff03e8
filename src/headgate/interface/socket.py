"""The socket: a WebSocket as ASGI has it, before and after it is accepted."""

from collections.abc import Sequence
from typing import Any

from headgate.errors import HeadgateError
from headgate.interface.exchange import ClientGone, Receive, Response, Scope, Send
from headgate.interface.frames import is_text

GOING_AWAY, UNSUPPORTED, POLICY, TOO_LARGE, FAILED, TRY_LATER = 1001, 1003, 1008, 1009, 1011, 1013


class Goodbye(Exception):
    """The socket is to be closed, with this code and for this reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code} {reason}")


class Socket:
    """One WebSocket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive, self._send = receive, send

    @property
    def protocols(self) -> Sequence[str]:
        """The subprotocols that the client speaks."""
        return list(self.scope.get("subprotocols") or ())

    async def accept(self, protocol: str | None) -> None:
        """Let the client in."""
        await self._send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})

    async def refuse(self, response: Response, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer the handshake as if it were any other request."""
        start: dict[str, Any] = {"status": response.status, "headers": list(headers)}
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


def goodbye_of(error: HeadgateError) -> Goodbye:
    """The code that an error has on a socket."""
    return Goodbye(TRY_LATER if error.retriable else POLICY, str(error))
