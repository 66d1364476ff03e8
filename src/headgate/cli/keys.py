"""`headgate keys`: a file of API keys. What is kept of a key is its hash; the key itself is shown once."""

import json
import os
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.options import Json
from headgate.core.api_keys import BYTES, ApiKey, digest_of, is_name, line_of, make_key, without
from headgate.core.scopes import EVERYTHING, BadScope, Scope, read_scope
from headgate.errors import HeadgateError
from headgate.spec.key_file import read_key_file

Named = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.", show_default=False)]
File = Annotated[Path, typer.Option("--file", "-f", help="The file of keys.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option(help="What it is for, as read:assets; may be repeated. Default: everything.", show_default=False),
]
DEFAULT_FILE = Path("keys.txt")

app = typer.Typer(help="Keys for clients, in a file that `service.auth.keys_file` names.", no_args_is_help=True)


@app.command()
def new(name: Named, file: File = DEFAULT_FILE, scope: Scopes = None) -> None:
    """Make a key and print it: this once, for the file keeps its hash. A gate that runs takes it within a second."""
    if not is_name(name):
        raise typer.BadParameter("a name is 1 to 64 letters, digits and _ . @ -")
    if name in {key.name for key in _read(file)}:
        raise HeadgateError(f"{file} has a key of {name} already; give this one another name, such as {name}-2")
    scopes = _scopes(scope)
    text = make_key(secrets.token_bytes(BYTES))
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    _append(file, line_of(ApiKey(name, digest_of(text.encode()), made, scopes)))
    print(text)
    print(f"the key of {name}; {file} keeps its hash, and nothing can show it again", file=sys.stderr)


@app.command(name="list")
def list_keys(file: File = DEFAULT_FILE, as_json: Json = False) -> None:
    """Say whose keys there are."""
    keys = _read(file)
    if as_json:
        told = [{"name": key.name, "made": key.made or None, "scopes": list(map(str, key.scopes))} for key in keys]
        print(json.dumps(told, indent=2))
        return
    for key in keys:
        print(f"{key.name:<24} {key.made:<20}  {' '.join(map(str, key.scopes))}")


@app.command()
def revoke(name: Named, file: File = DEFAULT_FILE) -> None:
    """Take a key away. A gate that runs refuses it within a second."""
    if name not in {key.name for key in _read(file)}:
        raise HeadgateError(f"{file} has no key of {name}; `headgate keys list` says whose it has")
    try:
        _replace(file, without(file.read_text(), name))
    except OSError as error:
        raise HeadgateError(f"cannot write {file}: {error.strerror}") from None
    print(f"the key of {name} is revoked", file=sys.stderr)


def _scopes(texts: list[str] | None) -> tuple[Scope, ...]:
    try:
        return tuple(map(read_scope, texts)) if texts else EVERYTHING
    except BadScope as error:
        raise typer.BadParameter(str(error)) from None


def _read(file: Path) -> list[ApiKey]:
    try:
        return read_key_file(file)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HeadgateError(f"cannot read {file}: {error.strerror}") from None


def _append(file: Path, line: str) -> None:
    """Add a line, in one piece: whoever reads meanwhile sees all of it or nothing."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(handle).st_size
            ended = not size or os.pread(handle, 1, size - 1) == b"\n"
            os.write(handle, (line if ended else "\n" + line).encode())
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise HeadgateError(f"cannot write {file}: {error.strerror}") from None


def _replace(file: Path, text: str) -> None:
    """Put another file in its place, with the same rights."""
    with tempfile.NamedTemporaryFile("w", dir=file.resolve().parent, prefix=".keys-", delete=False) as other:
        try:
            other.write(text)
            other.flush()
            os.fsync(other.fileno())
            Path(other.name).chmod(file.stat().st_mode & 0o777)
            Path(other.name).replace(file.resolve())
        except BaseException:
            Path(other.name).unlink()
            raise
