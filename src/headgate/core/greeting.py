"""The greeting: how the two sides of a link agree on a version and make the connection's own name and keys.

    client -> HELLO    its versions, its nonce, who it is
    server -> WELCOME  the version, its nonce
    both               frames under a key and a name that hold both nonces

A recorded hello earns nobody more than a welcome: what follows must be signed under a name with a new nonce in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from headgate.core.frames import Kdf, Opener, Sealer, derive
from headgate.errors import FrameMalformed, VersionMismatch

_T = TypeVar("_T")

HELLO, WELCOME = 1, 2
VERSIONS = (1,)
NONCE = 16  # bytes
LIMIT = 4096  # bytes of a greeting


@dataclass(frozen=True, slots=True)
class Rules:
    """What both sides of a link are configured with."""

    secret: bytes
    kdf: Kdf = Kdf.NONE
    ttl: float = 30.0  # seconds
    window: int = 100_000  # counters
    limit: int = 1_048_576  # bytes of a payload

    def __repr__(self) -> str:
        return f"<Rules: {self.kdf}, {self.ttl:g} s, {self.limit} bytes>"


class _Hello(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    versions: Sequence[int]
    nonce: bytes
    name: str


class _Welcome(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int  # 0: none of yours
    nonce: bytes
    versions: Sequence[int]


_encode = msgspec.msgpack.Encoder().encode
_hello = msgspec.msgpack.Decoder(_Hello)
_welcome = msgspec.msgpack.Decoder(_Welcome)


class Client:
    """The side that connects."""

    def __init__(self, rules: Rules, name: str, nonce: bytes, versions: Sequence[int] = VERSIONS) -> None:
        self._rules, self._name, self._nonce, self._versions = rules, name, nonce, versions

    def hello(self, *, now: int) -> bytes:
        """The first frame."""
        sealer = Sealer(_greeting_key(self._rules), b"hello", limit=LIMIT)
        return sealer.seal(HELLO, _encode(_Hello(self._versions, self._nonce, self._name)), now=now)

    def welcomed(self, frame: bytes, kinds: Sequence[int], *, now: int) -> tuple[Sealer, Opener]:
        """What to talk with from here on. May raise a `FrameRefused` or `VersionMismatch`."""
        key = _greeting_key(self._rules)
        opener = Opener(key, b"welcome" + self._nonce, kinds=(WELCOME,), ttl=self._rules.ttl, window=1)
        welcome = _decoded(_welcome, opener.open(frame, now=now)[1])
        if welcome.version not in self._versions:
            raise VersionMismatch(f"here versions {_list(self._versions)}, there {_list(welcome.versions)}")
        return _session(self._rules, self._nonce + welcome.nonce, b"client", b"server", kinds)


class Server:
    """The side that is connected to."""

    def __init__(self, rules: Rules, nonce: bytes) -> None:
        self._rules, self._nonce = rules, nonce
        self._theirs: _Hello | None = None

    def greeted(self, frame: bytes, *, now: int) -> str:
        """Who says hello. Not believed before a frame of the session is. May raise a `FrameRefused`."""
        opener = Opener(_greeting_key(self._rules), b"hello", kinds=(HELLO,), ttl=self._rules.ttl, window=1)
        self._theirs = _decoded(_hello, opener.open(frame, now=now)[1])
        if len(self._theirs.nonce) != NONCE:
            raise FrameMalformed(f"a nonce has {NONCE} bytes")
        return self._theirs.name

    def welcome(self, *, now: int) -> tuple[bytes, int]:
        """The answer, and the version that was agreed on; 0 when there is none."""
        assert self._theirs is not None
        version = max(set(VERSIONS) & set(self._theirs.versions), default=0)
        sealer = Sealer(_greeting_key(self._rules), b"welcome" + self._theirs.nonce, limit=LIMIT)
        return sealer.seal(WELCOME, _encode(_Welcome(version, self._nonce, VERSIONS)), now=now), version

    def session(self, kinds: Sequence[int]) -> tuple[Sealer, Opener]:
        """What to talk with from here on."""
        assert self._theirs is not None
        return _session(self._rules, self._theirs.nonce + self._nonce, b"server", b"client", kinds)


def _greeting_key(rules: Rules) -> bytes:
    return derive(rules.secret, rules.kdf, purpose=b"headgate execution_ipc greeting")


def _session(rules: Rules, nonces: bytes, ours: bytes, theirs: bytes, kinds: Sequence[int]) -> tuple[Sealer, Opener]:
    key = derive(rules.secret, rules.kdf, salt=nonces)
    sealer = Sealer(key, nonces + ours, limit=rules.limit)
    return sealer, Opener(key, nonces + theirs, kinds=frozenset(kinds), ttl=rules.ttl, window=rules.window)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], payload: bytes) -> _T:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameMalformed(f"not a greeting: {error}") from None


def _list(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions)) or "none"
