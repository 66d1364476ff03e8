"""API keys: what is kept of them, and the lines of a file of them.

A key is never kept, only its SHA-256: keys that `headgate keys new` makes are 256 random bits, so that nothing
slower is needed.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headgate.core.scopes import EVERYTHING, BadScope, Scope, read_scope

BYTES = 32  # of randomness in a key that is made here
SHORTEST_SAFE = 16  # characters, for a key that somebody thought of
LONGEST = 512
PREFIX = "hgk_"  # so that a key is known for one where it does not belong
MOST_KEYS = 10_000

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_KEY = re.compile(r"[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: whose it is, and what is kept of it."""

    name: str
    digest: bytes
    made: str = ""
    scopes: tuple[Scope, ...] = EVERYTHING


class BadKey(ValueError):
    """This is no key, or no line of a file of keys; the message does not show it."""


def make_key(randomness: bytes) -> str:
    """A new key out of so much randomness."""
    return PREFIX + urlsafe_b64encode(randomness).decode().rstrip("=")


def digest_of(key: bytes) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key).digest()


def split_keys(text: str) -> list[str]:
    """The keys of a text that has commas, blanks or line breaks between them."""
    return re.split(r"[\s,]+", text.strip(" \t\r\n,")) if text.strip(" \t\r\n,") else []


def read_key(text: str, name: str) -> ApiKey:
    """A key as it is, or its hash. Raises a `BadKey`."""
    if match := _HASH.fullmatch(text):
        return ApiKey(name, bytes.fromhex(match[1]))
    if text.startswith("sha256:"):
        raise BadKey("begins with sha256: and needs 64 hexadecimal digits in lower case after it")
    if not _KEY.fullmatch(text) or len(text) > LONGEST:
        raise BadKey(f"must be 1 to {LONGEST} printable ASCII characters without blanks")
    return ApiKey(name, digest_of(text.encode()))


def is_guessable(text: str) -> bool:
    """Whether a key is so short that somebody could find it by trying."""
    return len(text) < SHORTEST_SAFE and not _HASH.fullmatch(text)


def is_name(text: str) -> bool:
    """Whether a key may be called this."""
    return _NAME.fullmatch(text) is not None


def line_of(key: ApiKey) -> str:
    """A key as a line of a file."""
    made = f" made={key.made}" if key.made else ""
    scopes = "" if key.scopes == EVERYTHING else f" scopes={','.join(map(str, key.scopes))}"
    return f"sha256:{key.digest.hex()} name={key.name}{made}{scopes}\n"


def read_lines(text: str) -> tuple[list[ApiKey], list[tuple[int, str]]]:
    """The keys of a file, and what is wrong with which of its lines."""
    keys: list[ApiKey] = []
    wrong: list[tuple[int, str]] = []
    names: set[str] = set()
    for number, line in _said(text.splitlines()):
        try:
            key = _read_line(line, f"key-{number}")
            if key.name in names:
                raise BadKey(f"another key is called {key.name} already")
        except BadKey as error:
            wrong.append((number, str(error)))
        else:
            names.add(key.name)
            keys.append(key)
    if len(keys) > MOST_KEYS:
        wrong.append((1, f"there are {len(keys):,} keys; {MOST_KEYS:,} are the limit"))
    return keys, wrong


def without(text: str, name: str) -> str:
    """A file without the key of this name; everything else is as it was."""
    dropped = {number for number, line in _said(text.splitlines()) if _is_called(line, number, name)}
    return "".join(line for number, line in enumerate(text.splitlines(keepends=True), 1) if number not in dropped)


def _said(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return ((number, line) for number, line in stripped if line and not line.startswith("#"))


def _read_line(line: str, name: str) -> ApiKey:
    key, *facts = line.split()
    known = {"name": name, "made": "", "scopes": ""}
    for fact in facts:
        word, equals, value = fact.partition("=")
        if not equals or word not in known:
            raise BadKey("after the key, only name=, made= and scopes= may follow")
        known[word] = value
    if not is_name(known["name"]):
        raise BadKey("a name is 1 to 64 letters, digits and _ . @ -")
    return ApiKey(known["name"], read_key(key, "").digest, known["made"], _read_scopes(known["scopes"]))


def _read_scopes(text: str) -> tuple[Scope, ...]:
    try:
        return tuple(map(read_scope, text.split(","))) if text else EVERYTHING
    except BadScope as error:
        raise BadKey(str(error)) from None


def _is_called(line: str, number: int, name: str) -> bool:
    try:
        return _read_line(line, f"key-{number}").name == name
    except BadKey:
        return False
