"""The likeness: keys that a database has beside those that an entity names, told as far as the entity is about them.

The order of columns in a key is nobody's business, and keys that a user added stay the user's.
"""

from collections.abc import Sequence

from headgate.core.entity import ForeignKey

Key = tuple[str, ...]


def found_key(wanted: Key, found: Sequence[Key]) -> Key:
    """The primary key: of the one or none that is there."""
    key = found[0] if found else ()
    return wanted if set(wanted) == set(key) else key


def found_unique(wanted: Key, found: Sequence[Key]) -> Key:
    """The unique columns, if they are among those that are there."""
    return wanted if any(set(wanted) == set(key) for key in found) else ()


def found_foreign_keys(wanted: Sequence[ForeignKey], found: Sequence[ForeignKey]) -> tuple[ForeignKey, ...]:
    """The foreign keys that are wanted and there; or all that are there, to be told, when one is not."""
    there = {(key.table, frozenset(zip(key.columns, key.references, strict=True))) for key in found}
    missing = [
        key for key in wanted if (key.table, frozenset(zip(key.columns, key.references, strict=True))) not in there
    ]
    return tuple(found) if missing else tuple(wanted)
