"""What the other end of a real socket may try: every guard refuses it, and good links go on."""

import asyncio
import random
import struct
import time
from collections.abc import Callable

import pytest

from headgate.core.frames import Kdf, Sealer
from headgate.core.greeting import Rules
from headgate.errors import LinkLost
from headgate.transport.link import Link, connect
from headgate.transport.link.server import MOST_STRANGERS
from tests.transport.link.attacker import SECRET, TALK, Attacker, Noted, attacker, listening

Attack = Callable[[Attacker], bytes]


def forged(it: Attacker) -> bytes:
    frame = bytearray(it.seal())
    frame[-1] ^= 1
    return bytes(frame)


def of_another_secret(it: Attacker) -> bytes:
    return Sealer(b"x" * 32, b"n" * 32 + b"client", limit=100).seal(TALK, b"hello", now=time.monotonic_ns())


def unsigned(it: Attacker) -> bytes:
    frame = bytearray(it.seal())
    frame[5] = 0
    return bytes(frame)


def replayed(it: Attacker) -> bytes:
    return (frame := it.seal()) + frame


def oversized(it: Attacker) -> bytes:
    return struct.pack(">I", 2**31) + b"x" * 1000


ATTACKS: dict[str, tuple[Attack, str]] = {
    "forged": (forged, "invalid_signature"),
    "of another secret": (of_another_secret, "invalid_signature"),
    "unsigned": (unsigned, "missing_signature"),
    "replayed": (replayed, "replayed_nonce"),
    "stale": (lambda it: it.seal(late=31), "timestamp_expired"),
    "from the future": (lambda it: it.seal(late=-31), "timestamp_expired"),
    "of an unknown kind": (lambda it: it.seal(kind=77), "unsupported_kind"),
    "oversized": (oversized, "payload_too_large"),
    "too short": (lambda it: struct.pack(">I", 3) + b"abc", "malformed_frame"),
    "empty": (lambda it: struct.pack(">I", 0), "malformed_frame"),
    "not a frame at all": (lambda it: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "payload_too_large"),
}


@pytest.mark.parametrize("kdf", list(Kdf))
@pytest.mark.parametrize("name", ATTACKS)
async def test_a_frame_that_is(name: str, kdf: Kdf) -> None:
    attack, code = ATTACKS[name]
    async with listening(kdf=kdf) as (server, noted), attacker(server) as good, attacker(server) as bad:
        for one in (good, bad):
            await one.greet(Rules(SECRET, kdf))
            one.writer.write(one.seal(b"first"))
        await noted.until(2)
        bad.writer.write(attack(bad))
        bad.writer.write(bad.seal(b"after"))
        assert await bad.is_cut_off()
        await noted.until(ends=1)
        assert server.refused == {code: 1}
        good.writer.write(good.seal(b"still here"))
        await noted.until(count=len(noted.frames) + 1)
        assert (TALK, b"still here") in noted.frames
        assert (TALK, b"after") not in noted.frames


async def test_a_frame_that_was_cut() -> None:
    async with listening() as (server, noted), attacker(server) as it:
        await it.greet(Rules(SECRET))
        it.writer.write(it.seal() + it.seal()[:-1])
        it.writer.write_eof()
        await noted.until(1, ends=1)
        assert server.refused == {"malformed_frame": 1}
        assert len(noted.frames) == 1


async def test_a_frame_that_never_ends() -> None:
    async with listening(ttl=0.05) as (server, noted), attacker(server) as it:
        await it.greet(Rules(SECRET))
        it.writer.write(it.seal())
        await noted.until(1)
        it.writer.write(it.seal(b"x" * 100)[:50])
        assert await it.is_cut_off()
        await noted.until(ends=1)
        assert "a frame was begun and not ended" in str(noted.ends[0])


async def test_a_frame_that_drips_does_not_live_longer_for_it() -> None:
    async with listening(ttl=0.1) as (server, noted), attacker(server) as it:
        await it.greet(Rules(SECRET))
        it.writer.write(it.seal())
        await noted.until(1)
        began = time.monotonic()
        frame = it.seal(b"x" * 1000)
        try:
            for at in range(len(frame)):
                it.writer.write(frame[at : at + 1])
                await it.writer.drain()
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass
        assert await it.is_cut_off()
        assert time.monotonic() - began < 2
        assert len(noted.frames) == 1


