"""The frames between the processes of a service: sealed by one, opened by the other, believed only when all is right.

    length 4 | kind 1 | signature's length 1 | counter 8 | time 8 | signature 32 | payload

All numbers are big-endian; the length is that of what follows it. The signature is HMAC-SHA256 over the connection's
name, behind its length, and the frame without its length and signature. One frame carries many messages, so one
signature is enough for all of them. The counter belongs to the connection and the direction, which makes it a nonce.
"""

import hashlib
import hmac
import struct
from collections.abc import Collection, Iterator
from enum import StrEnum

from headgate.errors import (
    FrameExpired,
    FrameForged,
    FrameMalformed,
    FrameReplayed,
    FrameTooLarge,
    FrameUnsigned,
    KindRefused,
)

_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BBQq")
_SIGNATURE = hashlib.sha256().digest_size
OVERHEAD = _HEAD.size + _SIGNATURE  # of a frame beside its payload and length
_LAST_COUNTER = 2**64 - 1
_SECOND = 1_000_000_000


class Kdf(StrEnum):
    """How the key that signs is made of the secret."""

    NONE = "none"
    HKDF_SHA256 = "hkdf_sha256"


def derive(secret: bytes, kdf: Kdf, *, salt: bytes = b"", purpose: bytes = b"headgate execution_ipc") -> bytes:
    """The key of a secret: the secret itself, or what HKDF (RFC 5869) makes of it."""
    if kdf is Kdf.NONE:
        return secret
    extracted = hmac.digest(salt or bytes(_SIGNATURE), secret, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")


def _signing(key: bytes, connection: bytes) -> hmac.HMAC:
    """What all signatures of a direction have in common; a copy of it signs a frame."""
    return hmac.new(key, bytes([len(connection)]) + connection, "sha256")


class Sealer:
    """Makes the frames of one direction of a connection."""

    def __init__(self, key: bytes, connection: bytes, *, limit: int, first: int = 1) -> None:
        self._signing, self._limit = _signing(key, connection), limit
        self._next = first

    def seal(self, kind: int, payload: bytes, *, now: int) -> bytes:
        """A frame, made `now` (nanoseconds). May raise `FrameTooLarge`."""
        if len(payload) > self._limit:
            raise FrameTooLarge(f"{len(payload)} bytes do not fit into a frame: at most {self._limit} may")
        if self._next > _LAST_COUNTER:
            raise FrameReplayed("this connection has used up its counters; it must be made anew")
        head = _HEAD.pack(kind, _SIGNATURE, self._next, now)
        self._next += 1
        signing = self._signing.copy()
        signing.update(head)
        signing.update(payload)
        return b"".join((_LENGTH.pack(OVERHEAD + len(payload)), head, signing.digest(), payload))


class Opener:
    """Believes the frames of one direction of a connection, or refuses them with the first thing that is wrong."""

    def __init__(self, key: bytes, connection: bytes, *, kinds: Collection[int], ttl: float, window: int) -> None:
        self._signing, self._kinds = _signing(key, connection), kinds
        self._ttl = round(ttl * _SECOND)
        self._seen = Seen(window)

    def open(self, frame: bytes, *, now: int) -> tuple[int, bytes]:
        """Kind and payload of a frame without its length. May raise a `FrameRefused`.

        Cheap checks come first. Whether it came before is asked last, so that nothing forged is ever remembered.
        """
        if len(frame) < _HEAD.size:
            raise FrameMalformed(f"{len(frame)} bytes are too few for a frame")
        kind, signed, counter, made = _HEAD.unpack_from(frame)
        if signed == 0:
            raise FrameUnsigned("the frame has no signature")
        if signed != _SIGNATURE or len(frame) < OVERHEAD:
            raise FrameMalformed(f"a signature has {_SIGNATURE} bytes")
        if kind not in self._kinds:
            raise KindRefused(f"frames of kind {kind} are not taken here")
        if abs(now - made) > self._ttl:
            raise FrameExpired(f"the frame was made {(now - made) / _SECOND:.1f} s ago")
        payload = frame[OVERHEAD:]
        signing = self._signing.copy()
        signing.update(frame[: _HEAD.size])
        signing.update(payload)
        if not hmac.compare_digest(signing.digest(), frame[_HEAD.size : OVERHEAD]):
            raise FrameForged("the signature is not of our key")
        if not self._seen.add(counter):
            raise FrameReplayed(f"frame {counter} came before")
        return kind, payload


class Seen:
    """Which counters came. Up to `window` of them may be late; what would be later than that counts as seen."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._floor = 0  # everything up to here was seen, or is too late
        self._above: set[int] = set()

    def __repr__(self) -> str:
        return f"<Seen: up to {self._floor}, {len(self._above)} above>"

    def add(self, counter: int) -> bool:
        """Note a counter; False when it was there."""
        if counter <= self._floor or counter in self._above:
            return False
        self._above.add(counter)
        if counter - self._window > self._floor:
            self._floor = counter - self._window
            self._above = {late for late in self._above if late > self._floor}
        while self._floor + 1 in self._above:
            self._floor += 1
            self._above.remove(self._floor)
        return True


class Splitter:
    """Cuts what arrives into frames."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes of a payload
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are complete now, without their lengths. May raise `FrameTooLarge`."""
        self._bytes += data
        at = 0
        while len(self._bytes) - at >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(self._bytes, at)
            if length > self.limit + OVERHEAD:
                raise FrameTooLarge(
                    f"a frame of {length} bytes was announced: at most {self.limit + OVERHEAD} may come"
                )
            end = at + _LENGTH.size + length
            if len(self._bytes) < end:
                break
            with memoryview(self._bytes) as view:
                frame = bytes(view[at + _LENGTH.size : end])
            yield frame
            at = end
        del self._bytes[:at]

    def end(self) -> None:
        """Nothing comes any more. May raise `FrameMalformed`: a frame was cut."""
        if self._bytes:
            raise FrameMalformed(f"the connection ended within a frame, after {len(self._bytes)} bytes")
