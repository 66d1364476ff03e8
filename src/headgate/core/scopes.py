"""Scopes: what somebody may do, in words that stand in tokens and beside keys.

`read:assets` reads the stream `assets`, wherever it is served. `write:/api/v1/commands` uses that path and what lies
below it. `read:assets#PROVER*` is for messages with such keys alone. `*` stands for anything, and alone for everything.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

READ, WRITE = "read", "write"
MOST = 100  # scopes of one caller

_SCOPE = re.compile(r"(read|write|\*):([!-\"$-+\--~]{1,200})(?:#([!-+\--~]{1,200}))?")


class BadScope(ValueError):
    """This is no scope."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of messages that somebody may have to do with. No patterns: all, also messages without one."""

    patterns: tuple[str, ...] = ()

    def fit(self, key: bytes | None) -> bool:
        """Whether a message with this key is one of those."""
        return not self.patterns or (key is not None and fits(self.patterns, key))


ALL_KEYS = Keys()


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing that somebody may do."""

    verb: str  # read, write, *
    target: str  # a path, or the name of a stream; * stands for anything in it
    key: str = ""  # a pattern; empty: any key

    def __str__(self) -> str:
        return f"{self.verb}:{self.target}" + (f"#{self.key}" if self.key else "")

    def covers(self, verb: str, targets: Iterable[str]) -> bool:
        """Whether it is about this verb and one of these targets."""
        return self.verb in (verb, "*") and any(map(self._has, targets))

    def _has(self, target: str) -> bool:
        if self.target.startswith("/") and target.startswith(self.target.rstrip("/") + "/"):
            return True
        return _matches(self.target, target)


EVERYTHING = (Scope("*", "*"),)


def read_scope(text: str) -> Scope:
    """A scope as it is written. Raises a `BadScope`."""
    if text == "*":
        return EVERYTHING[0]
    match = _SCOPE.fullmatch(text)
    if match is None:
        raise BadScope("a scope is read:, write: or *:, then a stream or a path, and maybe # and a pattern of keys")
    return Scope(match[1], match[2], match[3] or "")


def known_scopes(texts: Iterable[object]) -> tuple[Scope, ...]:
    """Those of these words that are scopes: tokens carry others, which are for other services."""
    found = (_scope(text) for text in texts)
    return tuple(scope for scope in found if scope is not None)[:MOST]


def granted(scopes: Sequence[Scope], verb: str, targets: Sequence[str]) -> Keys | None:
    """The keys with which somebody with these scopes may do this to a thing that has these names; None: with none."""
    patterns: list[str] = []
    for scope in scopes:
        if scope.covers(verb, targets):
            if not scope.key or scope.key == "*":
                return ALL_KEYS
            patterns.append(scope.key)
    return Keys(tuple(sorted(set(patterns)))) if patterns else None


def fits(patterns: Iterable[str], key: bytes) -> bool:
    """Whether one of these patterns is that of a key."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return False
    return any(_matches(pattern, text) for pattern in patterns)


def _scope(text: object) -> Scope | None:
    try:
        return read_scope(text) if isinstance(text, str) else None
    except BadScope:
        return None


def _matches(pattern: str, text: str) -> bool:
    """Whether a text is like a pattern, in which * stands for any characters. Nothing is tried twice."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
