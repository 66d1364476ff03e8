"""`headgate new`: an example as a start for your own."""

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli import examples
from headgate.errors import HeadgateError

Folder = Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)]
Example = Annotated[str, typer.Option("--from", help="The example to start from.")]
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.db*", ".env")


def command(folder: Folder, example: Example = "asset-stream") -> None:
    """Make a folder with an example in it, ready to run and to change."""
    source = examples.find(example)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise HeadgateError(f"{folder} is there and not empty; name another folder")
        shutil.copytree(source, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
    except OSError as error:
        raise HeadgateError(f"cannot make {folder}: {error.strerror or error}") from None
    alone = folder / "headgate.yaml"
    start = f"run {shlex.quote(str(alone))}" if alone.exists() else f"up {shlex.quote(str(folder))}"
    print(f"{folder} is made from {example}. Next:\n  headgate {start}")
