"""The examples that come with Headgate: where they are, and what they are called."""

from importlib.resources import files
from pathlib import Path

from headgate.errors import NotFound


def folder() -> Path:
    """Where the examples are: in the installed package, or beside it in a checkout."""
    installed = Path(str(files("headgate"))) / "examples"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "examples"


def names() -> list[str]:
    """What examples there are."""
    alone = [path.parent.name for path in folder().glob("*/headgate.yaml")]
    return sorted([*alone, *(path.parent.name for path in folder().glob("*/services"))])


def find(name: str) -> Path:
    """The folder of an example."""
    if name not in names():
        raise NotFound(f"there is no example {name!r}; there are: {', '.join(names())}")
    return folder() / name
