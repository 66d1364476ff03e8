"""Files that a configuration names: one of them, or all of a folder."""

from collections.abc import Iterator
from pathlib import Path

from headgate.errors import Problem
from headgate.spec.tree import Mark, quoted

MOST_FILES = 1000


def yaml_files(path: Path, mark: Mark, problems: list[Problem]) -> Iterator[Path]:
    """The file, or those of the folder. What cannot be found is a problem at the mark."""
    files = [path]
    if path.is_dir():
        visible = (file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and file.name[0] != ".")
        files = sorted(visible)[: MOST_FILES + 1]
    if not files:
        problems.append(mark.problem(f"there is no .yaml file in the folder {quoted(str(path))}"))
    if len(files) > MOST_FILES:
        problems.append(mark.problem(f"the folder {quoted(str(path))} holds more than {MOST_FILES} files"))
    elif path.exists():
        yield from files
    else:
        problems.append(mark.problem(f"there is no file or folder {quoted(str(path))}"))
