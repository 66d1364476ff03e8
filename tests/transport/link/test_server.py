"""Where a server of links listens, and where it does not."""

import pytest

from headgate.core.greeting import Rules
from headgate.errors import BindRefused, HeadgateError, LinkLost
from headgate.transport.link import LinkServer, connect
from tests.transport.link.attacker import SECRET, TALK, Noted


def server() -> LinkServer:
    return LinkServer(Rules(SECRET), [TALK], lambda _: None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(BindRefused, match="loopback"):
        await server().start(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_takes_a_free_port(host: str) -> None:
    one = server()
    await one.start(host, 0)
    assert one.port
    other = server()
    with pytest.raises(HeadgateError, match="cannot listen for workers"):
        await other.start(host, one.port)
    await one.close()


async def test_nobody_there_is_told() -> None:
    one = server()
    await one.start("127.0.0.1", 0)
    await one.close()
    with pytest.raises(LinkLost, match="nobody answers"):
        await connect(one.host, one.port, Rules(SECRET), "ours", Noted(), [TALK], first=(TALK, b""))
