"""An unreliable disk for SQLite: one that forgets what was not synced, and one that fails when told to."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw


class Connection:
    """An apsw connection that looks like one of sqlite3 to the log: the same calls, the same errors."""

    def __init__(self, path: str, vfs: str) -> None:
        self._connection = apsw.Connection(path, vfs=vfs)
        self._connection.set_busy_timeout(5000)

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        return _as_sqlite(lambda: self._connection.execute(sql, parameters))

    def executemany(self, sql: str, rows: Any) -> Any:
        return _as_sqlite(lambda: self._connection.executemany(sql, rows))

    def close(self) -> None:
        _as_sqlite(self._connection.close)


def _as_sqlite(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except apsw.FullError:
        raise sqlite3.OperationalError("database or disk is full") from None
    except apsw.Error as error:
        raise sqlite3.OperationalError(f"{error}") from None


class ForgetfulDisk(apsw.VFS):
    """Passes everything to the real disk, and remembers for each file what a power cut would leave of it."""

    def __init__(self, name: str) -> None:
        self.vfs_name = name
        self.files: dict[str, _ForgetfulFile] = {}
        super().__init__(name=name, base="")

    def xOpen(self, name: Any, flags: Any) -> "_ForgetfulFile":  # noqa: N802 - SQLite's names
        opened = _ForgetfulFile(name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None:
            # A second handle of the same file shares what is remembered.
            opened.durable = self.files[path].durable if path in self.files else opened.durable
            opened.pending = self.files[path].pending if path in self.files else opened.pending
            self.files[path] = opened
        return opened

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        self.files.pop(name, None)
        super().xDelete(name, syncdir)

    def power_cut(self, folder: Path, dice: random.Random) -> None:
        """Write to `folder` what is left: all that was synced, and of the rest whatever got through in time."""
        for path, file in self.files.items():
            (folder / Path(path).name).write_bytes(_survivor(file, dice))


def _survivor(file: "_ForgetfulFile", dice: random.Random) -> bytes:
    content = bytearray(file.durable)
    for change in file.pending:
        if dice.random() < 0.5:
            _apply(content, change, torn=dice.random() < 0.2, dice=dice)
    return bytes(content)


Change = tuple[int, bytes | None]  # a write at an offset, or a truncation to it


def _apply(content: bytearray, change: Change, *, torn: bool = False, dice: random.Random | None = None) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
        return
    if torn and dice is not None:
        data = data[: dice.randrange(len(data) + 1) // 512 * 512]  # sectors are whole, pages need not be
    if len(content) < offset:
        content.extend(b"\0" * (offset - len(content)))
    content[offset : offset + len(data)] = data


class _ForgetfulFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: Any) -> None:
        super().__init__("", name, flags)
        self.durable = bytearray()
        self.pending: list[Change] = []

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.pending.append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.pending.append((newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()
        super().xSync(flags)


class FailingDisk(apsw.VFS):
    """Fails from its n-th write on, for some writes, and is well again after them."""

    def __init__(self, name: str, *, first: int, count: int, full: bool) -> None:
        self.vfs_name = name
        self.writes = 0
        self._bad = range(first, first + count)
        self._error: type[Exception] = apsw.FullError if full else apsw.IOError
        super().__init__(name=name, base="")

    def xOpen(self, name: Any, flags: Any) -> "_FailingFile":  # noqa: N802
        opened = _FailingFile("", name, flags)
        opened.disk = self
        return opened

    def count(self) -> None:
        """One more write; raises when it is a bad one."""
        self.writes += 1
        if self.writes in self._bad:
            raise self._error("the disk is told to fail")

    @property
    def failed(self) -> bool:
        """It has come to its bad writes."""
        return self.writes >= self._bad.start


class _FailingFile(apsw.VFSFile):
    disk: FailingDisk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.disk.count()
        super().xWrite(data, offset)
