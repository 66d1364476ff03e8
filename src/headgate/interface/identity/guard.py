"""The guard: asks each request who sends it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from headgate.errors import Unauthorized
from headgate.interface.identity.caller import Caller
from headgate.interface.identity.keyring import Keyring

CERTIFIED = "cert:"  # in the names of callers, before what stands in their certificates
_BEARER = b"bearer "
_DOTS = 2  # of a signed token


class BadToken(Exception):
    """This token is not good; the message says why, and nothing of what is in it."""


class Bearers(Protocol):
    """Who finds out whom a token speaks for."""

    async def find(self, token: bytes) -> Caller:
        """Whose token this is. Raises `BadToken`, or `Unavailable` when that cannot be found out just now."""
        ...


class Guard:
    """Stands in front of everything that a gate serves."""

    def __init__(
        self, keyring: Keyring, *, header: str, realm: str, bearers: Bearers | None = None, shown: Sequence[Caller] = ()
    ) -> None:
        self.header = header
        self._keyring, self._bearers = keyring, bearers
        self._shown = {caller.name.removeprefix(CERTIFIED): caller for caller in shown}
        self._name = header.lower().encode()
        self._challenge = f'ApiKey realm="{_quoted(realm)}", header="{header}", Bearer realm="{_quoted(realm)}"'

    def certified(self, names: Iterable[str]) -> Caller | None:
        """Who shows a certificate with these names, if that is one of those we know."""
        return next((self._shown[name] for name in names if name in self._shown), None)

    def known(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller | None:
        """Who sends a request with this one key, if that is so plain."""
        given = [value for name, value in headers if name == self._name or name == b"authorization"]
        return self._keyring.find(given[0]) if len(given) == 1 else None

    def is_given(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether there is a key or a token: who sends a wrong one is not taken for somebody else."""
        return any(name in (self._name, b"authorization") for name, _ in headers)

    async def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who sends a request with these headers. Raises `Unauthorized`, or `Unavailable`."""
        given = [value for name, value in headers if name in (self._name, b"authorization")]
        if not given:
            raise self._refused(f"this gate asks who you are; send a key in the header {self.header}")
        if len(given) > 1:  # which of them counts is nothing to guess about
            raise self._refused(f"several keys came with this request; send one, in the header {self.header}")
        key = _key(given[0])
        caller = self._keyring.find(key)
        if caller is not None:
            return caller
        if self._bearers is not None and key is not given[0] and key.count(b".") == _DOTS:
            try:
                return await self._bearers.find(key)
            except BadToken as error:
                raise self._refused(str(error), ', error="invalid_token"') from None
        raise self._refused("this key is not known here; it may be mistyped or revoked")

    def _refused(self, message: str, more: str = "") -> Unauthorized:
        return Unauthorized(message, challenge=self._challenge + more)


def _key(value: bytes) -> bytes:
    return value[len(_BEARER) :].strip() if value[: len(_BEARER)].lower() == _BEARER else value


def _quoted(text: str) -> str:
    """As a quoted string of a header, whose value is Latin-1."""
    plain = text.encode("ascii", "replace").decode()
    return plain.replace("\\", "\\\\").replace('"', '\\"')
