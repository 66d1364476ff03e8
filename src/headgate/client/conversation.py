"""The conversation: what a client says and hears, apart from how it is carried, so that one is written for both."""

import asyncio
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
import msgspec

R = TypeVar("R")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    timeout: float = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Pause:
    """Some seconds in which nothing is said."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back: a status and a JSON value; or nothing, and why."""

    status: int = 0
    content: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None
    trouble: str = ""


Conversation = Generator[Call | Pause, Heard, R]


def pause(attempt: int, heard: Heard) -> Pause:
    """How long to wait before another attempt: as the server says, or longer each time; never all at once."""
    if heard.retry_after is not None:
        return Pause(min(heard.retry_after, _LONGEST_PAUSE) * (1 + random.random()))  # noqa: S311
    return Pause(min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * (0.5 + random.random() / 2))  # noqa: S311


async def hold(conversation: Conversation[R], http: httpx2.AsyncClient) -> R:
    """Carry a conversation to its end, from a loop."""
    try:
        said = next(conversation)
        while True:
            if isinstance(said, Pause):
                await asyncio.sleep(said.seconds)
                heard = Heard()
            else:
                try:
                    heard = _heard(await http.request(said.method, said.url, **_options(said)))
                except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                    heard = Heard(trouble=str(error) or type(error).__name__)
            said = conversation.send(heard)
    except StopIteration as end:
        result: R = end.value
        return result


def hold_in_thread(conversation: Conversation[R], http: httpx2.Client) -> R:
    """Carry a conversation to its end, and wait for it."""
    try:
        said = next(conversation)
        while True:
            if isinstance(said, Pause):
                time.sleep(said.seconds)
                heard = Heard()
            else:
                try:
                    heard = _heard(http.request(said.method, said.url, **_options(said)))
                except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                    heard = Heard(trouble=str(error) or type(error).__name__)
            said = conversation.send(heard)
    except StopIteration as end:
        result: R = end.value
        return result


def _options(call: Call) -> dict[str, Any]:
    options: dict[str, Any] = {"headers": dict(call.headers), "timeout": call.timeout}
    if call.query:
        options["params"] = dict(call.query)
    if call.body is not None:
        options["content"] = msgspec.json.encode(call.body)
        options["headers"]["Content-Type"] = "application/json"
    return options


def _heard(answer: httpx2.Response) -> Heard:
    try:
        content = msgspec.json.decode(answer.content) if answer.content else {}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        content = {}
    after = answer.headers.get("retry-after", "")
    seconds = float(after) if after.isascii() and after.isdecimal() else None
    return Heard(answer.status_code, content if isinstance(content, dict) else {}, seconds)
