"""`headgate send`: publish lines to a stream of a running gate."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from headgate.cli.options import DEFAULT_HEADER, DEFAULT_URL, ApiKey, ApiKeyHeader, Json, Url, key_headers
from headgate.cli.progress import Progress
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.client.streams import Published

Stream = Annotated[str, typer.Argument(help="The stream's name.", show_default=False)]
Values = Annotated[list[str] | None, typer.Argument(help="Messages to send.", show_default=False)]
File = Annotated[str | None, typer.Option("--file", "-f", help="Send each line of this file; - is standard input.")]
Key = Annotated[str | None, typer.Option(help="The key of the messages.")]
Numbered = Sequence[tuple[int, bytes]]  # the number of each line, and the line
BATCH = 1000
_CHUNK = 256 * 1024
_LONGEST = 64 * 1024 * 1024


def command(
    stream: Stream,
    values: Values = None,
    file: File = None,
    key: Key = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    api_key_header: ApiKeyHeader = DEFAULT_HEADER,
    as_json: Json = False,
) -> None:
    """Publish messages, and return when all are acknowledged. Exit 1 when one was not."""
    if (file is None) == (not values):
        raise typer.BadParameter("give messages as arguments, or a file with --file")
    headers = key_headers(api_key, api_key_header)
    outcome = Outcome()
    with ExitStack() as stack:
        given = list(enumerate([value.encode("utf-8", "surrogateescape") for value in values or []], 1))
        source = _batches(given) if file is None else _lines(_opened(file, stack), file)
        asyncio.run(_send(url, headers, stream, source, key, outcome))
    for number, reason in outcome.errors.items():
        print(f"{'message' if file is None else 'line'} {number}: {reason}", file=sys.stderr)
    if as_json:
        facts = {"published": outcome.published, "failed": outcome.read - outcome.published}
        print(json.dumps(facts | {"position": outcome.position}))
    else:
        print(f"{outcome.published} of {outcome.read} messages acknowledged", file=sys.stderr)
    if outcome.published < outcome.read:
        raise typer.Exit(1)


def _opened(file: str, stack: ExitStack) -> BufferedReader:
    if file == "-":
        return cast("BufferedReader", sys.stdin.buffer)
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as error:
        raise HeadgateError(f"cannot read {file}: {error.strerror}") from None


def _lines(opened: BufferedReader, file: str) -> Iterator[Numbered]:
    """The lines that say something, in batches. What a pipe has now is not kept waiting for more."""
    number, rest = 0, b""
    for chunk in _chunks(opened, file):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST:
            raise HeadgateError(f"line {number + len(whole) + 1} of {file} is longer than {_LONGEST:,} bytes")
        yield from _batches(_numbered(whole, number + 1))
        number += len(whole)
    yield from _batches(_numbered([rest], number + 1))


def _chunks(opened: BufferedReader, file: str) -> Iterator[bytes]:
    try:
        while chunk := opened.read1(_CHUNK):
            yield chunk
    except OSError as error:
        raise HeadgateError(f"cannot read {file}: {error.strerror}") from None


def _numbered(texts: Sequence[bytes], first: int) -> Numbered:
    stripped = ((number, text.rstrip(b"\r")) for number, text in enumerate(texts, first))
    return [(number, text) for number, text in stripped if text]


def _batches(numbered: Numbered) -> Iterator[Numbered]:
    for first in range(0, len(numbered), BATCH):
        yield numbered[first : first + BATCH]


async def _send(
    url: str, headers: Mapping[str, str], stream: str, source: Iterator[Numbered], key: str | None, outcome: "Outcome"
) -> None:
    from headgate.client import StreamClient
    from headgate.core.message import Message

    named = None if key is None else key.encode()
    async with StreamClient(url, headers=headers) as client:
        with Progress("messages") as progress:
            for numbered in source:
                batch = [Message(value=value, key=named) for _, value in numbered]
                try:
                    published = await client.publish(stream, batch)
                except HeadgateError as error:
                    if not outcome.published:
                        raise
                    raise HeadgateError(f"after {outcome.published} acknowledged messages: {error}") from None
                outcome.add(numbered, published)
                progress.add(len(numbered))


class Outcome:
    """What became of all that was sent."""

    def __init__(self) -> None:
        self.read = 0
        self.published = 0
        self.position: str | None = None
        self.errors: dict[int, str] = {}  # by the number of the line, or of the argument

    def add(self, numbered: Numbered, published: "Published") -> None:
        """One more batch was answered."""
        self.errors |= {numbered[index][0]: reason for index, reason in published.errors.items()}
        self.read += len(numbered)
        self.published += len(published.positions)
        self.position = published.positions[-1] if published.positions else self.position
