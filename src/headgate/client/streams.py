"""A client of a gate's streams: publish batches, follow what comes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

import httpx2
import msgspec

from headgate.core.message import Message
from headgate.core.position import Position
from headgate.core.wire import BINARY, NDJSON, pack, pieces
from headgate.errors import (
    BadRequest,
    BodyTooLarge,
    HeadgateError,
    NotFound,
    PositionError,
    Refused,
    StreamFull,
    Unauthorized,
    Unavailable,
)

logger = logging.getLogger("headgate.client")
_PIECE = 512 * 1024  # bytes in one request: well below a gate's limit of a megabyte
_TRIES = 6
_RETRY_SECONDS = 0.5
_LONGEST_WAIT = 60.0
_POLL_SECONDS = 20
_POLL_MESSAGES = 1000
_NOTHING_KEPT = (
    "draining",
    "stream_full",
    "rate_limited",
    "overloaded",
    None,
)  # None: it was refused before it reached a gate's code


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

        A request whose fate is unknown is not repeated: the messages might be there twice. A message that is
        too large stands in `errors`. May raise `Unavailable`, `StreamFull`, `NotFound` or `BadRequest`.
        """
        positions: list[str] = []
        errors: dict[int, str] = {}
        waiting = list(pieces(batch, _PIECE))[::-1]
        while waiting:
            first, piece = waiting.pop()
            try:
                answer = await self._post(stream, pack(piece))
            except BodyTooLarge as error:
                if len(piece) == 1:
                    errors[first] = str(error)
                else:
                    half = len(piece) // 2
                    waiting += [(first + half, piece[half:]), (first, piece[:half])]
                continue
            positions += answer["positions"]
            errors |= {first + error["index"]: error["message"] for error in answer.get("errors", ())}
        return Published(positions, errors)

    async def _post(self, stream: str, body: bytes) -> dict[str, Any]:
        path = f"/streams/{stream}/messages"
        for attempt in range(_TRIES):
            answer = await self._request("POST", path, content=body, headers={"Content-Type": BINARY})
            content = _content(answer)
            again = answer.status_code in (429, 503) and content.get("type") in _NOTHING_KEPT
            if not again or attempt == _TRIES - 1:
                break
            await asyncio.sleep(max(_RETRY_SECONDS * 2**attempt, _told_to_wait(answer)))
        if "positions" in content:
            return content
        if answer.status_code == 404:
            await self._listed(stream)  # raises with a hint at the names there are
        raise self._refusal(answer, content)

    async def follow(
        self, stream: str, start: str = "newest", limit: int | None = None
    ) -> AsyncGenerator[tuple[bytes, dict[str, Any]], None]:
        """Each message as it comes: its JSON line, and the same decoded. Goes on where it was after a cut.

        `{"gap": {"missed": n}}` stands where messages were dropped before they could be read. What is read of
        a queue is gone from it.
        """
        listed = await self._listed(stream)
        place = _beginning(start, listed)
        given, told = 0, ""
        while limit is None or given < limit:
            before = given
            asked = _share(limit, given) if listed["delivery"] == "queue" else {**place, "follow": "true"}
            try:
                async with aclosing(self._lines(stream, asked)) as lines:
                    async for line, message in lines:
                        yield line, message
                        given += "gap" not in message
                        place = {"after": message["position"]} if "position" in message else place
                        if given == limit:
                            return
            except Unavailable as error:
                if str(error) != told:
                    logger.warning("%s; trying again", error)
                told = str(error)
            if given == before:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                told = ""

    async def _listed(self, stream: str) -> dict[str, Any]:
        """What the gate's list says of a stream."""
        answer = await self._request("GET", "/streams")
        content = _content(answer)
        if "streams" not in content:
            raise self._refusal(answer, content)
        listed: dict[str, dict[str, Any]] = {row["name"]: row for row in content["streams"]}
        if stream not in listed:
            near = get_close_matches(stream, listed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(listed)) or 'none'}"
            raise NotFound(f"{self._url} has no stream {stream!r}{hint}")
        return listed[stream]

    async def _lines(self, stream: str, asked: Mapping[str, str]) -> AsyncGenerator[tuple[bytes, dict[str, Any]], None]:
        url = f"{self._url}/streams/{stream}/messages"
        timeout = httpx2.Timeout(10.0, read=None)
        try:
            async with self._http.stream(
                "GET", url, params=asked, headers={"Accept": NDJSON}, timeout=timeout
            ) as answer:
                if answer.status_code not in (200, 204):
                    await answer.aread()
                    raise self._refusal(answer, _content(answer))
                async for line in _split(answer.aiter_bytes()):
                    message = msgspec.json.decode(line)
                    if "error" in message:
                        raise Unavailable(str(message["error"]))
                    yield line, message
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
        kinds: dict[int, type[HeadgateError]] = {
            401: Unauthorized,
            403: Refused,
            404: NotFound,
            413: BodyTooLarge,
            429: StreamFull,
        }
        kind = kinds.get(answer.status_code, Unavailable if answer.status_code >= 500 else BadRequest)
        return kind(str(reason))


def _told_to_wait(answer: httpx2.Response) -> float:
    told = answer.headers.get("retry-after", "")
    return min(float(told), _LONGEST_WAIT) if told.isascii() and told.isdecimal() else 0.0


def _beginning(start: str, listed: Mapping[str, Any]) -> dict[str, str]:
    """Where to start. `newest` is fixed now, so that a cut before the first message loses none."""
    newest = str(listed.get("newest", ""))
    try:
        Position.parse(newest)
    except PositionError:
        return {"from": start}
    return {"after": newest} if start == "newest" else {"from": start}


def _share(limit: int | None, given: int) -> dict[str, str]:
    """A poll of a queue asks for no more than is wanted: what it gets is gone from there."""
    wanted = _POLL_MESSAGES if limit is None else min(limit - given, _POLL_MESSAGES)
    return {"wait": str(_POLL_SECONDS), "limit": str(wanted)}


async def _split(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Lines, ended by a line feed alone: JSON text may hold the other characters that are said to end one."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _content(answer: httpx2.Response) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(answer.content)
    except msgspec.MsgspecError:
        return {}
    return content if isinstance(content, dict) else {}
