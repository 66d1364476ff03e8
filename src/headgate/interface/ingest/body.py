"""The body of an upload: read as it comes, unpacked, and cut into pieces."""

import hashlib
import tempfile
from collections.abc import AsyncIterator

from headgate.core.cut import Cutter, Piece
from headgate.errors import BodyTooLarge
from headgate.interface.exchange import Request
from headgate.interface.ingest.forms import Form
from headgate.interface.ingest.load import PIECE_BYTES
from headgate.interface.ingest.unpack import unpacked
from headgate.runtime.ingest.intake import Intake

_IN_MEMORY = 4 * 1024 * 1024


class Body:
    """What a client sends, in pieces; and its fingerprint, once all of it was read."""

    def __init__(self, request: Request, form: Form, intake: Intake, whole_limit: int) -> None:
        self.chunks = unpacked(request.chunks(), request.header("content-encoding"))
        self._form = form
        self._whole_limit = whole_limit
        last_break = form.last_break or _never
        line_bytes = intake.terms.line_bytes if form.last_break else whole_limit
        self.cutter = Cutter(piece_bytes=PIECE_BYTES, line_bytes=line_bytes, last_break=last_break)
        self._hash = hashlib.sha256(f"{form.media} {request.scope['query_string'].decode('latin-1')}\n".encode())

    @property
    def fingerprint(self) -> str:
        """What tells this request from others."""
        return self._hash.hexdigest()

    def add(self, chunk: bytes) -> None:
        """A chunk came."""
        self._hash.update(chunk)
        self.cutter.add(chunk)
        if self._form.last_break is None and self.cutter.size > self._whole_limit:
            raise BodyTooLarge(f"a JSON document is limited to {self._whole_limit} bytes; send NDJSON, which is not")

    async def pieces(self) -> AsyncIterator[Piece]:
        """The pieces of the whole body. When the client goes before its end, the rest is none."""
        async for chunk in self.chunks:
            self.add(chunk)
            if self._form.last_break and self.cutter.full and (piece := self.cutter.take()):
                yield piece
        if piece := self.cutter.take(final=True):
            yield piece

    async def skip(self) -> None:
        """Read it for its fingerprint alone."""
        async for chunk in self.chunks:
            self._hash.update(chunk)

    async def spool(self) -> None:
        """Read all of it before any piece is given: for a database that one writer at a time has to itself."""
        held = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - it is closed when the last piece was given
        try:
            async for chunk in self.chunks:
                held.write(chunk)
        except BaseException:
            held.close()
            raise
        self.chunks = _again(held)


async def _again(held: "tempfile.SpooledTemporaryFile[bytes]") -> AsyncIterator[bytes]:
    with held:
        held.seek(0)
        while chunk := held.read(256 * 1024):
            yield chunk


def _never(_: bytes) -> int:
    return 0
