"""`headgate generate-ingestion`: a standalone ingestion server for your entities."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate.errors import ConfigError

Entities = Annotated[Path, typer.Option("--entities", help="The folder of the entities, or one file.")]
Output = Annotated[Path, typer.Option("--output", help="The folder to write to.")]
Database = Annotated[Literal["postgresql", "sqlite"], typer.Option("--database", help="Which database it uses.")]
Port = Annotated[int, typer.Option("--port", min=1, max=65_535, help="The port that it listens on.")]
Force = Annotated[bool, typer.Option("--force", help="Write over files that were changed by hand.")]


def command(
    entities: Entities, output: Output, database: Database = "postgresql", port: Port = 8080, force: Force = False
) -> None:
    """Write the server. Exit 1 when files that were changed by hand stayed as they are."""
    from headgate.core.table import Dialect
    from headgate.generate.manifest import write
    from headgate.generate.server import server_files
    from headgate.spec.entities.resolve import load_entities
    from headgate.spec.tree import Mark

    found, problems = load_entities([(entities, Mark("--entities"))])
    if problems:
        raise ConfigError(problems)
    done = write(output, server_files(found, Dialect(database), port), force=force)
    for diff in done.diffs:
        print(diff, end="")
    for entity in found:
        if entity.storage is None:
            print(f"left out: {entity.name} has no table", file=sys.stderr)
        elif entity.derivation is not None:
            told = f"{entity.name} comes by lines of its own only: the server derives nothing"
            print(f"note: {told} from {entity.derivation.parent}", file=sys.stderr)
    told = f"{len(done.written)} written, {len(done.unchanged)} unchanged"
    print(f"{output}: {told}" + (f", {len(done.kept)} kept" if done.kept else ""), file=sys.stderr)
    if done.kept:
        print(f"changed by hand, so not written: {', '.join(done.kept)} (--force writes them)", file=sys.stderr)
        raise typer.Exit(1)
