"""Unpacking: a body that comes compressed, a bounded piece at a time."""

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from headgate.errors import BadRequest, BodyTooLarge, UnsupportedMedia

_PIECE = 256 * 1024
_MOST_TIMES = 100
_SLICE = 16 * 1024  # compressed bytes that are looked at together: a bomb in the midst of a body is one, too
_WINDOW_LOG = 23  # 8 MiB: what a frame may make us keep of what it unpacked before
_SMALL = 1024 * 1024  # unpacked bytes that need no thought


class Unpacker(Protocol):
    """One compressed body."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What this unpacks to, in bounded pieces. Raises a `BadRequest` when it cannot be."""
        ...

    def end(self) -> None:
        """The body is over. Raises a `BadRequest` when something is missing."""
        ...


class Gzip:
    """gzip, also several members after each other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                if self._member.eof:
                    self._member = zlib.decompressobj(wbits=31)
                yield self._member.decompress(chunk, _PIECE)
                chunk = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise BadRequest("the body is not gzip, though its Content-Encoding says so") from None

    def end(self) -> None:
        if not self._member.eof:
            raise BadRequest("the body ends in the middle of its gzip")


class Zstd:
    """Zstandard, also several frames after each other."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            try:
                from backports import zstd
            except ModuleNotFoundError:
                raise UnsupportedMedia("zstd is not installed here: pip install 'headgate[zstd]'") from None
        self._begin: Callable[[], Any] = lambda: zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        )
        self._failed = zstd.ZstdError
        self._frame = self._begin()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk or not (self._frame.eof or self._frame.needs_input):
                if self._frame.eof:
                    self._frame = self._begin()
                yield self._frame.decompress(chunk, _PIECE)
                chunk = self._frame.unused_data if self._frame.eof else b""
        except self._failed:
            raise BadRequest("the body is not zstd, though its Content-Encoding says so") from None

    def end(self) -> None:
        if not self._frame.eof:
            raise BadRequest("the body ends in the middle of its zstd")


_ENCODINGS: dict[str, Callable[[], Unpacker]] = {"gzip": Gzip, "x-gzip": Gzip, "zstd": Zstd}


def unpacker(encoding: str | None) -> Unpacker | None:
    """What unpacks bodies of this `Content-Encoding`; None where there is nothing to do."""
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return None
    if name not in _ENCODINGS:
        raise UnsupportedMedia(f"a body with Content-Encoding {name[:60]!r} is not read here; use gzip or zstd")
    return _ENCODINGS[name]()


async def unpacked(chunks: AsyncIterator[bytes], encoding: str | None) -> AsyncIterator[bytes]:
    """The body as it was before it was compressed. One that grows beyond reason is refused."""
    unpack = unpacker(encoding)
    if unpack is None:
        async for chunk in chunks:
            yield chunk
        return
    came = total = 0
    async for chunk in chunks:
        came += len(chunk)
        for at in range(0, len(chunk), _SLICE):
            slice_ = chunk[at : at + _SLICE]
            grew = 0
            for piece in unpack.feed(slice_):
                grew, total = grew + len(piece), total + len(piece)
                if total > _SMALL and grew > _MOST_TIMES * max(len(slice_), _SLICE // 4):
                    raise BodyTooLarge(f"the body unpacks to more than {_MOST_TIMES} times its size; send it as it is")
                yield piece
    if came:
        unpack.end()
