"""A client of a command interface, for loops and for threads: what is sent again is done once."""

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

import httpx2
import msgspec

from headgate.client.conversation import Call, Conversation, Heard, hold, hold_in_thread, pause
from headgate.errors import (
    Busy,
    HeadgateError,
    InvalidCommand,
    KeyReused,
    NotFound,
    Refused,
    TooLate,
    TransportError,
    Unauthorized,
    Unavailable,
)

logger = logging.getLogger("headgate.client")
_AGAIN = (0, 408, 425, 429, 502, 503, 504)  # 0: nobody answered
_KINDS: Mapping[int, type[HeadgateError]] = {
    400: InvalidCommand,
    401: Unauthorized,
    403: Refused,
    404: NotFound,
    409: TooLate,
    413: InvalidCommand,
    415: InvalidCommand,
    429: Busy,
}
_FINAL = ("acknowledged", "failed", "expired", "cancelled")
_LONG_POLL = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that the service has acknowledged."""

    request_id: str
    message: str
    timestamp: datetime


class _Speech:
    """What is said to a command interface."""

    def __init__(self, url: str, path: str, headers: Mapping[str, str], tries: int) -> None:
        self._url, self._headers, self._tries = f"{url.rstrip('/')}{path}", headers, tries

    def send(self, command: Mapping[str, Any], key: str | None) -> Conversation[Sent]:
        heard = yield from self._insist("POST", "", command, {"Idempotency-Key": key or str(uuid.uuid4())})
        return _sent(heard.content)

    def send_batch(
        self, commands: Sequence[Mapping[str, Any]], key: str | None
    ) -> Conversation[list[Sent | HeadgateError]]:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        body = {"commands": list(commands)}
        heard = yield from self._insist("POST", "/batch", body, headers)
        return [_outcome(result) for result in heard.content["results"]]

    def status(self, request_id: str, seconds: float = 0.0) -> Conversation[dict[str, Any]]:
        query = {"wait": f"{seconds:.3f}s"} if seconds else {}
        path = f"/{quote(request_id, safe='')}/status"
        heard = yield from self._insist("GET", path, query=query, timeout=seconds + 30)
        return dict(heard.content)

    def wait(self, request_id: str, seconds: float) -> Conversation[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            told = yield from self.status(request_id, min(left, _LONG_POLL))
            if told["status"] in _FINAL or not left:
                return told
            if told["status"] == "unknown":
                yield pause(0, Heard())

    def cancel(self, request_id: str) -> Conversation[dict[str, Any]]:
        heard = yield from self._insist("DELETE", f"/{quote(request_id, safe='')}")
        return dict(heard.content)

    def commands(self, filters: Mapping[str, str]) -> Conversation[dict[str, Any]]:
        heard = yield from self._insist("GET", "", query=filters)
        return dict(heard.content)

    def _insist(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Conversation[Heard]:
        """Ask until there is an answer that will not change. The key stays the same, so nothing is done twice."""
        _check(body)
        call = Call(method, f"{self._url}{path}", {**self._headers, **(headers or {})}, query or {}, body, timeout)
        for attempt in range(self._tries):
            heard = yield call
            if heard.status not in _AGAIN or attempt == self._tries - 1:
                break
            yield pause(attempt, heard)
        if 200 <= heard.status < 300 or "results" in heard.content:
            return heard
        raise _error(heard, self._url)


def _check(body: Any) -> None:
    try:
        msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidCommand(f"the command cannot be written as JSON: {error}") from None


def _sent(content: Mapping[str, Any]) -> Sent:
    try:
        return Sent(content["request_id"], content["message"], datetime.fromisoformat(content["timestamp"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"what answered is no command interface: {error!r}") from None


def _outcome(result: Mapping[str, Any]) -> Sent | HeadgateError:
    if result["success"]:
        return _sent(result)
    kinds = {"CommandValidationError": InvalidCommand, "IdempotencyKeyReusedError": KeyReused}
    return kinds.get(result.get("type", ""), TransportError)(result["message"])


def _error(heard: Heard, url: str) -> HeadgateError:
    if not heard.status:
        return Unavailable(f"nothing answers at {url}: {heard.trouble}")
    kind = _KINDS.get(heard.status, Unavailable if heard.status >= 500 else InvalidCommand)
    if heard.content.get("type") == "IdempotencyKeyReusedError":
        kind = KeyReused
    return kind(str(heard.content.get("error") or f"{url} answered {heard.status}"))


def _headers(api_key: str | None, header: str) -> dict[str, str]:
    return {} if api_key is None else {header: api_key}


class CommandClient:
    """Sends commands from a loop: `async with CommandClient(url) as client`.

    What was not answered, or answered with 429 or 503, is sent again, with the same idempotency key, after a pause
    that grows. Every method may raise an `InvalidCommand`, `KeyReused`, `NotFound`, `Refused`, `Busy` or `Unavailable`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        api_key_header: str = "X-API-Key",
        path: str = "/api/v1/commands",
        tries: int = 6,
    ) -> None:
        self._speech = _Speech(url, path, _headers(api_key, api_key_header), tries)
        self._http = httpx2.AsyncClient(trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def push_command(self, **command: Any) -> bool:
        """Send a command, and tell whether it was acknowledged; never raises for what went wrong."""
        try:
            await self.send(command)
        except HeadgateError as error:
            logger.warning("a command was not acknowledged: %s", error)
            return False
        return True

    async def send(self, command: Mapping[str, Any], *, key: str | None = None) -> Sent:
        """Send a command. One that is sent again with the same `key` is done once."""
        return await hold(self._speech.send(command, key), self._http)

    async def send_batch(
        self, commands: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> list[Sent | HeadgateError]:
        """Send commands, and tell what became of each."""
        return await hold(self._speech.send_batch(commands, key), self._http)

    async def status(self, request_id: str) -> dict[str, Any]:
        """What became of a command."""
        return await hold(self._speech.status(request_id), self._http)

    async def wait(self, request_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """What became of a command, when it is settled, or as it is when the time is over."""
        return await hold(self._speech.wait(request_id, seconds), self._http)

    async def cancel(self, request_id: str) -> dict[str, Any]:
        """Cancel a command that is not published yet. Raises a `TooLate` for one that is."""
        return await hold(self._speech.cancel(request_id), self._http)

    async def commands(self, **filters: str) -> dict[str, Any]:
        """A page of commands, and the `next_cursor` that gives the next one as `cursor`."""
        return await hold(self._speech.commands(filters), self._http)


class SyncCommandClient:
    """The same for programs without a loop: `with SyncCommandClient(url) as client`."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        api_key_header: str = "X-API-Key",
        path: str = "/api/v1/commands",
        tries: int = 6,
    ) -> None:
        self._speech = _Speech(url, path, _headers(api_key, api_key_header), tries)
        self._http = httpx2.Client(trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def push_command(self, **command: Any) -> bool:
        """Send a command, and tell whether it was acknowledged; never raises for what went wrong."""
        try:
            self.send(command)
        except HeadgateError as error:
            logger.warning("a command was not acknowledged: %s", error)
            return False
        return True

    def send(self, command: Mapping[str, Any], *, key: str | None = None) -> Sent:
        """Send a command. One that is sent again with the same `key` is done once."""
        return hold_in_thread(self._speech.send(command, key), self._http)

    def send_batch(
        self, commands: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> list[Sent | HeadgateError]:
        """Send commands, and tell what became of each."""
        return hold_in_thread(self._speech.send_batch(commands, key), self._http)

    def status(self, request_id: str) -> dict[str, Any]:
        """What became of a command."""
        return hold_in_thread(self._speech.status(request_id), self._http)

    def wait(self, request_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """What became of a command, when it is settled, or as it is when the time is over."""
        return hold_in_thread(self._speech.wait(request_id, seconds), self._http)

    def cancel(self, request_id: str) -> dict[str, Any]:
        """Cancel a command that is not published yet. Raises a `TooLate` for one that is."""
        return hold_in_thread(self._speech.cancel(request_id), self._http)

    def commands(self, **filters: str) -> dict[str, Any]:
        """A page of commands, and the `next_cursor` that gives the next one as `cursor`."""
        return hold_in_thread(self._speech.commands(filters), self._http)
