"""The checkpoint: how far a file of messages was sent, kept in a file so that the rest can be sent later."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from mmap import mmap
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from headgate.client.portions import Portion
from headgate.errors import BadRequest, HeadgateError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is settled of a file, and what was asked for. `run` makes the keys of its portions its own."""

    asked: Mapping[str, str]
    run: str = field(default_factory=lambda: secrets.token_hex(16))
    offset: int = 0
    line: int = 1
    counts: Mapping[str, int] = field(default_factory=dict)
    refused_bytes: int = 0  # of the file of refused lines
    last: int = 0  # where the last portion began that was settled
    digest: str = ""  # of that portion: it tells whether the file is still the one that was sent

    def settled(self, portion: Portion, counts: Mapping[str, int], refused_bytes: int) -> Self:
        """The checkpoint after one more portion."""
        return replace(
            self,
            offset=portion.end,
            line=self.line + portion.breaks,
            counts={name: self.counts.get(name, 0) + count for name, count in counts.items()},
            refused_bytes=refused_bytes,
            last=portion.offset,
            digest=_digest(portion.data),
        )

    def is_of(self, file: BinaryIO) -> bool:
        """Whether this is the file that was sent; and its place is then where it goes on."""
        file.seek(self.last)
        return _digest(file.read(self.offset - self.last)) == self.digest


def _digest(data: bytes | mmap) -> str:
    return hashlib.sha256(data).hexdigest()


def load(path: Path, asked: Mapping[str, str], file: BinaryIO) -> Checkpoint | None:
    """The checkpoint that is kept there, if there is one. Raises a `BadRequest` when it is of something else."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadRequest(f"{path} cannot be read: {error}; remove it to begin again") from None
    if found.asked != asked and not found.offset:
        return None  # nothing of it is settled
    if found.asked != asked:
        differing = sorted(name for name in {**found.asked, **asked} if found.asked.get(name) != asked.get(name))
        was = ", ".join(f"{name} {found.asked.get(name) or 'not given'}" for name in differing)
        raise BadRequest(f"{path} is of another run ({was}); go on with that, or remove it to begin again")
    if found.offset and not found.is_of(file):
        raise BadRequest(f"the file has changed since {path} was written; remove that to begin again")
    return found


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Keep it there. A crash leaves this one or the one before."""
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.encode(checkpoint))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise HeadgateError(f"cannot write {path}: {error.strerror}") from None
