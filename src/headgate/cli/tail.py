"""`headgate tail`: follow a stream of a running gate."""

import asyncio
import base64
import sys
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import typer

from headgate.cli.options import DEFAULT_URL, Json, Url

Stream = Annotated[str, typer.Argument(help="The stream's name.", show_default=False)]
From = Annotated[str, typer.Option("--from", help="Start at oldest, newest, last:N, an RFC 3339 time or a position.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many messages.")]


def command(
    stream: Stream, url: Url = DEFAULT_URL, start: From = "newest", limit: Limit = None, as_json: Json = False
) -> None:
    """Print messages as they come. After a cut it goes on where it was."""
    asyncio.run(_tail(url, stream, start, limit, as_json))


async def _tail(url: str, stream: str, start: str, limit: int | None, as_json: bool) -> None:
    from headgate.client import StreamClient

    async with StreamClient(url) as client, aclosing(client.follow(stream, start, limit)) as messages:
        async for line, message in messages:
            if "gap" in message:
                print(_gap(message["gap"]["missed"]), file=sys.stderr)
            elif as_json:
                print(line.decode(), flush=limit is None)
            else:
                print(pretty(message), flush=limit is None)
    sys.stdout.flush()


def _gap(missed: int | str) -> str:
    if isinstance(missed, int):
        return f"-- {missed} messages were dropped before they could be read --"
    return "-- the stream began afresh; what it held before and was not read is gone --"


def pretty(message: dict[str, Any]) -> str:
    """A message on one line, for people. What could move the cursor is escaped."""
    key = message.get("key")
    words = [_moment(message["timestamp"]), _printable(key) if key is not None else "", _value(message)]
    return "  ".join(word for word in words if word)


def _moment(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(nanoseconds)  # no year that a calendar has


def _value(message: dict[str, Any]) -> str:
    from headgate.core.codec import json_encode

    value = message["value"]
    if message.get("encoding") == "base64":
        return repr(base64.b64decode(value))
    return _printable(value if isinstance(value, str) else json_encode(value).decode())


def _printable(text: Any) -> str:
    plain = text if isinstance(text, str) else f"base64:{text['base64']}"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in plain)
