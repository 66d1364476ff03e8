"""The keyring: the keys that are good now. A file of them is read again when it changes."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from headgate.core.api_keys import ApiKey, digest_of
from headgate.core.scopes import EVERYTHING, Scope
from headgate.errors import ConfigError
from headgate.interface.identity.caller import Caller
from headgate.spec.key_file import read_key_file

logger = logging.getLogger("headgate.web")
_LOOK_EVERY = 1.0  # second


class Keyring:
    """Finds out whose key this is.

    How long that takes says nothing of the keys: what is looked up is the hash of a key, and the dictionary goes by a
    hash of that under a secret of the process. Nothing is compared byte by byte with what somebody chose.
    """

    def __init__(self, keys: Sequence[ApiKey], file: Path | None, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._file = file
        self._clock = clock
        self._seen: object = None
        self._callers: dict[bytes, Caller] = {}
        self._look_at = clock() + _LOOK_EVERY
        self._read()

    def __repr__(self) -> str:
        return f"<Keyring: {len(self._callers)} keys>"

    def find(self, key: bytes) -> Caller | None:
        """Whose key this is, if it is one."""
        if self._file is not None and self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK_EVERY
            self._look(self._file)
        return self._callers.get(digest_of(key))

    def _look(self, file: Path) -> None:
        """Read the file again if it is another one. While it is wrong, the keys stay as they were."""
        try:
            if _signature(file) != self._seen:
                self._read()
                logger.info("the keys were read again", extra={"keys": len(self._callers)})
        except (OSError, ConfigError) as error:
            logger.error("the keys stay as they were: %s", error)

    def _read(self) -> None:
        keys = list(self._keys)
        if self._file is not None:
            self._seen = _signature(self._file)  # before it is read: what changes meanwhile is seen the next time
            keys += read_key_file(self._file)
        self._callers = {key.digest: Caller(key.name, scopes=_shared(key.scopes)) for key in keys}


def _shared(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    # Whoever may do everything is known by that very object: nothing has to be compared for them.
    return EVERYTHING if EVERYTHING[0] in scopes else scopes


def _signature(file: Path) -> object:
    facts = file.stat()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
