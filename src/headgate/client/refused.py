"""The refused lines: a file of those that were not kept, each as it was, to be mended and sent again."""

from collections.abc import Sequence
from pathlib import Path

from headgate.client.portions import Portion
from headgate.client.source import Form
from headgate.errors import HeadgateError


class RefusedLines:
    """Writes refused lines; in text, each after a comment with the reason. `begin` bytes of an earlier run stay."""

    def __init__(self, path: Path, form: Form, begin: int = 0) -> None:
        self._form = form
        try:
            self._file = path.open("r+b" if begin else "wb")
            self._file.seek(begin)
            self._file.truncate()
        except OSError as error:
            raise HeadgateError(f"cannot write {path}: {error.strerror}") from None

    def write(self, portion: Portion, errors: Sequence[tuple[int, str]], head: bytes) -> int:
        """Write those of a portion, and give the file's size. `head` names the fields of CSV."""
        if errors and self._form is Form.CSV and not self._file.tell():
            self._file.write(head)
        ordered = sorted(errors)
        lines = portion.lines([number for number, _ in ordered], rows=self._form is Form.CSV)
        for (number, reason), line in zip(ordered, lines, strict=True):
            if self._form is Form.TEXT:
                self._file.write(f"# line {number}: {_on_one_line(reason)}\n".encode())
            self._file.write(line + b"\n")
        self._file.flush()
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _on_one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
