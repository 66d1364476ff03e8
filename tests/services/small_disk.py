"""A small disk: a file system of its own in memory, which can be full. It takes the right to mount one."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemon import Unavailable
from tests.services.postgres import unprivileged

_BLOCK = 64 * 1024


@dataclass(frozen=True)
class SmallDisk:
    """A folder on it, which the services may write to."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, *, but: int = 0) -> None:
        """Leave no more than so many bytes."""
        with self._ballast.open("ab", buffering=0) as ballast:
            while (left := self._left() - but) > 0:
                ballast.write(b"\0" * min(left, _BLOCK))

    def free(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def _left(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """A disk of this size while the block lasts. Raises `Unavailable` where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="headgate-disk-", ignore_cleanup_errors=True) as name:
        owner = ["-o", f"size={megabytes}m,mode=0755,uid={unprivileged() or os.geteuid()}"]
        mounted = subprocess.run(["mount", "-t", "tmpfs", *owner, "tmpfs", name], check=False, capture_output=True)
        if mounted.returncode != 0:
            raise Unavailable(f"no disk can be mounted: {mounted.stderr.decode().strip()}")
        try:
            yield SmallDisk(Path(name))
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)
