"""The script: a stand-in for a program that tests do not want to run."""

from pathlib import Path


def script(folder: Path, name: str, body: str) -> Path:
    """A program that stands for another one, in a folder to be put on the path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path
