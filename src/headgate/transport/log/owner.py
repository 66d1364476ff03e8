"""The owner: a token of this process that others can see the death of."""

import fcntl
import os
import secrets
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


class Owner:
    """Holds a lock on a file of its own while it lives; the system lets go of it however the process ends.

    So a queue's claims need no clock and no heartbeat: who can take the lock of an owner knows that it is dead.
    """

    def __init__(self, log: Path) -> None:
        self._folder = log.with_name(f"{log.name}-owners")
        self.token = secrets.token_hex(8)
        self._descriptor: int | None = None

    def hold(self) -> None:
        """Take the lock, before the first claim."""
        if self._descriptor is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._folder / self.token, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def dead_among(self, tokens: Collection[str]) -> list[str]:
        """Those of these owners that no process holds."""
        return [token for token in tokens if self._is_dead(token)]

    def _is_dead(self, token: str) -> bool:
        try:
            descriptor = os.open(self._folder / token, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        with suppress(FileNotFoundError):  # another process may have found it dead, too
            (self._folder / token).unlink()
        return True

    def let_go(self) -> None:
        """Give the lock up and leave no file behind."""
        if self._descriptor is not None:
            (self._folder / self.token).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None
            with suppress(OSError):  # somebody else's file is in it
                self._folder.rmdir()
