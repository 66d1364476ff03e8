"""`headgate demo`: something to look at, within a second and without any set-up."""

import sys
from functools import partial
from typing import TYPE_CHECKING

from headgate.cli import examples
from headgate.cli.options import load
from headgate.cli.run import Host, Port, announce

if TYPE_CHECKING:
    from headgate.app.gate import Gate


def command(host: Host = None, port: Port = None) -> None:
    """Serve a small simulated factory and say how to watch it."""
    from headgate.app.serve import run

    given = {"service.host": host, "service.port": port}
    overrides = {key: value for key, value in given.items() if value is not None}
    config = examples.find("asset-stream") / "headgate.yaml"
    run(partial(load, config, None, overrides), _announce)


def _announce(gate: "Gate", url: str) -> None:
    announce(gate, url)
    lines = [
        "",
        "Try, in another terminal:",
        f"  curl -N '{url}/asset_stream?asset_uuid=PROVER3018&id=Zact'",
        f"  curl {url}/streams",
        f"  curl {url}/streams/notes/messages -H 'Content-Type: application/json' -d '{{\"say\":\"hello\"}}'",
        "",
        "Ctrl-C ends it.",
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)
