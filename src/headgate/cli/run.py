"""`headgate run`: serve what a file says."""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from headgate import __version__
from headgate.cli.options import Config, Overlays, load

if TYPE_CHECKING:
    from headgate.app.gate import Gate
    from headgate.spec.plan import InterfacePlan, Plan

Host = Annotated[str | None, typer.Option(help="Listen here instead of where the file says.")]
Group = Annotated[
    str | None, typer.Option("--group", help="Run the nodes of this process group alone, and serve nobody.")
]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes a free one.")]


def command(
    config: Config, overlays: Overlays = None, host: Host = None, port: Port = None, group: Group = None
) -> None:
    """Serve what the file says, until SIGTERM or Ctrl-C. SIGHUP reads the file again."""
    from headgate.app.serve import run

    given = {"service.host": host, "service.port": port}
    overrides = {key: value for key, value in given.items() if value is not None}
    read = partial(load, config, overlays, overrides)
    run(read if group is None else partial(_lone, read, group), announce)


def _lone(read: Callable[[], "Plan"], group: str) -> "Plan":
    from headgate.app.lone import lone_plan

    return lone_plan(read(), group)


def announce(gate: "Gate", url: str) -> None:
    """Say that the gate serves, and what."""
    for warning in [*gate.plan.warnings, *gate.plan.without_routes(())]:
        print(f"warning: {warning}", file=sys.stderr)
    service = gate.plan.service
    if gate.plan.alone is not None:
        words = f"{service.name}, group {gate.plan.alone} alone, on {url}"
        print(f"headgate {__version__}: {words}", file=sys.stderr, flush=True)
        return
    print(f"headgate {__version__}: {service.name} on {url}", file=sys.stderr)
    for stream in gate.streams.values():
        facts = f"{stream.transport_name}, {stream.codec.name}, {stream.settings.delivery}"
        print(f"  {stream.name:<20} {url}/streams/{stream.name}/messages  ({facts})", file=sys.stderr)
    for interface in gate.plan.interfaces:
        if interface.path is not None:
            print(f"  {interface.kind:<20} {_address(interface, url)}", file=sys.stderr)
    if service.auth.enabled:
        print(f"  {'keys':<20} clients send theirs in the header {service.auth.header}", file=sys.stderr)
    elif service.open:
        print("  open: anyone who can reach this address may read and publish", file=sys.stderr)
    else:
        print("  nobody is asked who they are: it serves this machine alone", file=sys.stderr)
    print(f"  {'docs':<20} {url}/docs", file=sys.stderr, flush=True)


def _address(interface: "InterfacePlan", url: str) -> str:
    """Where an interface is, with what a client has to say there."""
    asked = [f"{item.name}=" for item in interface.follow.filters if item.required] if interface.follow else []
    scheme = url.replace("http", "ws", 1) if interface.kind == "websocket" else url
    return scheme + (interface.path or "") + ("?" + "&".join(asked) if asked else "")
