"""A source for services with a plain loop: `get_messages()` asks another service, and never raises."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Self, TypeVar

import httpx2
from msgspec.structs import replace

from headgate.core.addresses import redacted
from headgate.core.codec import JsonCodec, MessageSerializer
from headgate.core.message import Message
from headgate.core.position import At, Position, parse_start
from headgate.errors import CodecError
from headgate.transport.http.answer import ACCEPT, Garbage, Pace, read_answer
from headgate.transport.http.guard import guarded, parse_networks
from headgate.transport.http.source import starting

T = TypeVar("T")
logger = logging.getLogger("headgate.transport.http")
_BODY_SECONDS = 30.0  # for an answer that has begun to come


class HTTPMessageSource(AbstractContextManager["HTTPMessageSource[T]"], Generic[T]):
    """Polls `GET url` of another service: what it has after the last poll, or what it drains.

    A service that is dead, slow or answers garbage gives no messages, a line in the log when it begins, and counts in
    `failures`. With `wait`, a poll may wait so many seconds for the first message, so a loop around it is never late
    and never hot. `position` is where it is; `start` takes one, or `oldest`, `newest`, `last:N`, a time.
    Not for several threads at once.
    """

    def __init__(
        self,
        url: str,
        *,
        serializer: MessageSerializer[T] | None = None,
        start: str = "oldest",
        wait: float = 0.0,
        limit: int = 1000,
        timeout: float = 5.0,
        compress: bool = False,
        headers: Mapping[str, str] | None = None,
        answer_bytes: int = 64 * 1024 * 1024,
        networks: Sequence[str] = (),
    ) -> None:
        self.url = url
        self.failures = 0  # polls without an answer that could be understood
        self.unreadable = 0  # messages that the serializer refused
        self.missed = 0  # messages that were gone before they could be read
        self.trouble: str | None = None  # why the last poll failed
        self._serializer: MessageSerializer[T] = serializer or JsonCodec()
        self._start = parse_start(start)
        self._wait, self._limit, self._timeout = wait, limit, timeout
        self._answer_bytes = answer_bytes
        self._pace = Pace()
        self._pause = 0.0  # before the next poll
        self._client = httpx2.Client(
            headers={"Accept": ACCEPT, "Accept-Encoding": "gzip" if compress else "identity", **(headers or {})},
            follow_redirects=False,  # they could lead anywhere
            trust_env=False,
            transport=guarded(parse_networks(networks)),
        )

    def __repr__(self) -> str:
        return f"<HTTPMessageSource {redacted(self.url)} at {self.position}, {self.failures} failures>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @property
    def position(self) -> Position | None:
        """The place after what it has given, where the service has places."""
        return self._start.position if isinstance(self._start, At) else None

    def get_messages(self) -> Sequence[Message[T]]:
        """What there is now, or within `wait` seconds."""
        wait = max(0.0, self._wait - self._pause)
        time.sleep(min(self._pause, self._wait))
        began = time.monotonic()
        try:
            answer = read_answer(*self._ask(wait))
        except (httpx2.HTTPError, httpx2.InvalidURL, Garbage) as error:
            self._fail(error)
            self._pause = self._pace.after(found=False, asked=self._wait or 1.0, took=0.0)
            return []
        self._recover()
        self.missed += answer.missed
        self._leave_out(answer.bad)
        if answer.position is not None:
            self._start = At(answer.position)
        took = time.monotonic() - began
        self._pause = self._pace.after(found=bool(answer.messages), asked=wait, took=took)
        return self._decoded(answer.messages)

    def _ask(self, wait: float) -> tuple[int, Mapping[str, str], bytes]:
        asked = {"limit": str(self._limit), "wait": f"{wait:.3f}"} | starting(self._start)
        patience = self._timeout + wait
        with self._client.stream("GET", self.url, params=asked, timeout=patience) as answer:
            return answer.status_code, answer.headers, self._bounded(answer, time.monotonic() + _BODY_SECONDS)

    def _bounded(self, answer: httpx2.Response, end: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in answer.iter_bytes():
            chunks.append(chunk)
            if (size := size + len(chunk)) > self._answer_bytes:
                raise httpx2.ReadError(f"its answer is over {self._answer_bytes} bytes")
            if time.monotonic() > end:
                raise httpx2.ReadError(f"its answer does not end within {_BODY_SECONDS:g} s")
        return b"".join(chunks)

    def _fail(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self.failures += 1
        if reason != self.trouble:
            logger.warning("peer in trouble", extra={"url": redacted(self.url), "reason": reason})
        self.trouble = reason

    def _recover(self) -> None:
        if self.trouble is not None:
            logger.info("peer is well again", extra={"url": redacted(self.url)})
        self.trouble = None

    def _decoded(self, messages: Sequence[Message[bytes]]) -> list[Message[T]]:
        decoded: list[Any] = []
        bad: list[CodecError] = []
        for message in messages:
            try:
                decoded.append(replace(message, value=self._serializer.decode(message.value)))
            except CodecError as error:
                bad.append(error)
        self._leave_out(bad)
        return decoded

    def _leave_out(self, bad: Sequence[CodecError]) -> None:
        if bad:
            self.unreadable += len(bad)
            logger.warning(
                "messages left out", extra={"url": redacted(self.url), "count": len(bad), "why": str(bad[0])}
            )
