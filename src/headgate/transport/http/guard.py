"""The guard: to which addresses this service connects. What a name stands for is looked up once, checked, and used."""

import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import anyio.to_thread
import httpcore2
import httpx2

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Options = Iterable[httpcore2.SOCKET_OPTION] | None

# Where clouds keep the secrets of a machine; those of most are link-local.
_METADATA = frozenset(ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192"))
_NAT64 = ip_network("64:ff9b::/96")


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as `10.0.0.0/8`. Raises a `ValueError` for what is none."""
    return tuple(ip_network(text) for text in texts)


def refusal(address: Address, networks: Sequence[Network] = ()) -> str | None:
    """Why nobody connects there; None where that is fine. With `networks`, only those are."""
    address = _meant(address)
    if networks:
        inside = any(address in network for network in networks if network.version == address.version)
        return None if inside else "is in none of connections.http.networks"
    if address.is_link_local or address in _METADATA:
        return "is where machines keep what concerns nobody else"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "is no address of a single service"
    return None


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def checked(host: str, port: int, networks: Sequence[Network]) -> list[str]:
    """The addresses of a host, all of which may be connected to. Raises a `ConnectError` when one may not."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} is not found: {error}") from None
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    for text in addresses:
        if reason := refusal(ip_address(text.partition("%")[0]), networks):
            raise httpcore2.ConnectError(f"{text} {reason}, so nothing is asked there")
    return addresses


class AsyncGuard(httpcore2.AsyncNetworkBackend):
    """Connects a loop's client."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name that httpcore2 gives it
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> httpcore2.AsyncNetworkStream:
        *others, last = await anyio.to_thread.run_sync(checked, host, port, self._networks)
        for address in others:
            with suppress(httpcore2.ConnectError):
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._backend.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class Guard(httpcore2.NetworkBackend):
    """The same for a client without a loop."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks
        self._backend = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> httpcore2.NetworkStream:
        *others, last = checked(host, port, self._networks)
        for address in others:
            with suppress(httpcore2.ConnectError):
                return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
        return self._backend.connect_tcp(last, port, timeout, local_address, socket_options)


def guarded_async(networks: Sequence[Network] = ()) -> httpx2.AsyncHTTPTransport:
    """A transport for httpx2 with no limit to its connections: each reader of a stream holds one while it waits."""
    context = httpx2.create_ssl_context(trust_env=False)
    transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
    # httpx2 has no word for a network backend; the pool that it makes has.
    transport._pool = httpcore2.AsyncConnectionPool(  # noqa: SLF001
        ssl_context=context,
        max_connections=None,
        max_keepalive_connections=20,
        keepalive_expiry=10.0,
        network_backend=AsyncGuard(networks),
    )
    return transport


def guarded(networks: Sequence[Network] = ()) -> httpx2.HTTPTransport:
    """The same for a client without a loop."""
    context = httpx2.create_ssl_context(trust_env=False)
    transport = httpx2.HTTPTransport(verify=context, trust_env=False)
    transport._pool = httpcore2.ConnectionPool(  # noqa: SLF001
        ssl_context=context, max_connections=None, network_backend=Guard(networks)
    )
    return transport
