"""The assignment: all that a worker is told, through a pipe that nobody else can read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.core.frames import Kdf
from headgate.core.greeting import Rules
from headgate.runtime.node import Manners


class Port(msgspec.Struct, frozen=True):
    """A stream, as far as a worker needs to know it."""

    stream: str
    kind: str
    codec: str
    codec_options: Mapping[str, Any] = {}


class Task(msgspec.Struct, frozen=True):
    """A node, and what goes in and out of it."""

    node: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    manners: Manners


class Duties(msgspec.Struct, frozen=True):
    """What all workers of a group do."""

    group: str
    is_async: bool
    modules: tuple[str, ...]
    folders: tuple[str, ...]  # that go on the import path
    tasks: tuple[Task, ...]
    heartbeat: float  # seconds
    log_level: str = "info"


class Assignment(msgspec.Struct, frozen=True):
    """What one worker does, and whom it reports to. Holds the secret of the links."""

    worker: str
    duties: Duties
    host: str
    port: int
    secret: bytes
    kdf: str
    ttl: float
    window: int
    limit: int

    def __repr__(self) -> str:
        return f"<Assignment of {self.worker}>"

    def rules(self) -> Rules:
        """The rules of its link."""
        return Rules(self.secret, Kdf(self.kdf), self.ttl, self.window, self.limit)

    def write(self) -> bytes:
        """As bytes for the pipe."""
        return msgspec.msgpack.encode(self)

    @staticmethod
    def read(data: bytes) -> "Assignment":
        """From the pipe's bytes."""
        return msgspec.msgpack.decode(data, type=Assignment)
