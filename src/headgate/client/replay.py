"""The replay: the dead letters of a stream as lines again, from where the last replay ended."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import httpx2
import msgspec

from headgate.client.source import Form, Source
from headgate.core.wire import NDJSON
from headgate.errors import BadRequest, NotFound, Unavailable

_AT_ONCE = 1000


async def dead_letters(
    http: httpx2.AsyncClient, url: str, stream: str, after: str | None, stack: ExitStack
) -> tuple[Source, str | None]:
    """The messages after a place as a source, and the place after them."""
    held = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115 - the stack closes it
    while letters := await _page(http, f"{url.rstrip('/')}/streams/{stream}/messages", after):
        for letter in letters:
            if not isinstance(letter.get("value"), str):
                raise BadRequest(f"stream {stream!r} holds no lines: dead letters are in a stream with the codec text")
            held.write(letter["value"].encode() + b"\n")
        after = letters[-1]["position"]
    size = held.tell()
    held.seek(0)
    return Source(stream, Form.TEXT, held, held, None, size), after


async def _page(http: httpx2.AsyncClient, url: str, after: str | None) -> list[dict[str, str]]:
    place = {"from": "oldest"} if after is None else {"after": after}
    try:
        answer = await http.get(url, params={**place, "limit": str(_AT_ONCE)}, headers={"Accept": NDJSON})
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(f"no gate answers at {url}: {str(error) or type(error).__name__}") from None
    if answer.status_code == 404:
        raise NotFound(f"there is no stream at {url}")
    if answer.status_code not in (200, 204):
        raise Unavailable(f"{url} answered {answer.status_code}")
    return [found for line in answer.content.splitlines() if "value" in (found := msgspec.json.decode(line))]


def default_place(stream: str) -> Path:
    """Where it keeps how far it came."""
    return Path(f"{stream}.headgate-replay")
