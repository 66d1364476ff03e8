"""Frames: what was sealed is opened, and nothing else is, whatever was done to it."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.frames import OVERHEAD, Kdf, Opener, Sealer, Seen, Splitter, derive
from headgate.errors import (
    FrameExpired,
    FrameForged,
    FrameMalformed,
    FrameRefused,
    FrameReplayed,
    FrameTooLarge,
    FrameUnsigned,
    KindRefused,
)

KEY, LINK, NOW, SECOND = b"k" * 32, b"link 1", 10**18, 10**9


def sealer(key: bytes = KEY, link: bytes = LINK, *, first: int = 1) -> Sealer:
    return Sealer(key, link, limit=1000, first=first)


def opener(key: bytes = KEY, link: bytes = LINK, *, window: int = 10) -> Opener:
    return Opener(key, link, kinds={3, 4}, ttl=30, window=window)


def sealed(kind: int = 3, payload: bytes = b"hello", **how: int) -> bytes:
    """A frame without its length."""
    return sealer(first=how.get("first", 1)).seal(kind, payload, now=how.get("now", NOW))[4:]


def test_a_frame_byte_for_byte() -> None:
    head = struct.pack(">BBQq", 3, 32, 1, NOW)
    signature = hmac.new(KEY, bytes([6]) + LINK + head + b"hello", hashlib.sha256).digest()
    frame = struct.pack(">I", len(head) + 32 + 5) + head + signature + b"hello"
    assert sealer().seal(3, b"hello", now=NOW) == frame
    assert opener().open(frame[4:], now=NOW) == (3, b"hello")


@given(st.lists(st.tuples(st.sampled_from([3, 4]), st.binary(max_size=200)), max_size=10), st.data())
def test_what_is_sealed_arrives_however_it_is_cut(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    making, opening, splitter = sealer(), opener(), Splitter(1000)
    wire = b"".join(making.seal(kind, payload, now=NOW) for kind, payload in messages)
    got = []
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        got += [opening.open(frame, now=NOW) for frame in splitter.feed(wire[:cut])]
        wire = wire[cut:]
    splitter.end()
    assert got == messages


@given(st.data())
def test_a_changed_bit_anywhere_is_noticed(data: st.DataObject) -> None:
    frame = bytearray(sealed())
    at = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[at // 8] ^= 1 << at % 8
    with pytest.raises(FrameRefused):
        opener().open(bytes(frame), now=NOW)


@given(st.binary(max_size=200))
def test_what_was_never_sealed_is_never_opened(frame: bytes) -> None:
    with pytest.raises(FrameRefused):
        opener().open(frame, now=int.from_bytes(frame[10:18], "big", signed=True))


@given(st.integers(0, len(sealed()) - 1))
def test_a_frame_that_was_cut_is_noticed(length: int) -> None:
    with pytest.raises(FrameRefused):
        opener().open(sealed()[:length], now=NOW)


def test_each_guard_speaks_before_those_behind_it() -> None:
    """In the order of the checks: each frame is wrong in all that comes later, too."""
    worst = bytearray(sealed(kind=9, now=NOW - 99 * SECOND))
    worst[20] ^= 1
    opening = opener()
    opening.open(sealed(), now=NOW)  # so that counter 1 was there
    unsigned = bytes([9, 0, *worst[2:]])
    odd = bytes([9, 31, *worst[2:]])
    stale = bytes([3, *worst[1:]])
    forged = bytearray(sealed())
    forged[20] ^= 1
    for frame, error in (
        (b"\x09", FrameMalformed),
        (unsigned, FrameUnsigned),
        (odd, FrameMalformed),
        (bytes(worst), KindRefused),
        (stale, FrameExpired),
        (bytes(forged), FrameForged),
        (sealed(), FrameReplayed),
    ):
        with pytest.raises(error) as caught:
            opening.open(frame, now=NOW)
        assert type(caught.value) is error


@pytest.mark.parametrize(("off", "taken"), [(0, True), (30, True), (-30, True), (30.001, False), (-30.001, False)])
def test_a_frame_is_as_old_as_it_may_be_and_no_older(off: float, taken: bool) -> None:
    now = NOW + round(off * SECOND)
    if taken:
        assert opener().open(sealed(), now=now) == (3, b"hello")
    else:
        with pytest.raises(FrameExpired):
            opener().open(sealed(), now=now)


@pytest.mark.parametrize("other", [sealer(key=b"x" * 32), sealer(link=b"link 2")])
def test_another_key_or_connection_is_not_ours(other: Sealer) -> None:
    with pytest.raises(FrameForged):
        opener().open(other.seal(3, b"", now=NOW)[4:], now=NOW)


def test_a_forged_frame_is_not_remembered() -> None:
    opening = opener()
    forged = bytearray(sealed())
    forged[-1] ^= 1
    for _ in range(3):
        with pytest.raises(FrameForged):
            opening.open(bytes(forged), now=NOW)
    assert opening.open(sealed(), now=NOW) == (3, b"hello")


def test_counters_that_are_used_up_fail_closed() -> None:
    making, opening = sealer(first=2**64 - 1), opener()
    last = making.seal(3, b"", now=NOW)[4:]
    opening.open(last, now=NOW)
    with pytest.raises(FrameReplayed, match="used up its counters"):
        making.seal(3, b"", now=NOW)
    for counter in (1, 2**64 - 1, 2**64 - 11):
        with pytest.raises(FrameReplayed):
            opening.open(sealed(first=counter), now=NOW)


@given(st.lists(st.integers(1, 40), max_size=80), st.integers(1, 12))
def test_no_counter_counts_twice_and_late_ones_within_the_window_count(counters: list[int], window: int) -> None:
    seen, came = Seen(window), set()
    for counter in counters:
        too_late = bool(came) and counter <= max(came) - window
        assert seen.add(counter) == (counter not in came and not too_late)
        came.add(counter)
    assert len(seen._above) <= window


def test_a_counter_that_jumps_leaves_nothing_behind() -> None:
    seen = Seen(10)
    assert [seen.add(n) for n in (1, 3, 10**15, 10**15 - 9, 10**15 - 10)] == [True, True, True, True, False]
    assert repr(seen) == f"<Seen: up to {10**15 - 9}, 1 above>"


def test_what_is_too_large_is_neither_made_nor_read() -> None:
    with pytest.raises(FrameTooLarge, match="1001 bytes do not fit"):
        sealer().seal(3, b"x" * 1001, now=NOW)
    largest = sealer().seal(3, b"x" * 1000, now=NOW)
    assert len(list(Splitter(1000).feed(largest))) == 1
    splitter = Splitter(1000)
    with pytest.raises(FrameTooLarge, match="was announced"):
        list(splitter.feed(struct.pack(">I", 1000 + OVERHEAD + 1)))
    for length in (2**31, 2**32 - 1):
        with pytest.raises(FrameTooLarge):
            list(Splitter(1000).feed(struct.pack(">I", length)))


def test_an_end_within_a_frame_is_told() -> None:
    splitter = Splitter(1000)
    assert list(splitter.feed(sealer().seal(3, b"hello", now=NOW)[:-1])) == []
    assert len(splitter) == 4 + OVERHEAD + 4
    with pytest.raises(FrameMalformed, match="ended within a frame, after 58 bytes"):
        splitter.end()


def test_hkdf_is_that_of_the_standard() -> None:
    """RFC 5869, test case 1; its key is longer than one block of ours and begins alike."""
    key = derive(b"\x0b" * 22, Kdf.HKDF_SHA256, salt=bytes(range(13)), purpose=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"))
    assert key.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert derive(b"as it is", Kdf.NONE, salt=b"salt") == b"as it is"
