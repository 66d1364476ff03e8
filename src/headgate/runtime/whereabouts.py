"""Where a process is: enough to tell, for another one on the same machine, that it is gone."""

import os
import secrets
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")  # containers count their processes each from 1


def whereabouts() -> str:
    """What nobody else says of themselves."""
    return f"{_machine()}/{os.getpid()}/{secrets.token_hex(8)}"


def is_gone(other: str) -> bool:
    """Whether who said this is certainly not running any more."""
    machine, _, rest = other.rpartition("/")[0].rpartition("/")
    if not _machine() or machine != _machine() or not rest.isdecimal():
        return False
    if int(rest) == os.getpid():
        return False  # another part of this process, or one before it that had the same number: time will tell
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@cache
def _machine() -> str:
    """This machine since its start, and this container of it; nothing where that cannot be told."""
    try:
        return f"{_BOOT.read_text().strip()}:{_NAMESPACE.readlink().name}"
    except OSError:
        return ""
