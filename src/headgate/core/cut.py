"""The cutter: a body that comes in chunks becomes pieces of whole lines, numbered from its first."""

from collections.abc import Callable
from dataclasses import dataclass

from headgate.core.entity import Fault

_SHOWN = 100  # bytes of a line that is too long


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole lines of a body. Those that were too long are blank here, and among the faults."""

    data: bytes
    first_line: int
    faults: tuple[Fault, ...] = ()


def last_line_break(text: bytes) -> int:
    """Where the last whole line ends; 0 when there is none."""
    return text.rfind(b"\n") + 1


def last_row_break(text: bytes) -> int:
    """Where the last whole row of CSV ends: a break between quotation marks ends none."""
    end = last_line_break(text)
    while end and text.count(b'"', 0, end) % 2:
        end = text.rfind(b"\n", 0, end - 1) + 1
    return end


class Cutter:
    """Takes chunks as they come, and gives pieces of about so many bytes. A line over `line_bytes` is a fault."""

    def __init__(
        self, *, piece_bytes: int, line_bytes: int, last_break: Callable[[bytes], int] = last_line_break
    ) -> None:
        self.size = 0  # bytes that wait to be taken
        self._piece_bytes = piece_bytes
        self._line_bytes = line_bytes
        self._last_break = last_break
        self._chunks: list[bytes] = []
        self._line = 1  # the number of the first line that waits
        self._faults: list[Fault] = []
        self._skips = False  # what comes belongs to a line that is too long

    @property
    def full(self) -> bool:
        """Whether enough waits for a piece."""
        return self.size >= self._piece_bytes

    def add(self, chunk: bytes) -> None:
        """More of the body."""
        if self._skips:
            end = chunk.find(b"\n")
            if end < 0:
                return
            self._skips, chunk = False, chunk[end:]  # its break stays, so that the lines keep their numbers
        self._chunks.append(chunk)
        self.size += len(chunk)

    def take(self, *, final: bool = False) -> Piece | None:
        """The whole lines that wait, or all that does when the body is over; None when there is nothing."""
        text = b"".join(self._chunks)
        end = len(text) if final else self._last_break(text)
        data, rest = self._without_long_lines(text[:end]), text[end:]
        if len(rest) > self._line_bytes:
            rest = self._begin_to_skip(rest, self._line + data.count(b"\n"))
        self._chunks, self.size = ([rest], len(rest)) if rest else ([], 0)
        if not data and not self._faults:
            return None
        piece = Piece(data, self._line, tuple(self._faults))
        self._line += data.count(b"\n")
        self._faults = []
        return piece

    def _begin_to_skip(self, line: bytes, number: int) -> bytes:
        self._faults.append(self._fault(line, number))
        self._skips = True
        return b""

    def _without_long_lines(self, data: bytes) -> bytes:
        # A line that is too long has no break in one whole window of half the length, wherever the windows begin.
        window = self._line_bytes // 2
        if all(data.find(b"\n", at, at + window) >= 0 for at in range(0, len(data) - window, window)):
            return data
        lines = data.split(b"\n")
        for at, line in enumerate(lines):
            if len(line) > self._line_bytes:
                self._faults.append(self._fault(line, self._line + at))
                lines[at] = b""
        return b"\n".join(lines)

    def _fault(self, line: bytes, number: int) -> Fault:
        shown = line[:_SHOWN].decode(errors="replace")
        return Fault(f"the line is longer than {self._line_bytes} bytes", number, line=f"{shown}...")
