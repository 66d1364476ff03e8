"""`headgate ingest`: the messages of a file go into the database behind a gate, each once."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headgate.cli.options import DEFAULT_HEADER, DEFAULT_URL, ApiKey, ApiKeyHeader, Json, Url, key_headers, load
from headgate.cli.progress import Progress
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    import httpx2

    from headgate.client.ingest import Settled
    from headgate.client.source import Source
    from headgate.client.transfer import Transfer

File = Annotated[str, typer.Argument(help="The file, also gzipped (.gz); - is standard input.", show_default=False)]
Files = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="Straight into the database that this file names; may be repeated."),
]
Replay = Annotated[bool, typer.Option("--replay", help="FILE is a stream: its dead letters are sent once more.")]
At = Annotated[
    str | None, typer.Option("--path", help="Where the ingest interface is; default: /ingest.", show_default=False)
]
As = Annotated[
    Literal["text", "csv", "ndjson", "json"] | None,
    typer.Option("--form", help="What the file holds; default: what its name ends with.", show_default=False),
]
Entity = Annotated[str | None, typer.Option(help="Whose records CSV and JSON are.")]
Mode = Annotated[
    Literal["best_effort", "atomic"] | None, typer.Option(help="Keep what is good, or all of the file or nothing.")
]
OnDuplicate = Annotated[
    Literal["skip", "error", "update"] | None, typer.Option(help="What becomes of a row whose key is there already.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Try everything, and keep nothing.")]
Errors = Annotated[Path | None, typer.Option(help="Write the refused lines there, to be mended and sent again.")]
State = Annotated[Path | None, typer.Option(help="Where it keeps how far it came; default: beside the file.")]
_SHOWN = 10  # errors; all of them stand in the file of --errors
_EVERY = 10.0  # seconds between lines where nobody watches a bar
_INTERRUPTED = 130


def command(
    file: File,
    url: Url = DEFAULT_URL,
    config: Files = None,
    path: At = None,
    replay: Replay = False,
    form: As = None,
    entity: Entity = None,
    mode: Mode = None,
    on_duplicate: OnDuplicate = None,
    dry_run: DryRun = False,
    errors: Errors = None,
    state: State = None,
    api_key: ApiKey = None,
    api_key_header: ApiKeyHeader = DEFAULT_HEADER,
    as_json: Json = False,
) -> None:
    """Put the messages of a file into the database. Exit 1 when one was refused.

    When it is interrupted, the same command goes on where it was.
    """
    from headgate.client.ingest import GateDestination
    from headgate.client.replay import default_place
    from headgate.client.source import Form, open_source
    from headgate.client.transfer import Transfer, default_state

    given = {"entity": entity, "mode": mode, "on_duplicate": on_duplicate, "dry_run": "true" if dry_run else None}
    parameters = {name: value for name, value in given.items() if value}
    headers = key_headers(api_key, api_key_header)
    whole = mode == "atomic" or dry_run  # what has to be one transaction cannot be sent in portions
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        there = _gate(config, path, runner, stack) if config else _There(url, path or "/ingest", headers)
        if replay:
            kept = state or default_place(file)
            after = kept.read_text().strip() if kept.exists() else ""
            source, place = runner.run(_letters(there, file, after or None, stack))
        else:
            source = open_source(file, Form(form) if form else None, stack, sys.stdin.buffer, whole=whole)
        if state is not None and source.path is None and not replay:
            raise typer.BadParameter("standard input cannot be gone on with: leave --state out")
        watch = _Watch(source, stack.enter_context(Progress("rows", every=_EVERY)))
        destination = GateDestination(
            there.url,
            there.path,
            media=source.form.media,
            parameters=parameters,
            waits=watch.waits,
            sent=watch.sent,
            transport=there.transport,
            headers=there.headers,
        )
        stack.callback(lambda: runner.run(destination.close()))
        asked = {"url": there.url, "path": there.path, **parameters}
        state = None if replay else state or default_state(source)
        transfer = stack.enter_context(
            Transfer(source, destination, asked=asked, whole=whole, state=state, refused=errors)
        )
        _carry_out(transfer, watch, runner)
        if replay and place is not None and not dry_run:
            kept.write_text(place)
    _tell(transfer, dry_run=dry_run, as_json=as_json)
    if transfer.counts["failed"]:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _There:
    """Where an ingest interface is."""

    url: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: "httpx2.AsyncBaseTransport | None" = None


def _gate(config: list[Path], path: str | None, runner: asyncio.Runner, stack: ExitStack) -> _There:
    """A gate of our own, without a server: the database is the one that its configuration names."""
    import httpx2

    from headgate.app.direct import direct_plan
    from headgate.app.gate import Gate

    plan = direct_plan(load(config[0], config[1:]), path)
    gate = Gate(plan)
    runner.run(gate.__aenter__())
    stack.callback(lambda: runner.run(gate.close()))
    return _There("http://headgate", plan.interfaces[0].path or "", transport=httpx2.ASGITransport(gate.app))


async def _letters(there: _There, stream: str, after: str | None, stack: ExitStack) -> "tuple[Source, str | None]":
    import httpx2

    from headgate.client.replay import dead_letters

    async with httpx2.AsyncClient(headers=there.headers, transport=there.transport, trust_env=False) as http:
        return await dead_letters(http, there.url, stream, after, stack)


def _carry_out(transfer: "Transfer", watch: "_Watch", runner: asyncio.Runner) -> None:
    watch.begins(transfer)
    try:
        # Between portions nothing runs in the loop, so that Ctrl-C ends waiting for a slow pipe at once.
        while portion := transfer.take():
            watch.settled(runner.run(transfer.keep(portion)), transfer)
    except KeyboardInterrupt:
        watch.says(f"headgate: interrupted{transfer.how_to_go_on()}")
        raise typer.Exit(_INTERRUPTED) from None
    except HeadgateError as error:
        raise HeadgateError(f"{error}{transfer.how_to_go_on()}") from None
    transfer.finish()


class _Watch:
    """What a person sees of a transfer while it goes on."""

    def __init__(self, source: "Source", progress: Progress) -> None:
        self._source, self._progress = source, progress
        self._shown = 0

    def begins(self, transfer: "Transfer") -> None:
        if transfer.begun:
            self.says(f"goes on from {transfer.place}")
            self._progress.begin_at(self._source.share(transfer.checkpoint.offset))

    def sent(self, offset: int) -> None:
        self._progress.share = self._source.share(offset)
        self._progress.add(0)

    def waits(self, reason: str) -> None:
        self.says(f"{reason}; trying again")

    def settled(self, settled: "Settled", transfer: "Transfer") -> None:
        if settled.nothing_kept:
            self.says(settled.nothing_kept)
        for number, reason in settled.errors[: _SHOWN - self._shown]:
            self.says(f"{transfer.named(number)}: {reason}")
        self._shown = min(_SHOWN, self._shown + len(settled.errors))
        self._progress.add(settled.counts["processed"], settled.counts["failed"])

    def says(self, text: str) -> None:
        self._progress.say(text)


def _tell(transfer: "Transfer", *, dry_run: bool, as_json: bool) -> None:
    """What became of everything, also of what an earlier run sent."""
    counts = transfer.counts
    if (hidden := counts["failed"] - _SHOWN) > 0:
        print(f"... and {hidden:,} more", file=sys.stderr)
    if transfer.omitted:
        print(f"the gate did not say which {transfer.omitted:,} of them are (its max_errors)", file=sys.stderr)
    if as_json:
        print(json.dumps(counts | {"errors_omitted": transfer.omitted, "dry_run": dry_run}))
        return
    words = {"inserted": "inserted", "updated": "updated", "duplicates": "there already", "failed": "refused"}
    parts = [f"{counts[name]:,} {word}" for name, word in words.items() if counts[name] or name == "inserted"]
    tried = "; a dry run: nothing was kept" if dry_run else ""
    print(f"{counts['processed']:,} rows: {', '.join(parts)}{tried}", file=sys.stderr)
