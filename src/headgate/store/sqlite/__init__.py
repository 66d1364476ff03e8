"""SQLite as a store: a file, one writer at a time, everything synced when it is committed."""

from headgate.store.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