async def test_a_recorded_connection_is_worth_nothing() -> None:
    async with listening() as (server, noted):
        async with attacker(server) as it:
            await it.greet(Rules(SECRET))
            recorded = it.seal(b"do it")
            it.writer.write(recorded)
            await noted.until(1)
        await noted.until(1, ends=1)
        async with attacker(server) as again:
            await again.greet(Rules(SECRET))
            again.writer.write(recorded)
            assert await again.is_cut_off()
        assert server.refused == {"invalid_signature": 1}
        assert len(noted.frames) == 1


async def test_who_says_nothing_is_half_open_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.transport.link.connection.GREETING_SECONDS", 0.05)
    async with listening() as (server, noted), attacker(server) as silent, attacker(server) as halfway:
        await halfway.greet(Rules(SECRET))
        assert await silent.is_cut_off()
        assert await halfway.is_cut_off()  # a hello and nothing behind it is no better
        assert server.refused == {"link_lost": 2}
        assert noted.frames == []


async def test_strangers_are_counted_and_the_last_ones_are_cut() -> None:
    async with listening() as (server, _):
        strangers = [await asyncio.open_connection(server.host, server.port) for _ in range(MOST_STRANGERS)]
        async with attacker(server) as one_more:
            assert await one_more.is_cut_off()
        for _, writer in strangers:
            writer.transport.abort()


async def test_a_name_that_nobody_waits_for_is_cut() -> None:
    async with listening() as (server, noted), attacker(server) as it:
        await it.greet(Rules(SECRET), name="theirs")
        it.writer.write(it.seal())
        assert await it.is_cut_off()
        assert noted.frames == []


async def test_who_does_not_have_the_secret_is_cut_before_anything() -> None:
    async with listening() as (server, _), attacker(server) as it:
        with pytest.raises(asyncio.IncompleteReadError):
            await it.greet(Rules(b"another secret of ours.........."))
        assert server.refused == {"invalid_signature": 1}


async def test_who_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.transport.link.connection.BUFFER", 1000)
    async with listening(ttl=0.1) as (server, noted), attacker(server) as it:
        await it.greet(Rules(SECRET))
        it.writer.write(it.seal())
        await noted.until(1)
        [link] = noted.links
        async with asyncio.timeout(10):
            while not link.closed:
                link.send(TALK, b"x" * 1_000_000)
                await link.room()
        await noted.until(ends=1)
        assert "read nothing for 0.1 s" in str(noted.ends[0])
        with pytest.raises(LinkLost):
            link.send(TALK, b"")


async def test_a_client_believes_no_server_without_the_secret() -> None:
    """Somebody else has our port."""

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(struct.pack(">I", 60) + b"\x02\x20" + bytes(58))
        await reader.read()
        writer.transport.abort()

    other = await asyncio.start_server(impostor, "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(Exception, match="the frame was made"):
            await connect("127.0.0.1", port, Rules(SECRET), "ours", Noted(), [TALK], first=(TALK, b""))


@pytest.mark.parametrize("seed", range(20))
async def test_noise_is_never_believed(seed: int) -> None:
    dice = random.Random(seed)
    async with listening() as (server, noted):
        for _ in range(25):
            async with attacker(server) as it:
                if dice.random() < 0.5:
                    await it.greet(Rules(SECRET))
                frame = bytearray(it.seal() if it.sealer else dice.randbytes(dice.randint(1, 200)))
                for _ in range(dice.randint(1, 4)):
                    frame[dice.randrange(len(frame))] ^= dice.randrange(1, 256)
                it.writer.write(frame)
                it.writer.write_eof()
                assert await it.is_cut_off()
        assert noted.frames == []


async def echo(link: Link) -> None:
    link.send(TALK, b"back")


async def test_links_carry_frames_both_ways() -> None:
    theirs = Noted()
    async with listening() as (server, ours):
        link = await connect(
            server.host, server.port, Rules(SECRET), "ours", theirs, [TALK], first=(TALK, b"I am ready")
        )
        await ours.until(1)
        await echo(ours.links[0])
        await theirs.until(1)
        assert (ours.frames, theirs.frames) == ([(TALK, b"I am ready")], [(TALK, b"back")])
        assert (ours.links[0].name, repr(link)) == ("ours", "<Link ours>")
        link.close()
        await ours.until(ends=1)
        await theirs.until(ends=1)
        assert (ours.ends, theirs.ends) == ([None], [None])
        assert repr(server).endswith("0 links>")
