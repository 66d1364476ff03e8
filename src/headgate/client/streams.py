"""A client of a gate's streams: publish batches, follow what comes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

import httpx2
import msgspec

from headgate.core.message import Message
from headgate.core.wire import BINARY, NDJSON, pack, pieces
from headgate.errors import BadRequest, HeadgateError, NotFound, StreamFull, Unavailable

logger = logging.getLogger("headgate.client")
_PIECE = 512 * 1024  # bytes in one request: well below a gate's limit of a megabyte
_TRIES = 6
_RETRY_SECONDS = 0.5
_POLL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a batch: the places of the messages that are kept, and by index why others are not."""

    positions: Sequence[str]
    errors: Mapping[int, str]


class StreamClient:
    """Talks to one gate. Use it as `async with StreamClient(url) as client`."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._url = url.rstrip("/")
        self._http = httpx2.AsyncClient(timeout=60.0, headers=dict(headers or {}), trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def publish(self, stream: str, batch: Sequence[Message[bytes]]) -> Published:
        """Publish, and return when the gate acknowledged. Waits and tries again while the gate says it is full.

        A request whose fate is unknown is not repeated: the messages might be there twice. May raise
        `Unavailable`, `StreamFull`, `NotFound` or `BadRequest`.
        """
        positions: list[str] = []
        errors: dict[int, str] = {}
        for first, piece in pieces(batch, _PIECE):
            answer = await self._post(stream, pack(piece))
            positions += answer["positions"]
            errors |= {first + error["index"]: error["message"] for error in answer.get("errors", ())}
        return Published(positions, errors)

    async def _post(self, stream: str, body: bytes) -> dict[str, Any]:
        path = f"/streams/{stream}/messages"
        for attempt in range(_TRIES):
            answer = await self._request("POST", path, content=body, headers={"Content-Type": BINARY})
            if answer.status_code not in (429, 503) or attempt == _TRIES - 1:
                break
            await asyncio.sleep(_RETRY_SECONDS * 2**attempt)
        content = _content(answer)
        if "positions" in content:
            return content
        raise self._refusal(answer, content)

    async def follow(
        self, stream: str, start: str = "newest", limit: int | None = None
    ) -> AsyncGenerator[tuple[bytes, dict[str, Any]], None]:
        """Each message as it comes: its JSON line, and the same decoded. Goes on where it was after a cut."""
        asked = {"from": start}
        if (await self._delivery(stream)) == "queue":
            asked = {}
        given = 0
        while limit is None or given < limit:
            try:
                async for line, message in self._lines(stream, asked):
                    yield line, message
                    given += "gap" not in message
                    if "position" in message and asked:
                        asked = {"after": message["position"]}
                    if given == limit:
                        return
            except Unavailable as error:
                logger.warning("%s; trying again", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _delivery(self, stream: str) -> str:
        answer = await self._request("GET", "/streams")
        listed = {row["name"]: row for row in _content(answer).get("streams", ())}
        if stream not in listed:
            near = get_close_matches(stream, listed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(listed)) or 'none'}"
            raise NotFound(f"{self._url} has no stream {stream!r}{hint}")
        return str(listed[stream]["delivery"])

    async def _lines(self, stream: str, asked: Mapping[str, str]) -> AsyncGenerator[tuple[bytes, dict[str, Any]], None]:
        params = {**asked, "follow": "true"} if asked else {"wait": str(_POLL_SECONDS)}
        url = f"{self._url}/streams/{stream}/messages"
        timeout = httpx2.Timeout(10.0, read=None)
        try:
            async with self._http.stream(
                "GET", url, params=params, headers={"Accept": NDJSON}, timeout=timeout
            ) as answer:
                if answer.status_code not in (200, 204):
                    await answer.aread()
                    raise self._refusal(answer, _content(answer))
                async for line in answer.aiter_lines():
                    if line:
                        yield line.encode(), msgspec.json.decode(line)
        except (httpx2.HTTPError, msgspec.MsgspecError) as error:
            raise Unavailable(f"the connection to {self._url} broke: {str(error) or type(error).__name__}") from None

    async def _request(self, method: str, path: str, **request: Any) -> httpx2.Response:
        try:
            return await self._http.request(method, f"{self._url}{path}", **request)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"no gate answers at {self._url}: {reason}") from None

    def _refusal(self, answer: httpx2.Response, content: Mapping[str, Any]) -> HeadgateError:
        reason = content.get("error") or f"{self._url} answered {answer.status_code}"
        kinds = {404: NotFound, 429: StreamFull}
        kind = kinds.get(answer.status_code, Unavailable if answer.status_code >= 500 else BadRequest)
        return kind(str(reason))


def _content(answer: httpx2.Response) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(answer.content)
    except msgspec.MsgspecError:
        return {}
    return content if isinstance(content, dict) else {}
