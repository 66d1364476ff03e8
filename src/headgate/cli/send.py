"""`headgate send`: publish lines to a stream of a running gate."""

import asyncio
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from headgate.cli.options import DEFAULT_URL, Json, Url
from headgate.cli.progress import Progress
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.client.streams import Published

Stream = Annotated[str, typer.Argument(help="The stream's name.", show_default=False)]
Values = Annotated[list[str] | None, typer.Argument(help="Messages to send.", show_default=False)]
File = Annotated[str | None, typer.Option("--file", "-f", help="Send each line of this file; - is standard input.")]
Key = Annotated[str | None, typer.Option(help="The key of the messages.")]
BATCH = 1000


def command(
    stream: Stream,
    values: Values = None,
    file: File = None,
    key: Key = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Publish messages, and return when all are acknowledged. Exit 1 when one was not."""
    if (file is None) == (not values):
        raise typer.BadParameter("give messages as arguments, or a file with --file")
    try:
        source = iter(value.encode() for value in values or []) if file is None else _lines(file)
        outcome = asyncio.run(_send(url, stream, source, key))
    except OSError as error:
        raise HeadgateError(f"cannot read {file}: {error.strerror}") from None
    for line, reason in outcome.errors.items():
        print(f"message {line}: {reason}", file=sys.stderr)
    if as_json:
        facts = {"published": outcome.published, "failed": outcome.read - outcome.published}
        print(json.dumps(facts | {"position": outcome.position}))
    else:
        print(f"{outcome.published} of {outcome.read} messages acknowledged", file=sys.stderr)
    if outcome.published < outcome.read:
        raise typer.Exit(1)


def _lines(file: str) -> Iterator[bytes]:
    if file == "-":
        yield from _stripped(sys.stdin.buffer)
    else:
        with Path(file).open("rb") as opened:
            yield from _stripped(opened)


def _stripped(opened: BinaryIO) -> Iterator[bytes]:
    for line in opened:
        if text := line.rstrip(b"\r\n"):
            yield text


async def _send(url: str, stream: str, source: Iterator[bytes], key: str | None) -> "Outcome":
    from headgate.client import StreamClient
    from headgate.core.message import Message

    outcome = Outcome()
    named = None if key is None else key.encode()
    async with StreamClient(url) as client:
        with Progress("messages") as progress:
            while values := list(islice(source, BATCH)):
                batch = [Message(value=value, key=named) for value in values]
                try:
                    published = await client.publish(stream, batch)
                except HeadgateError as error:
                    raise HeadgateError(f"after {outcome.published} acknowledged messages: {error}") from None
                outcome.add(len(values), published)
                progress.add(len(values))
    return outcome


class Outcome:
    """What became of all that was sent."""

    def __init__(self) -> None:
        self.read = 0
        self.published = 0
        self.position: str | None = None
        self.errors: dict[int, str] = {}  # by line, from 1

    def add(self, count: int, published: "Published") -> None:
        """One more batch was answered."""
        self.errors |= {self.read + index + 1: reason for index, reason in published.errors.items()}
        self.read += count
        self.published += len(published.positions)
        self.position = published.positions[-1] if published.positions else self.position
