"""The arguments that several commands have, and how they become a plan."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headgate.spec.plan import Plan

Config = Annotated[Path, typer.Argument(help="The YAML file.", show_default=False)]
Overlays = Annotated[
    list[Path] | None, typer.Option("--config", "-c", help="A file that is laid over it; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Url = Annotated[str, typer.Option("--url", help="The gate's address.")]
DEFAULT_URL = "http://127.0.0.1:8080"


def load(config: Path, overlays: Sequence[Path] | None, overrides: Mapping[str, object] | None = None) -> "Plan":
    """The plan of these files."""
    from headgate.app.plugins import KNOWN_CODECS, KNOWN_TRANSPORTS
    from headgate.spec.resolve import load_plan

    return load_plan(
        [config, *(overlays or [])],
        environ=os.environ,
        overrides=overrides or {},
        known_transports=KNOWN_TRANSPORTS,
        known_codecs=KNOWN_CODECS,
    )
