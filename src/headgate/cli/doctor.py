"""`headgate doctor`: try every connection of a file and say what is wrong."""

import asyncio
import json
import platform
import sys
from typing import TYPE_CHECKING, Any

import typer

from headgate import __version__
from headgate.cli.options import Config, Json, Overlays, load
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.spec.plan import Plan

_PATIENCE = 10.0  # seconds for one stream to answer


def command(config: Config, overlays: Overlays = None, as_json: Json = False) -> None:
    """Try each stream of the file, and say which answers and what is wrong with the others. Exit 1 if one fails."""
    plan = load(config, overlays)
    findings = [_here(), asyncio.run(_nodes(plan)), *asyncio.run(_streams(plan))]
    if as_json:
        print(json.dumps(findings, indent=2))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding['ok'] else 'FAIL'}  {finding['what']}: {finding['detail']}")
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(1)


def _here() -> dict[str, Any]:
    detail = f"headgate {__version__}, Python {platform.python_version()} on {sys.platform}"
    return {"what": "this machine", "ok": sys.version_info >= (3, 11), "detail": detail}


async def _nodes(plan: "Plan") -> dict[str, Any]:
    from headgate.app.gate import rehearse

    try:
        nodes = await rehearse(plan)
    except HeadgateError as error:
        return {"what": "the plan", "ok": False, "detail": str(error)}
    return {"what": "the plan", "ok": True, "detail": f"{len(plan.streams)} streams, {len(nodes)} nodes"}


async def _streams(plan: "Plan") -> list[dict[str, Any]]:
    from headgate.app.connect import Connections

    connections = Connections()
    try:
        return [await _try(connections, plan, name) for name in plan.streams]
    finally:
        await connections.close()


async def _try(connections: Any, plan: "Plan", name: str) -> dict[str, Any]:
    stream_plan = plan.streams[name]
    what = f"stream {name} ({stream_plan.transport})"
    try:
        async with asyncio.timeout(_PATIENCE):
            extent = await connections.stream(stream_plan, plan.connections).extent()
    except HeadgateError as error:
        return {"what": what, "ok": False, "detail": str(error)}
    except TimeoutError:
        return {"what": what, "ok": False, "detail": f"no answer within {_PATIENCE:g} s"}
    return {"what": what, "ok": True, "detail": f"{extent.messages} messages"}
