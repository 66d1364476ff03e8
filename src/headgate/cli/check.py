"""`headgate check`: is the file right?"""

import json
import sys

from headgate.cli.options import Config, Json, Overlays, load


def command(config: Config, overlays: Overlays = None, as_json: Json = False) -> None:
    """Say everything that is wrong with the file, as file:line:column: message. Exit 2 when something is."""
    from headgate.app.gate import declared

    plan = load(config, overlays)
    nodes = declared(plan)
    for warning in [*plan.warnings, *plan.without_routes(())]:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(plan.summary(), indent=2, default=str))
    else:
        print(f"{config}: fine ({len(plan.streams)} streams, {len(nodes)} nodes, {len(plan.interfaces)} interfaces)")
