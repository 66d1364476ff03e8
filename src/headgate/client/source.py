"""The source: a file of messages, opened so that it can be cut into portions, whatever form it has."""

import gzip
import io
import os
import re
import shutil
import tempfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from headgate.client.portions import PORTION_BYTES, Portions, Whole
from headgate.core.wire import NDJSON
from headgate.errors import BadRequest, HeadgateError


class Form(StrEnum):
    """How messages stand in a file."""

    TEXT = "text"
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"

    @property
    def media(self) -> str:
        """What a gate knows it as. A JSON document goes there as lines: those can be cut."""
        return {Form.TEXT: "text/plain", Form.CSV: "text/csv"}.get(self, NDJSON)


_FORMS = {".csv": Form.CSV, ".ndjson": Form.NDJSON, ".jsonl": Form.NDJSON, ".json": Form.JSON}


@dataclass(frozen=True)
class Source:
    """An opened file of messages."""

    name: str
    form: Form
    file: BinaryIO
    stored: BinaryIO  # what lies on the disk: the same, or what it was made from
    path: Path | None  # None: a pipe, which is gone when it was read
    size: int | None  # None: it is not known before its end

    def portions(
        self, *, whole: bool = False, offset: int = 0, first_line: int = 1, most: int = PORTION_BYTES
    ) -> Portions | Whole:
        """The portions from a place on; or all of it as one."""
        rows = self.form is Form.CSV
        if whole:
            return Whole(self.file, rows=rows, settled=offset > 0)
        return Portions(self.file, rows=rows, most=most, offset=offset, first_line=first_line)

    def share(self, offset: int) -> float | None:
        """How much of it lies before an offset, from 0 to 1."""
        if self.path is None:
            return None
        if self.size is not None:
            return offset / self.size if self.size else 1.0
        return self.stored.tell() / os.fstat(self.stored.fileno()).st_size

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What goes wrong with the file becomes a `HeadgateError`."""
        with _reading(self.name):
            yield


def open_source(name: str, form: Form | None, stack: ExitStack, stdin: BinaryIO, *, whole: bool = False) -> Source:
    """Open a file, or standard input (`-`). With `whole` it can be mapped. Raises a `HeadgateError`."""
    with _reading(name):
        stored = stdin if name == "-" else _opened(Path(name), stack)
        path = Path(name) if name != "-" and stored.seekable() else None
        zipped = name.endswith(".gz")
        form = form or _FORMS.get(Path(name.removesuffix(".gz")).suffix, Form.TEXT)
        file = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=stored))) if zipped else stored
        if form is Form.JSON:
            file = _spooled(_items(file.read()), stack)
        elif whole and (zipped or path is None):
            file = _spooled(file, stack)
        size = os.fstat(file.fileno()).st_size if path and not isinstance(file, gzip.GzipFile) else None
    return Source(name, form, file, stored, path, size)


def _opened(path: Path, stack: ExitStack) -> BinaryIO:
    return stack.enter_context(path.open("rb"))


def _spooled(file: BinaryIO, stack: ExitStack) -> BinaryIO:
    held = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115 - the stack closes it
    shutil.copyfileobj(file, held)
    held.seek(0)
    return held


def _items(document: bytes) -> BinaryIO:
    """The items of a JSON array as lines, or the one object that it is."""
    text = document.removeprefix(BOM_UTF8).strip()
    try:
        several = text.startswith(b"[")
        items = (
            msgspec.json.decode(text, type=list[msgspec.Raw])
            if several
            else [msgspec.json.decode(text, type=msgspec.Raw)]
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"this is no JSON: {error}") from None
    # Within JSON, a line break stands between words alone: a blank there says the same.
    return io.BytesIO(b"".join(re.sub(rb"[\r\n]", b" ", bytes(item)) + b"\n" for item in items))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise HeadgateError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
