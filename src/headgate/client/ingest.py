"""A client of a gate's ingest interface: portions of messages, each kept once however often it is sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import msgspec

from headgate.client.portions import Portion
from headgate.errors import (
    BadRequest,
    BodyTooLarge,
    HeadgateError,
    NotFound,
    Refused,
    StorageFull,
    Unauthorized,
    Unavailable,
)

PATIENCE = 120.0  # seconds for which a gate may be away or busy
COUNTS = ("processed", "inserted", "failed", "duplicates", "updated")
_RETRY_SECONDS, _LONGEST_WAIT = 0.5, 15.0
_AGAIN = (429, 502, 503, 504)
_TIMEOUT = httpx2.Timeout(30.0, read=600.0)  # a large transaction may take its time


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a portion: counts, and the refused lines of the file with the reasons."""

    counts: Mapping[str, int]
    errors: Sequence[tuple[int, str]] = ()
    omitted: int = 0  # errors that were not told
    nothing_kept: str = ""  # why not, when it was all or nothing


class Destination(Protocol):
    """Where messages go."""

    async def keep(self, portion: Portion, key: str) -> Settled:
        """Keep what is good of a portion. With the same key again, it is kept once and the answer is the same.

        May raise `Unavailable` after some patience, `BodyTooLarge`, or another `HeadgateError`.
        """
        ...


class GateDestination:
    """The ingest interface at `{url}{path}`, or behind a `transport` of one's own.

    `waits` hears why it does, `sent` how much of the file was.
    """

    def __init__(
        self,
        url: str,
        path: str = "/ingest",
        *,
        media: str = "text/plain",
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
        waits: Callable[[str], None] = lambda _: None,
        sent: Callable[[int], None] = lambda _: None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = "/".join(part for part in (url.rstrip("/"), path.strip("/"), "batch") if part)
        self._parameters = dict(parameters or {})
        self._patience, self._waits, self._sent = patience, waits, sent
        self._answered = False  # a gate that never answered is not waited for: its address may be wrong
        self._http = httpx2.AsyncClient(
            timeout=_TIMEOUT,
            headers={"Content-Type": media, **(headers or {})},
            trust_env=False,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"<GateDestination {self._url}>"

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()

    async def keep(self, portion: Portion, key: str) -> Settled:
        """Send a portion until it is answered. As `Destination` says."""
        deadline = time.monotonic() + self._patience
        delay = _RETRY_SECONDS
        while True:
            try:
                return self._settled(await self._post(portion, key), portion)
            except _Again as again:
                wait = min(max(again.after, delay), _LONGEST_WAIT)
                if not self._answered or time.monotonic() + wait > deadline:
                    raise Unavailable(str(again)) from None
                self._waits(str(again))
            await asyncio.sleep(wait)
            delay = min(delay * 2, _LONGEST_WAIT)

    async def _post(self, portion: Portion, key: str) -> httpx2.Response:
        headers = {"Idempotency-Key": key, "Content-Length": str(portion.size)}
        body = self._told(portion)
        try:
            answer = await self._http.post(self._url, params=self._parameters, content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _Again(f"no gate answers at {self._url}: {str(error) or type(error).__name__}") from None
        self._answered = True
        return answer

    async def _told(self, portion: Portion) -> AsyncIterator[bytes]:
        sent = -len(portion.head)
        for chunk in portion.chunks():
            yield chunk
            sent += len(chunk)
            self._sent(portion.offset + sent)

    def _settled(self, answer: httpx2.Response, portion: Portion) -> Settled:
        content = _content(answer)
        if "processed" not in content or "type" in content:  # an error of the request, not of its messages
            raise self._refusal(answer, content)
        return Settled(
            {name: content.get(name, 0) for name in COUNTS},
            [(portion.line_of(error["line_number"]), error["message"]) for error in content["errors"]],
            content.get("errors_omitted", 0),
            content.get("message", ""),
        )

    def _refusal(self, answer: httpx2.Response, content: Mapping[str, Any]) -> Exception:
        status = answer.status_code
        reason = str(content.get("message") or content.get("error") or f"{self._url} answered {status}")
        if status in _AGAIN:
            return _Again(reason, _seconds(answer.headers.get("retry-after")))
        if status == 404:
            return NotFound(f"there is no ingest interface at {self._url}; say where it is with --path")
        kinds: dict[int, type[HeadgateError]] = {401: Unauthorized, 403: Refused, 413: BodyTooLarge, 507: StorageFull}
        return kinds.get(status, Unavailable if status >= 500 else BadRequest)(reason)


class _Again(Exception):
    """It was not kept for now, or whether it was is unknown: the key makes it safe to send it again."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _content(answer: httpx2.Response) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(answer.content)
    except msgspec.MsgspecError:
        return {}
    return content if isinstance(content, dict) else {}
