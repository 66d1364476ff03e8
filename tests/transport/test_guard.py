"""The guard: where nothing is asked, however the address is written, and whatever a name turns into."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from headgate import HTTPMessageSource, Message
from headgate.core.position import Oldest
from headgate.errors import ConfigError, Unavailable
from headgate.spec.resolve import plan_text
from headgate.transport.base import StreamSettings
from headgate.transport.http import HttpTransport
from headgate.transport.http.guard import parse_networks, refusal

NEVER = [
    "169.254.169.254",  # where most clouds keep the secrets of a machine
    "169.254.0.1",
    "169.254.170.2",
    "2852039166",  # the same as one number
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.254.169.254",
    "169.254.43518",
    "169.16689662",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[febf::1]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "192.0.0.192",
    "[::ffff:100.100.100.200]",
    "0.0.0.0",
    "0",
    "[::]",
    "[::ffff:0.0.0.0]",
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "[::ffff:224.0.0.1]",
    "255.255.255.255",
    "240.0.0.1",
    "[::ffff:255.255.255.255]",
    "169.254.169.254.",
]
ELSEWHERE = ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/_x", "unix:///tmp/x", "data:,x", "//x/y"]
CONNECTED: list[Any] = []


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every connection that anybody begins, of any client: none of them reaches the network."""
    CONNECTED.clear()

    def refuse(_: socket.socket, address: Any) -> None:
        CONNECTED.append(address)
        raise ConnectionRefusedError

    async def refuse_later(_: Any, sock: socket.socket, address: Any) -> None:
        refuse(sock, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(asyncio.BaseEventLoop, "sock_connect", refuse_later, raising=False)
    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", refuse_later)
    return CONNECTED


async def ask(url: str, **settings: Any) -> str:
    """What both clients say of a place that they shall not ask."""
    transport = HttpTransport(retry_seconds=0.01, **settings)
    stream = StreamSettings("results", url=url)
    source = await transport.open_source(stream, Oldest())
    assert not (await source.read(wait=0)).messages
    sink = await transport.open_sink(stream)
    with pytest.raises(Unavailable):
        await sink.send([Message(value=b"1")])
    told = transport.trouble() or ""
    await transport.close()
    with HTTPMessageSource[object](url, **settings) as facade:
        assert await asyncio.to_thread(facade.get_messages) == []
        assert facade.failures == 1
    return told


@pytest.mark.parametrize("host", NEVER)
async def test_nothing_is_asked_where_machines_keep_their_secrets(host: str) -> None:
    await ask(f"http://{host}/latest/meta-data/")
    assert CONNECTED == []


@pytest.mark.parametrize("url", ELSEWHERE)
def test_what_is_no_web_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError):
        plan_text(f"streams: {{results: {{transport: http, url: '{url}'}}}}")


async def test_a_name_that_turns_into_a_forbidden_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked up once for a connection, and what was checked is what is connected to."""
    turns = iter(["127.0.0.1"] + ["169.254.169.254"] * 100)

    def lookup(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(turns), port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    await ask("http://rebinding.example:8001/messages")
    assert {address[0] for address in CONNECTED} == {"127.0.0.1"}


async def test_a_name_with_one_forbidden_address_is_not_asked_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        places = ["127.0.0.1", "169.254.169.254"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in places]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    told = await ask("http://both.example/messages")
    assert "169.254.169.254 is where machines keep what concerns nobody else" in told
    assert CONNECTED == []


async def test_with_networks_only_those_are_asked() -> None:
    told = await ask("http://127.0.0.1:9/messages", networks=("10.0.0.0/8", "fd00::/8"))
    assert "127.0.0.1 is in none of connections.http.networks" in told
    assert CONNECTED == []
    await ask("http://127.0.0.1:9/messages", networks=("127.0.0.0/8",))
    assert CONNECTED


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.1.7", "172.16.0.1", "8.8.8.8", "::1", "fd12::1"])
def test_services_of_this_machine_and_its_networks_are_asked(address: str) -> None:
    assert refusal(ip_address(address)) is None


def test_a_network_counts_however_an_address_in_it_is_written() -> None:
    networks = parse_networks(["10.0.0.0/8"])
    assert refusal(ip_address("::ffff:10.1.2.3"), networks) is None
    assert refusal(ip_address("::ffff:11.1.2.3"), networks)
