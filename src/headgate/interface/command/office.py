"""The office: what one command interface has, for those who serve its routes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from headgate.core.command import Catalog
from headgate.runtime.command.desk import Desk


@dataclass(frozen=True, slots=True)
class Office:
    """One interface. `drained` returns when the gate shuts down and nobody may wait longer."""

    path: str
    service: str
    version: str
    catalog: Catalog
    desk: Desk
    most_commands: int  # in a batch
    uptime: Callable[[], float]  # seconds
    troubles: Callable[[], list[str]]  # why commands cannot be published just now
    drained: Callable[[], Awaitable[object]]

    @property
    def base(self) -> str:
        """What stands before the paths that are not about commands."""
        return self.path.rpartition("/")[0] or self.path
