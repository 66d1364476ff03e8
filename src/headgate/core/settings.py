"""Settings: what services are told while they run, folded from the messages of one stream.

The key `source/service/name` says whom a value is for; `*` stands for every source or service. The latest value
of a key counts, and one for more clears earlier ones for less: `*/monitor/bins` clears `left/monitor/bins`.

A stream forgets its oldest messages, so values are **repeated** before they would go. A repeated message carries
the version of the one that it repeats: whoever reads it knows as much as who read that one, and a repetition that
crosses a newer value on its way changes nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headgate.core.codec import decode_json
from headgate.core.message import Message
from headgate.errors import CodecError, SettingConflict, SettingRefused

ANY = "*"
MOST_KEYS = 10_000
KEPT_VERSIONS = 20  # of each key, for those who ask what it was
ID, EXPECTS, REPEATS = "message_id", "headgate-expects", "headgate-repeats"  # headers
_LONGEST = 200  # characters in one part of a key


class Key(msgspec.Struct, frozen=True, order=True):
    """Whom a value is for, and what it is called."""

    source: str
    service: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read `source/service/name`; a `SettingRefused` for anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not all(0 < len(part) <= _LONGEST and part.isprintable() for part in parts):
            raise SettingRefused(
                f"{text[:80]!r} is no key; write source/service/name, with * for every source or service"
            )
        if parts[2] == ANY:
            raise SettingRefused(f"{text[:80]!r} is no key: its last part names one setting and cannot be *")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.source}/{self.service}/{self.name}"

    def covers(self, other: "Key") -> bool:
        """Whether it is for more than `other`, and for all that that is for."""
        wide = self.source in (ANY, other.source) and self.service in (ANY, other.service)
        return wide and self.name == other.name and self != other

    def wider(self) -> "Iterator[Key]":
        """The keys that cover it."""
        for source in dict.fromkeys((self.source, ANY)):
            for service in dict.fromkeys((self.service, ANY)):
                if (source, service) != (self.source, self.service):
                    yield Key(source, service, self.name)

    def is_for(self, service: str) -> bool:
        """Whether it concerns this service."""
        return self.service in (ANY, service)


class Entry(msgspec.Struct, frozen=True):
    """One value of one key."""

    key: Key
    text: bytes  # JSON; empty when the value was taken away
    version: int  # the place after the message that set it
    timestamp: int
    message_id: str
    place: int  # the place after the newest message that says so

    @property
    def is_set(self) -> bool:
        return bool(self.text)

    @property
    def value(self) -> Any:
        """The value, decoded."""
        return decode_json(self.text)

    def again(self, now: int) -> Message[bytes]:
        """The message that repeats it."""
        since = f"{self.version} {self.timestamp}".encode()
        headers = ((ID, self.message_id.encode()), (REPEATS, since))
        return Message(value=self.text, key=str(self.key).encode(), headers=headers, timestamp=now)


class Update(msgspec.Struct, frozen=True):
    """What a message says."""

    entry: Entry
    expects: int | None = None  # the version that the key must have; 0 for none
    repeats: bool = False


def change(key: Key, text: bytes, message_id: str, expects: int | None = None) -> Message[bytes]:
    """The message that sets a key, if it still has the version that is expected. An empty text takes it away."""
    headers: tuple[tuple[str, bytes], ...] = ((ID, message_id.encode()),)
    if expects is not None:
        headers += ((EXPECTS, str(expects).encode()),)
    return Message(value=text, key=str(key).encode(), headers=headers)


def message_id_of(message: Message[bytes]) -> str:
    """What its sender calls a message; its place, where it has no name."""
    given = dict(message.headers).get(ID)
    return str(message.offset) if given is None else given.decode("utf-8", "replace")[:_LONGEST]


def read_update(message: Message[bytes]) -> Update:
    """What a message says. Raises `SettingRefused` when that is nothing that can be understood."""
    if message.partition:
        raise SettingRefused("settings need a stream with one partition: between several there is no order")
    headers = dict(message.headers)
    try:
        key = Key.parse((message.key or b"").decode())
        if message.value:
            decode_json(message.value)
        expects = int(headers[EXPECTS]) if EXPECTS in headers else None
        repeated = [int(number) for number in headers.get(REPEATS, b"").split()]
        version, timestamp = repeated or (message.offset + 1, message.timestamp)
    except (UnicodeDecodeError, ValueError, CodecError) as error:
        raise SettingRefused(f"the message at {message.offset} is no setting: {error}") from None
    entry = Entry(key, message.value, version, timestamp, message_id_of(message), message.offset + 1)
    return Update(entry, expects, bool(repeated))


Check = Callable[[Mapping[Key, Entry], Entry], None]
"""Refuses an entry beside those that would be there with it, by a `SettingRefused`."""


@dataclass(slots=True)
class Settings:
    """The values of all keys, as they are after the messages that were applied in their order."""

    check: Check = lambda _, __: None
    most: int = MOST_KEYS
    entries: dict[Key, Entry] = field(default_factory=dict)
    history: dict[Key, deque[Entry]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Settings: {sum(entry.is_set for entry in self.entries.values())} keys>"

    def apply(self, update: Update) -> bool:
        """Do what a message says; False when that is over already. Raises `SettingConflict` or `SettingRefused`."""
        entry, current = update.entry, self.entries.get(update.entry.key)
        if current is not None and update.repeats and current.version == entry.version:
            self.entries[entry.key] = msgspec.structs.replace(current, place=entry.place)
            return False
        if self._is_over(entry):
            return False
        self.admit(entry, update.expects)
        self._clear(entry)
        self.entries[entry.key] = entry
        self.history.setdefault(entry.key, deque(maxlen=KEPT_VERSIONS)).append(entry)
        return True

    def admit(self, entry: Entry, expects: int | None) -> None:
        """Refuse what could not be applied."""
        if expects is not None and expects != (found := self.version(entry.key)):
            told = f"has version {found}" if found else "is not set"
            raise SettingConflict(f"{entry.key} {told}, not {expects}: somebody else was faster; look, and try again")
        if entry.key not in self.entries and len(self.entries) >= self.most:
            raise SettingRefused(f"there are {self.most} keys already, and no room for another")
        if entry.is_set:
            self.check(self._with(entry), entry)

    def version(self, key: Key) -> int:
        """The version of a key; 0 when it is not set."""
        entry = self.entries.get(key)
        return entry.version if entry is not None and entry.is_set else 0

    def _is_over(self, entry: Entry) -> bool:
        newer = (self.entries.get(key) for key in (entry.key, *entry.key.wider()))
        return any(other is not None and other.version > entry.version for other in newer)

    def _with(self, entry: Entry) -> Mapping[Key, Entry]:
        left = {key: other for key, other in self.entries.items() if not _clears(entry, other)}
        return left | {entry.key: entry}

    def _clear(self, entry: Entry) -> None:
        if ANY in (entry.key.source, entry.key.service):
            for key in [key for key, other in self.entries.items() if _clears(entry, other)]:
                del self.entries[key]

    def due(self, before: int) -> list[Entry]:
        """The entries that no message after this place says, the oldest first: they are to be repeated."""
        return sorted((e for e in self.entries.values() if e.place <= before), key=lambda entry: entry.version)


def _clears(entry: Entry, other: Entry) -> bool:
    return entry.version > other.version and entry.key.covers(other.key)


def values_for(entries: Mapping[Key, Entry], service: str) -> dict[str, dict[str, Any]]:
    """What counts for each source of a service, by name, and for all others (`*`): the latest of all that is for it."""
    for_all: list[Entry] = []
    by_source: dict[str, list[Entry]] = {}
    for entry in entries.values():
        if entry.is_set and entry.key.is_for(service):
            own = for_all if entry.key.source == ANY else by_source.setdefault(entry.key.source, [])
            own.append(entry)
    return {ANY: _latest(for_all)} | {source: _latest([*for_all, *own]) for source, own in by_source.items()}


def _latest(entries: list[Entry]) -> dict[str, Any]:
    return {entry.key.name: entry.value for entry in sorted(entries, key=lambda entry: entry.version)}
