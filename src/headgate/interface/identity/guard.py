"""The guard: asks each request who sends it."""

from collections.abc import Iterable

from headgate.errors import Unauthorized
from headgate.interface.identity.caller import Caller
from headgate.interface.identity.keyring import Keyring

_BEARER = b"bearer "


class Guard:
    """Stands in front of everything that a gate serves."""

    def __init__(self, keyring: Keyring, *, header: str, realm: str) -> None:
        self.header = header
        self._keyring = keyring
        self._name = header.lower().encode()
        self._challenge = f'ApiKey realm="{_quoted(realm)}", header="{header}", Bearer realm="{_quoted(realm)}"'

    def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who sends a request with these headers. Raises `Unauthorized`."""
        given = [value for name, value in headers if name in (self._name, b"authorization")]
        if not given:
            raise self._refused(f"this gate asks who you are; send a key in the header {self.header}")
        if len(given) > 1:  # which of them counts is nothing to guess about
            raise self._refused(f"several keys came with this request; send one, in the header {self.header}")
        caller = self._keyring.find(_key(given[0]))
        if caller is None:
            raise self._refused("this key is not known here; it may be mistyped or revoked")
        return caller

    def _refused(self, message: str) -> Unauthorized:
        return Unauthorized(message, challenge=self._challenge)


def _key(value: bytes) -> bytes:
    return value[len(_BEARER) :].strip() if value[: len(_BEARER)].lower() == _BEARER else value


def _quoted(text: str) -> str:
    """As a quoted string of a header, whose value is Latin-1."""
    plain = text.encode("ascii", "replace").decode()
    return plain.replace("\\", "\\\\").replace('"', '\\"')
