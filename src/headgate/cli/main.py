"""The command `headgate`: its sub-commands, and how an error becomes a message and an exit code."""

import sys
from typing import Annotated

import typer

from headgate import __version__
from headgate.cli import (
    bridge,
    check,
    commands,
    config,
    demo,
    doctor,
    generate_ingestion,
    ingest,
    keys,
    new,
    run,
    schema,
    send,
    tail,
    up,
)
from headgate.errors import ConfigError, HeadgateError, NodeError, Unauthorized

FAILED, WRONG = 1, 2  # exit codes: failed at run time; the configuration or the usage is wrong

app = typer.Typer(
    name="headgate",
    help="The HTTP gate to your event streams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for room in (run, up, check, demo, new, tail, send, ingest, generate_ingestion, bridge, schema, doctor):
    app.command(name=room.__name__.rpartition(".")[2].replace("_", "-"))(room.command)
app.add_typer(commands.app, name="command")
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")


def _version(asked: bool) -> None:
    if asked:
        print(f"headgate {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The HTTP gate to your event streams."""


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
    except HeadgateError as error:
        hint = "; set HEADGATE_API_KEY" if isinstance(error, Unauthorized) else ""
        print(f"headgate: {error}{hint}", file=sys.stderr)
        sys.exit(WRONG if isinstance(error, NodeError) else FAILED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has seen enough
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
