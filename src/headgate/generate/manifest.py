"""The manifest: what was written the last time, so that nobody's changes are written over."""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headgate.errors import HeadgateError

NAME = ".headgate-generated.json"
_EXECUTABLE = 0o755


@dataclass(slots=True)
class Written:
    """What became of the files."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # somebody changed them
    diffs: list[str] = field(default_factory=list)


def write(folder: Path, files: Mapping[str, str], *, force: bool) -> Written:
    """Write files into a folder; those that were changed by hand stay, unless forced. Raises a `HeadgateError`."""
    done = Written()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = _known(folder)
        for name, text in files.items():
            _write_one(folder / name, name, text, known, done, force=force)
        hashes = {name: known.get(name, "") if name in done.kept else _hash(text) for name, text in files.items()}
        (folder / NAME).write_text(json.dumps({"files": hashes}, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise HeadgateError(f"cannot write to {folder}: {error.strerror or error}") from None
    return done


def _write_one(path: Path, name: str, text: str, known: Mapping[str, str], done: Written, *, force: bool) -> None:
    there = path.read_text() if path.exists() else None
    if there == text:
        done.unchanged.append(name)
        return
    if there is not None:
        done.diffs.append(_diff(name, there, text))
        if _hash(there) != known.get(name) and not force:
            done.kept.append(name)
            return
    path.write_text(text)
    if name.endswith(".sh"):
        path.chmod(_EXECUTABLE)
    done.written.append(name)


def _known(folder: Path) -> Mapping[str, str]:
    """The hashes of what was written the last time. A manifest that cannot be read says nothing."""
    try:
        found = json.loads((folder / NAME).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _diff(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), name, f"{name} (new)")
    return "".join(lines)
