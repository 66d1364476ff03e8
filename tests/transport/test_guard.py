"""The guard: where nothing is asked, however the address is written, and whatever a name turns into."""

from ipaddress import ip_address

import pytest

from headgate.errors import ConfigError
from headgate.spec.resolve import plan_text
from headgate.transport.http.guard import parse_networks, refusal
from tests.faults.http_campaign import FORBIDDEN, ask, no_connections, turning_into

ELSEWHERE = ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/_x", "unix:///tmp/x", "data:,x", "//x/y"]


@pytest.mark.parametrize("host", FORBIDDEN)
async def test_nothing_is_asked_where_machines_keep_their_secrets(host: str) -> None:
    async with no_connections() as begun:
        await ask(f"http://{host}/latest/meta-data/")
        assert begun == []


@pytest.mark.parametrize("url", ELSEWHERE)
def test_what_is_no_web_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError):
        plan_text(f"streams: {{results: {{transport: http, url: '{url}'}}}}")


async def test_a_name_that_turns_into_a_forbidden_address_is_not_asked() -> None:
    """A name is looked up once for a connection, and what was checked is what is connected to."""
    async with no_connections() as begun:
        with turning_into(["127.0.0.1"], ["169.254.169.254"]):
            await ask("http://rebinding.example:8001/messages")
        assert {address[0] for address in begun} == {"127.0.0.1"}


async def test_a_name_with_one_forbidden_address_is_not_asked_at_all() -> None:
    async with no_connections() as begun:
        with turning_into(["127.0.0.1", "169.254.169.254"]):
            told = await ask("http://both.example/messages")
        assert "169.254.169.254 is where machines keep what concerns nobody else" in told
        assert begun == []


async def test_with_networks_only_those_are_asked() -> None:
    async with no_connections() as begun:
        told = await ask("http://127.0.0.1:9/messages", networks=("10.0.0.0/8", "fd00::/8"))
        assert "127.0.0.1 is in none of connections.http.networks" in told
        assert begun == []
        await ask("http://127.0.0.1:9/messages", networks=("127.0.0.0/8",))
        assert begun


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.1.7", "172.16.0.1", "8.8.8.8", "::1", "fd12::1"])
def test_services_of_this_machine_and_its_networks_are_asked(address: str) -> None:
    assert refusal(ip_address(address)) is None


def test_a_network_counts_however_an_address_in_it_is_written() -> None:
    networks = parse_networks(["10.0.0.0/8"])
    assert refusal(ip_address("::ffff:10.1.2.3"), networks) is None
    assert refusal(ip_address("::ffff:11.1.2.3"), networks)
