"""The greeting: both sides end with the same keys, or somebody says why not."""

import msgspec
import pytest

from headgate.core.frames import Kdf, Sealer
from headgate.core.greeting import HELLO, LIMIT, NONCE, VERSIONS, Client, Rules, Server, _greeting_key
from headgate.errors import FrameExpired, FrameForged, FrameMalformed, VersionMismatch

NOW = 10**18


def rules(secret: bytes = b"s" * 32, kdf: Kdf = Kdf.HKDF_SHA256) -> Rules:
    return Rules(secret, kdf)


def hello(client: Client) -> bytes:
    return client.hello(now=NOW)[4:]


@pytest.mark.parametrize("kdf", list(Kdf))
def test_both_sides_can_talk_afterwards(kdf: Kdf) -> None:
    client, server = Client(rules(kdf=kdf), "cpu-1", b"c" * NONCE), Server(rules(kdf=kdf), b"s" * NONCE)
    assert server.greeted(hello(client), now=NOW) == "cpu-1"
    welcome, version = server.welcome(now=NOW)
    assert version == max(VERSIONS)
    seal, opens = client.welcomed(welcome[4:], (7,), now=NOW)
    answer_seal, answer_opens = server.session((7,))
    assert answer_opens.open(seal.seal(7, b"to", now=NOW)[4:], now=NOW) == (7, b"to")
    assert opens.open(answer_seal.seal(7, b"fro", now=NOW)[4:], now=NOW) == (7, b"fro")


def test_a_frame_is_not_believed_by_who_sent_it() -> None:
    client, server = Client(rules(), "a", b"c" * NONCE), Server(rules(), b"s" * NONCE)
    server.greeted(hello(client), now=NOW)
    seal, opens = client.welcomed(server.welcome(now=NOW)[0][4:], (7,), now=NOW)
    with pytest.raises(FrameForged):
        opens.open(seal.seal(7, b"", now=NOW)[4:], now=NOW)


def test_a_recorded_hello_leads_to_another_connection() -> None:
    client, server = Client(rules(), "a", b"c" * NONCE), Server(rules(), b"s" * NONCE)
    server.greeted(hello(client), now=NOW)
    seal, _ = client.welcomed(server.welcome(now=NOW)[0][4:], (7,), now=NOW)
    recorded = seal.seal(7, b"do it", now=NOW)[4:]
    later = Server(rules(), b"t" * NONCE)
    later.greeted(hello(client), now=NOW)
    with pytest.raises(FrameForged):
        later.session((7,))[1].open(recorded, now=NOW)


def test_a_recorded_welcome_is_for_another_client() -> None:
    client, server = Client(rules(), "a", b"c" * NONCE), Server(rules(), b"s" * NONCE)
    server.greeted(hello(client), now=NOW)
    with pytest.raises(FrameForged):
        Client(rules(), "a", b"d" * NONCE).welcomed(server.welcome(now=NOW)[0][4:], (7,), now=NOW)


def test_another_secret_is_refused_on_both_sides() -> None:
    with pytest.raises(FrameForged):
        Server(rules(b"x" * 32), b"s" * NONCE).greeted(hello(Client(rules(), "a", b"c" * NONCE)), now=NOW)
    client, server = Client(rules(), "a", b"c" * NONCE), Server(rules(), b"s" * NONCE)
    server.greeted(hello(client), now=NOW)
    with pytest.raises(FrameForged):
        Client(rules(b"x" * 32), "a", b"c" * NONCE).welcomed(server.welcome(now=NOW)[0][4:], (7,), now=NOW)


def test_an_old_hello_is_refused() -> None:
    with pytest.raises(FrameExpired):
        Server(rules(), b"s" * NONCE).greeted(hello(Client(rules(), "a", b"c" * NONCE)), now=NOW + 31 * 10**9)


def test_versions_without_one_in_common_are_named() -> None:
    client, server = Client(rules(), "a", b"c" * NONCE, versions=(8, 9)), Server(rules(), b"s" * NONCE)
    server.greeted(hello(client), now=NOW)
    welcome, version = server.welcome(now=NOW)
    assert version == 0
    with pytest.raises(VersionMismatch, match="here versions 8, 9, there 1"):
        client.welcomed(welcome[4:], (7,), now=NOW)


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode([[1], b"short", "a"])])
def test_a_hello_of_another_shape_is_refused(payload: bytes) -> None:
    frame = Sealer(_greeting_key(rules()), b"hello", limit=LIMIT).seal(HELLO, payload, now=NOW)[4:]
    with pytest.raises(FrameMalformed):
        Server(rules(), b"s" * NONCE).greeted(frame, now=NOW)


def test_no_secret_is_shown() -> None:
    assert "sss" not in repr(rules())
