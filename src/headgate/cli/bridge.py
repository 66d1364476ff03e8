"""`headgate bridge`: move a stream to where an overlay says that it lives."""

import asyncio
import sys
from contextlib import AsyncExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.options import Config, load
from headgate.errors import NotFound, Refused

if TYPE_CHECKING:
    from headgate.runtime.stream import Stream as LiveStream
    from headgate.spec.plan import Plan

Name = Annotated[str, typer.Argument(help="The stream's name.", show_default=False)]
To = Annotated[
    list[Path], typer.Option("--config", "-c", help="The overlay that says where the stream goes; may be repeated.")
]
UntilEnd = Annotated[bool, typer.Option("--until-end", help="End when all is moved that is there; exit 0.")]
Cursors = Annotated[
    list[str] | None,
    typer.Option("--cursor", help="Then let this named reader go on where it was, as node-NAME; may be repeated."),
]


def command(config: Config, stream: Name, to: To, until_end: UntilEnd = False, cursor: Cursors = None) -> None:
    """Move a stream from where the file says that it lives to where the overlay says, each message once.

    It goes on with what comes until Ctrl-C, and where it was when it is started again.
    """
    if cursor and not until_end:
        raise typer.BadParameter("cursors are moved when all messages are: say --until-end, too")
    asyncio.run(_bridge(load(config, None), load(config, to), stream, until_end, cursor or []))


async def _bridge(plan: "Plan", target: "Plan", name: str, until_end: bool, cursors: list[str]) -> None:
    from headgate.runtime.bridge import Bridge, move_cursor

    _refuse_unknown(plan, name)
    if target.streams.get(name) == plan.streams[name] and target.connections == plan.connections:
        raise Refused(f"the overlay leaves stream {name!r} where it is; there is nothing to move")
    async with AsyncExitStack() as stack:
        old, new = await _opened(plan, name, stack), await _opened(target, name, stack)
        bridge = Bridge(old, new)
        print(f"moving {name} from {old.transport_name} to {new.transport_name}", file=sys.stderr, flush=True)
        try:
            await bridge.run(until_end=until_end)
        finally:
            missed = f"; {bridge.missed} were gone before they could be moved" if bridge.missed else ""
            print(f"{bridge.moved} messages moved{missed}", file=sys.stderr, flush=True)
        for cursor in cursors:
            print(f"{cursor} goes on at {await move_cursor(old, new, cursor)}", file=sys.stderr)
    if bridge.missed:
        raise typer.Exit(1)


async def _opened(plan: "Plan", name: str, stack: AsyncExitStack) -> "LiveStream":
    from headgate.app.connect import Connections

    _refuse_unknown(plan, name)
    if plan.streams[name].transport == "memory":
        raise Refused(
            f"stream {name!r} lives in the memory of its gate: lay `transport: http` with its url over it,"
            f" as streams: {{{name}: {{transport: http, url: http://..../streams/{name}/messages}}}}"
        )
    connections = Connections()
    stack.push_async_callback(connections.close)
    stream = connections.stream(plan.streams[name], plan.connections)
    await stream.open()
    stack.push_async_callback(stream.close)
    return stream


def _refuse_unknown(plan: "Plan", name: str) -> None:
    if name not in plan.streams:
        near = get_close_matches(name, plan.streams, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(plan.streams)}"
        raise NotFound(f"the configuration has no stream {name!r}{hint}")
