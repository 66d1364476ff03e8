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
KEY_VARIABLE, HEADER_VARIABLE = "HEADGATE_API_KEY", "HEADGATE_API_KEY_HEADER"
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar=KEY_VARIABLE,
        help="Who you are, for a gate that asks. In the environment it stays out of the list of processes.",
        show_default=False,
    ),
]
ApiKeyHeader = Annotated[
    str,
    typer.Option("--api-key-header", envvar=HEADER_VARIABLE, help="The header that brings it."),
]
DEFAULT_HEADER = "X-API-Key"
DEFAULT_URL = "http://127.0.0.1:8080"


def key_of_environment() -> tuple[str | None, str]:
    """The key that the environment names, and the header for it."""
    return os.environ.get(KEY_VARIABLE), os.environ.get(HEADER_VARIABLE) or DEFAULT_HEADER


def key_headers(api_key: str | None, header: str) -> dict[str, str]:
    """The headers that say who sends a request. Raises a `BadParameter` that does not show the key."""
    if not api_key:
        return {}
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise typer.BadParameter("an API key has printable ASCII characters alone, and no blanks")
    return {header: api_key}


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
