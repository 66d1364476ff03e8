"""The book of commands: what a store keeps of each, in the same transactions as its notes. A session has it.

A command's row is written by three: who accepts it (when it has an idempotency key or is for later), who publishes
it, and who reads the streams of commands and of answers. They may come in any order, and more than once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headgate.core.command_status import Status


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command. Times are seconds since the epoch."""

    request_id: str
    scope: str  # the interface that it belongs to
    device_id: str
    command_type: str
    protocol: str
    status: Status
    accepted: float
    updated: float
    priority: int = 0
    published: float | None = None
    expires: float | None = None
    due: float | None = None  # when it is to be published
    publish_by: float | None = None  # when that is given up
    taken: bool = False  # it is being published: too late to cancel it
    key: str | None = None  # what a repeated request is known by
    fingerprint: str | None = None  # of the request that came first with it
    body: bytes | None = field(default=None, repr=False)  # until it is published
    history: str = ""
    number: int = 0  # given by the store: later ones have higher numbers


@dataclass(frozen=True, slots=True)
class Step:
    """A command came to a state. What else is known of it counts when it has no row yet, or an incomplete one."""

    request_id: str
    status: Status
    at: float
    detail: str = ""
    device_id: str = ""
    command_type: str = ""
    protocol: str = ""
    accepted: float | None = None
    expires: float | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class CommandQuery:
    """Which commands are asked for; the newest first."""

    scope: str
    device_id: str | None = None
    command_type: str | None = None
    statuses: tuple[Status, ...] = ()
    since: float | None = None
    until: float | None = None
    before: int | None = None  # the number of the last one of the page before
    most: int = 100


class CommandBook(Protocol):
    """What a session does with commands."""

    def accept_commands(self, rows: Sequence[CommandRow]) -> list[CommandRow | None]:
        """Keep these. For each None, or the one that is there already: under its key, or else its id.

        Of several with one key or id the first is kept.
        """
        ...

    def advance_commands(self, scope: str, steps: Sequence[Step]) -> None:
        """Commands came to these states, in this order. What comes a second time changes nothing."""
        ...

    def find_commands(self, scope: str, request_ids: Sequence[str]) -> list[CommandRow]:
        """Those of these that there are, in any order."""
        ...

    def list_commands(self, query: CommandQuery) -> list[CommandRow]:
        """A page of commands."""
        ...

    def due_commands(self, scope: str, now: float, most: int) -> list[CommandRow]:
        """Accepted commands that are to be published now: by priority, then by time, then as they were accepted."""
        ...

    def next_due(self, scope: str) -> float | None:
        """When the next command is due."""
        ...

    def take_commands(self, scope: str, request_ids: Sequence[str]) -> list[str]:
        """Those of these that are accepted still; none of them can be cancelled from now on."""
        ...

    def cancel_command(self, scope: str, request_id: str, at: float) -> CommandRow | None:
        """Cancel a command that nobody took yet. Its row as it is then; None when there is none."""
        ...

    def revive_command(self, row: CommandRow) -> bool:
        """Accept a command again that was given up, with this row's times and body, unless somebody did so already."""
        ...

    def expire_commands(self, scope: str, now: float) -> list[tuple[str, Status]]:
        """Those whose time is over become expired, those that were not published in time are given up."""
        ...

    def forget_commands(self, scope: str, before: float, most: int) -> int:
        """Let go of commands that were accepted before then; tell how many. What is not published yet stays."""
        ...
