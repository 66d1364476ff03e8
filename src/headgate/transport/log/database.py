"""The file: how it is opened, what its tables are, and what its errors mean."""

import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate.errors import StorageFull, TransportError, Unavailable

Connection = Any  # sqlite3.Connection, or what a test stands in for it: execute, executemany, close
Connect = Callable[[str], Connection]

VERSION = 1
BUSY_SECONDS = 5.0
_AGAIN_SECONDS = 0.01
_TABLES = """
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,                   -- once: no index, as one that is damaged would hide the stream
    epoch TEXT NOT NULL,
    seal INTEGER NOT NULL,                -- a checksum of name and epoch
    next INTEGER NOT NULL DEFAULT 0,      -- the offset that the next message gets
    high INTEGER NOT NULL DEFAULT 0,      -- the latest timestamp so far
    trimmed INTEGER NOT NULL DEFAULT 0,   -- rows before this offset are deleted
    taken INTEGER NOT NULL DEFAULT 0,     -- a queue: what was given out at least once
    dropped INTEGER NOT NULL DEFAULT 0    -- a queue: what had to go before anybody had it
);
CREATE TABLE IF NOT EXISTS cursors (
    stream INTEGER NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (stream, name)
) WITHOUT ROWID;
-- What a queue's readers hold; a row without an owner came back and is given out first.
CREATE TABLE IF NOT EXISTS claims (
    stream INTEGER NOT NULL, first INTEGER NOT NULL, stop INTEGER NOT NULL, owner TEXT, reader INTEGER,
    turn INTEGER NOT NULL,                -- the order of giving: what came back has low offsets and a late turn
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;
"""


def messages_table(stream: int) -> str:
    """One table per stream: a batch lands on its last page, and a whole stream can be read in order."""
    return f"""CREATE TABLE IF NOT EXISTS messages_{stream} (
        offset INTEGER PRIMARY KEY, high INTEGER NOT NULL, checksum INTEGER NOT NULL, frame BLOB NOT NULL)"""


def connect_sqlite(path: str) -> Connection:
    """A connection that leaves transactions to us."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def open_for_writing(path: Path, durability: str, connect: Connect) -> Connection:
    """Open the file, and make it when it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect(os.fspath(path))
    _use_wal(connection)
    # FULL syncs each commit; NORMAL only at checkpoints, so a power cut may take the commits since the last one.
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    _make_tables(connection, path)
    return connection


def _use_wal(connection: Connection) -> None:
    """Switch a new file to a write-ahead log. SQLite does not wait here for others who do the same, so we do."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except Exception as error:  # whatever library opened it: only what it says is the same
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def _make_tables(connection: Connection, path: Path) -> None:
    if _is_made(connection, path):
        return
    connection.execute("BEGIN IMMEDIATE")
    if _is_made(connection, path):  # by another process, while this one waited
        connection.execute("ROLLBACK")
        return
    for statement in re.sub(r"--.*", "", _TABLES).split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _is_made(connection: Connection, path: Path) -> bool:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise TransportError(f"{path} was written by a newer Headgate (format {version}, this one reads {VERSION})")
    return bool(version == VERSION)


def open_for_reading(path: Path, connect: Connect) -> Connection:
    """Open the file that a writer has made."""
    connection = connect(os.fspath(path))
    connection.execute("PRAGMA query_only = 1")
    return connection


def translated(error: Exception, path: Path) -> TransportError:
    """What an error of SQLite means to whoever publishes or reads."""
    reason = str(error)
    if "full" in reason:
        return StorageFull(f"{path}: the disk is full; nothing of this batch was kept")
    if "malformed" in reason or "not a database" in reason or "corrupt" in reason:
        return TransportError(f"{path} is damaged ({reason}); move it away and start anew, or restore it from a backup")
    return Unavailable(f"{path}: {reason}")


_DAMAGE = ("malformed", "not a database", "corrupt", "decode", "no such", "NULL", "UNIQUE", "datatype mismatch")


def damaged(path: Path | str, reason: str) -> TransportError:
    """The file is not what was written to it."""
    return TransportError(f"{path} is damaged ({reason}); move it away and start anew, or restore it from a backup")
