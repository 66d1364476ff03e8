"""`headgate tail`: follow a stream of a running gate, or where a configuration says that it lives."""

import asyncio
import base64
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.options import DEFAULT_HEADER, DEFAULT_URL, ApiKey, ApiKeyHeader, Json, Url, key_headers, load
from headgate.errors import NotFound, Refused

if TYPE_CHECKING:
    from headgate.app.connect import Connections
    from headgate.runtime.stream import Stream as LiveStream
    from headgate.spec.plan import Plan

Messages = AsyncGenerator[tuple[bytes, dict[str, Any]], None]
Stream = Annotated[str, typer.Argument(help="The stream's name.", show_default=False)]
Files = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="Read where this file says that it lives, without a gate; may be repeated."),
]
From = Annotated[str, typer.Option("--from", help="Start at oldest, newest, last:N, an RFC 3339 time or a position.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many messages.")]
Keys = Annotated[list[str] | None, typer.Option("--key", "-k", help="Only messages with this key; may be repeated.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--where", "-w", help="Only messages whose field has this value, as id=Zact; may be repeated."),
]


def command(
    stream: Stream,
    url: Url = DEFAULT_URL,
    config: Files = None,
    start: From = "newest",
    key: Keys = None,
    where: Fields = None,
    limit: Limit = None,
    api_key: ApiKey = None,
    api_key_header: ApiKeyHeader = DEFAULT_HEADER,
    as_json: Json = False,
) -> None:
    """Print messages as they come. After a cut it goes on where it was; `--from POSITION` does so by hand."""
    wanted = Wanted(key or [], where or [])
    # Of a queue no more is taken than is shown; who wants only some of its messages takes the others, too.
    most = None if key or where else limit
    headers = key_headers(api_key, api_key_header)
    messages = _by_config(stream, config, start) if config else _by_url(stream, url, headers, start, most)
    asyncio.run(_tail(messages, wanted, limit, as_json))


class Wanted:
    """Which messages are to be shown."""

    def __init__(self, keys: list[str], fields: list[str]) -> None:
        self._keys = frozenset(keys)
        self._fields: dict[tuple[str, ...], set[str]] = {}
        for text in fields:
            path, equals, value = text.partition("=")
            if not equals or not all(path.split(".")):
                raise typer.BadParameter(f"{text!r} is not FIELD=VALUE")
            self._fields.setdefault(tuple(path.split(".")), set()).add(value)

    def has(self, message: dict[str, Any]) -> bool:
        """Whether this message is one of them."""
        if self._keys and message.get("key") not in self._keys:
            return False
        return all(_text(_field(message["value"], path)) in values for path, values in self._fields.items())


def _field(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    from headgate.core.codec import json_encode

    return value if isinstance(value, str) else json_encode(value).decode()


async def _by_url(stream: str, url: str, headers: Mapping[str, str], start: str, limit: int | None) -> Messages:
    from headgate.client import StreamClient

    async with StreamClient(url, headers=headers) as client, aclosing(client.follow(stream, start, limit)) as messages:
        async for line, message in messages:
            yield line, message


async def _by_config(name: str, files: list[Path], start: str) -> Messages:
    from headgate.app.connect import Connections
    from headgate.core.codec import decode_json
    from headgate.core.position import parse_start
    from headgate.core.wire import envelopes

    plan = load(files[0], files[1:])
    connections = Connections()
    try:
        stream = _readable(name, connections, plan)
        async with stream.subscribe(parse_start(start)) as subscription:
            while True:
                batch = await subscription.take()
                if batch.missed:
                    yield b"", {"gap": {"missed": batch.missed}}
                for line in envelopes(batch.messages, stream.codec, batch.position):
                    yield line, decode_json(line)
    finally:
        await connections.close()


def _readable(name: str, connections: "Connections", plan: "Plan") -> "LiveStream":
    if name not in plan.streams:
        near = get_close_matches(name, plan.streams, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(plan.streams)}"
        raise NotFound(f"the configuration has no stream {name!r}{hint}")
    stream = plan.streams[name]
    if stream.transport == "memory":
        raise Refused(f"stream {name!r} lives in the memory of its gate; say where that is with --url")
    if stream.delivery == "queue":
        raise Refused(f"stream {name!r} is a queue: what is read is gone from it; read it through its gate, with --url")
    return connections.stream(stream, plan.connections)


async def _tail(messages: Messages, wanted: Wanted, limit: int | None, as_json: bool) -> None:
    shown = 0
    async with aclosing(messages):
        async for line, message in messages:
            if "gap" in message:
                print(_gap(message["gap"]["missed"]), file=sys.stderr)
            elif wanted.has(message):
                print(line.decode() if as_json else pretty(message), flush=limit is None)
                shown += 1
                if shown == limit:
                    break
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
