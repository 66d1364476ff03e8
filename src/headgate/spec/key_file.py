"""The file of keys: read when the configuration is, and again when it changes."""

from collections.abc import Iterator
from pathlib import Path

from headgate.core.api_keys import ApiKey, read_lines
from headgate.errors import ConfigError, Problem
from headgate.spec.tree import Mark

_LARGEST = 4 * 1024 * 1024


def read_key_file(path: Path) -> list[ApiKey]:
    """The keys of a file. Raises a `ConfigError`, or an `OSError`."""
    keys, wrong = read_lines(_text(path))
    if wrong:
        raise ConfigError([Problem(str(path), line, 1, message) for line, message in wrong])
    return keys


def problems(path: Path, named_at: Mark) -> Iterator[Problem]:
    """What is wrong with the file that is named there."""
    try:
        read_key_file(path)
    except ConfigError as error:
        yield from error.problems
    except OSError as error:
        hint = "; make it with `headgate keys new`" if isinstance(error, FileNotFoundError) else ""
        yield named_at.problem(f"service.auth.keys_file cannot be read: {error.strerror or error}{hint}")


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ConfigError([Problem(str(path), 1, 1, f"a file of keys has at most {_LARGEST // 2**20} MiB")])
    return content.decode("utf-8", "replace")
