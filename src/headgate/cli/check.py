"""`headgate check`: is the file right?"""

import asyncio
import json
import sys
from dataclasses import asdict

import typer

from headgate.cli.options import Config, Json, Overlays, load
from headgate.errors import ConfigError


def command(config: Config, overlays: Overlays = None, as_json: Json = False) -> None:
    """Say everything that is wrong with the file, as file:line:column: message. Exit 2 when something is."""
    from headgate.app.gate import rehearse

    try:
        plan = load(config, overlays)
    except ConfigError as error:
        if not as_json:
            raise
        print(json.dumps({"problems": [asdict(problem) for problem in error.problems]}, indent=2))
        raise typer.Exit(2) from None
    nodes = asyncio.run(rehearse(plan))
    for warning in [*plan.warnings, *plan.without_routes(())]:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(plan.summary(), indent=2, default=str))
    else:
        counted = f"{len(plan.streams)} streams, {len(nodes)} nodes, {len(plan.interfaces)} interfaces"
        entities = f", {len(plan.entities)} entities" if plan.entities else ""
        print(f"{config}: fine ({counted}{entities})")
