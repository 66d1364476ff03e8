"""Portions: a file of messages, cut into runs of whole lines that are sent one after the other."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from headgate.core.cut import last_line_break, last_row_break
from headgate.errors import BadRequest, BodyTooLarge

PORTION_BYTES = 8 * 1024 * 1024
_LONGEST = 64 * 1024 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Portion:
    """Whole lines of a file, and where they stand in it."""

    data: bytes | mmap
    offset: int = 0
    first_line: int = 1
    breaks: int = 0  # line ends in it
    head: bytes = b""  # goes before it: the names of CSV's fields, which stand in the file's first row

    def __repr__(self) -> str:
        return f"<Portion: {len(self.data)} bytes from {self.offset}, line {self.first_line}>"

    @property
    def end(self) -> int:
        """Where the file goes on."""
        return self.offset + len(self.data)

    @property
    def size(self) -> int:
        """How many bytes are sent."""
        return len(self.head) + len(self.data)

    def key(self, run: str) -> str:
        """The same for the same bytes at the same place in the same run, wherever the file lies."""
        return hashlib.sha256(f"{run} {self.offset} {hashlib.sha256(self.data).hexdigest()}".encode()).hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """What is sent."""
        if self.head:
            yield self.head
        for at in range(0, len(self.data), _CHUNK):
            yield self.data[at : at + _CHUNK]

    def line_of(self, number: int) -> int:
        """The line of the file that is this one of what is sent."""
        return self.first_line + number - 1 - self.head.count(b"\n")

    def lines(self, numbers: Sequence[int], *, rows: bool = False) -> Iterator[bytes]:
        """These lines of the file, in ascending order, without their breaks; or the rows of CSV that begin there."""
        at, line = 0, self.first_line
        for number in numbers:
            while line < number:
                at, line = self.data.find(b"\n", at) + 1, line + 1
            end = self._end_of(at)
            while rows and end < len(self.data) and self.data[at:end].count(b'"') % 2:
                end = self._end_of(end + 1)
            yield self.data[at:end].rstrip(b"\r")

    def _end_of(self, at: int) -> int:
        end = self.data.find(b"\n", at)
        return len(self.data) if end < 0 else end


class Portions:
    """Cuts a file. From the same place on, the same file gives the same portions."""

    def __init__(
        self, file: BinaryIO, *, rows: bool = False, most: int = PORTION_BYTES, offset: int = 0, first_line: int = 1
    ) -> None:
        self._file, self._most = file, most
        self._offset, self._line = offset, first_line
        self._last_break = last_row_break if rows else last_line_break
        self._rows = rows
        self.head = b""  # the first row of CSV, once it was read
        self._rest = b""
        if offset:
            self._go_to(offset)

    def __repr__(self) -> str:
        return f"<Portions from {self._offset}, line {self._line}>"

    def take(self) -> Portion | None:
        """The next portion; None at the end of the file. May raise what reading the file raises."""
        reach = self._most
        while True:
            ended = self._fill(reach)
            if ended:
                return self._cut(len(self._rest)) if self._rest else None
            if whole := self._whole(reach):
                return self._cut(whole)
            if len(self._rest) >= reach:
                reach *= 2
            if reach > _LONGEST:
                raise BadRequest(f"line {self._line} is longer than {len(self._rest):,} bytes")

    def halve(self, portion: Portion) -> Portion:
        """A smaller one in its place, and none after it is larger. Raises a `BodyTooLarge` when it is one line."""
        self._most = max(len(portion.data) // 2, 1)
        self._rest = bytes(portion.data) + self._rest
        self._offset, self._line = portion.offset, portion.first_line
        smaller = self.take()
        if smaller is None or smaller.end == portion.end:
            raise BodyTooLarge(f"line {portion.first_line} is over the limit of the gate")
        return smaller

    def _fill(self, reach: int) -> bool:
        """Read until so many bytes wait; whether the file has ended."""
        missing = reach - len(self._rest)
        if missing <= 0:
            return False
        if self._file.seekable():
            # Fewer bytes than that are the last: where a portion ends must not hang on how the one before was read.
            self._rest += self._file.read(missing)
            return len(self._rest) < reach
        # Of a pipe, what is there: whoever writes to it slowly is not kept waiting until there is more.
        chunk = getattr(self._file, "read1", self._file.read)(missing)
        self._rest += chunk
        return not chunk

    def _whole(self, reach: int) -> int:
        """How much of what waits is whole lines: as many as there are, or one that is longer than a portion."""
        if reach == self._most:
            return self._last_break(self._rest[:reach])
        return first_break(self._rest, rows=self._rows)

    def _cut(self, whole: int) -> Portion:
        data, self._rest = self._rest[:whole], self._rest[whole:]
        portion = Portion(data, self._offset, self._line, data.count(b"\n"), self.head if self._offset else b"")
        if self._rows and not self._offset:
            self.head = _first_row(data)
        self._offset += whole
        self._line += portion.breaks
        return portion

    def _go_to(self, offset: int) -> None:
        if self._rows:
            data = self._file.read(_LONGEST)
            self.head = _first_row(data)
        self._file.seek(offset)


def first_break(data: bytes | mmap, *, rows: bool) -> int:
    """Where the first line ends, or the first row of CSV; 0 when it does not."""
    end = data.find(b"\n") + 1
    while end and rows and data[:end].count(b'"') % 2:
        end = data.find(b"\n", end) + 1
    return end


def _first_row(data: bytes | mmap) -> bytes:
    row = data[: first_break(data, rows=True) or len(data)]
    return row if row.endswith(b"\n") else row + b"\n"


class Whole:
    """The whole file as one portion: what has to be one transaction. It is mapped, not read."""

    def __init__(self, file: BinaryIO, *, rows: bool = False, settled: bool = False) -> None:
        self._file = None if settled else file
        self._rows = rows
        self.head = b""

    def take(self) -> Portion | None:
        """All of it, once."""
        file, self._file = self._file, None
        if file is None or not file.seek(0, 2):
            return None
        data = mmap(file.fileno(), 0, access=ACCESS_READ)
        if self._rows:
            self.head = _first_row(data)
        return Portion(data)

    def halve(self, portion: Portion) -> Portion:
        """There is no smaller one."""
        raise BodyTooLarge(f"the file has to be one batch, and its {portion.size:,} bytes are over the gate's limit")
