"""Rows 1, 20 and 30 for streams over HTTP: a peer that is killed, a clock that jumps, addresses nobody shall ask."""

import asyncio
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2

from headgate import HTTPMessageSource, Message
from headgate.core.position import Oldest
from headgate.errors import TransportError
from headgate.transport.base import StreamSettings
from headgate.transport.http import HttpTransport
from tests.faults.result import Result
from tests.gates.process import GateProcess, gate_process
from tests.services.daemon import free_port
from tests.transport.peers import answer, peer, saying

RESULTS = "streams: {results: {transport: log, retain: {messages: 1000000}}}\n"
PATH = "/streams/results/messages"
WRITERS = 4

# Row 1


@dataclass
class Mirrored:
    """What a reader of a stream had, whose service was killed again and again."""

    sent: int = 0
    acked: list[str] = field(default_factory=list)
    had: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Acknowledged, and not there."""
        return len(set(self.acked) - set(self.had))

    @property
    def doubled(self) -> int:
        return len(self.had) - len(set(self.had))

    @property
    def out_of_order(self) -> int:
        """Writers whose messages came in another order."""
        numbers = ([int(text.split("-")[1]) for text in self.had if text.startswith(f"{w}-")] for w in range(WRITERS))
        return sum(own != sorted(own) for own in numbers)


def row_1(factor: float) -> Result:
    """A service is killed while it is written to and read over HTTP: the mirror has all, in order, once."""
    kills = max(5, round(100 * factor))
    found = asyncio.run(mirror_through_kills(kills, appends=max(2000, round(200_000 * factor))))
    slowest = max(found.recoveries)
    figures = (
        f"{kills} kills, {len(found.acked)} acknowledged, {found.lost} lost, {found.doubled} doubled,"
        f" {found.out_of_order} out of order, slowest reader back after {slowest:.1f} s"
    )
    passed = found.lost == found.doubled == found.out_of_order == 0
    return Result(1, "mirror of a log, service killed", figures, passed=passed)


async def mirror_through_kills(kills: int, appends: int) -> Mirrored:
    """Write to a service that is killed so often, and read it from another one, until that has all."""
    found = Mirrored()
    with tempfile.TemporaryDirectory() as folder, gate_process(RESULTS, Path(folder), port=free_port()) as gate:
        async with reading(f"{gate.url}{PATH}") as source, httpx2.AsyncClient(trust_env=False, timeout=5) as client:
            writing = [
                asyncio.ensure_future(_write(client, gate.url, w, appends // WRITERS, found)) for w in range(WRITERS)
            ]
            mirroring = asyncio.ensure_future(_mirror(source, found))
            for kill in range(kills):
                await _until(lambda share=(kill + 1) * appends / (kills + 1): found.sent >= share)  # type: ignore[misc]
                await asyncio.to_thread(gate.kill)
                await asyncio.to_thread(gate.start)
                await _back(found, writing)
            await asyncio.gather(*writing)
            await _until(lambda: found.lost == 0)
            mirroring.cancel()
            await asyncio.gather(mirroring, return_exceptions=True)
    return found


async def _write(client: httpx2.AsyncClient, url: str, writer: int, count: int, found: Mirrored) -> None:
    """Batches of one writer, one after the other. One whose fate is unknown is not sent again."""
    number = 0
    while number < count:
        batch = [f"{writer}-{n}" for n in range(number, min(number + 20, count))]
        number += len(batch)
        while True:
            try:
                sent = await client.post(f"{url}{PATH}", json=batch)
            except httpx2.ConnectError:
                await asyncio.sleep(0.02)  # it never went out
                continue
            except httpx2.HTTPError:
                break
            found.acked += batch if sent.status_code == 200 else []
            break
        found.sent += len(batch)


async def _mirror(source: Any, found: Mirrored) -> None:
    while True:
        found.had += [message.value.decode().strip('"') for message in (await source.read()).messages]


async def _back(found: Mirrored, writing: Sequence[asyncio.Future[None]]) -> None:
    """Wait until the mirror has something new, and note how long that took since the service answers again.

    When all was written before the kill there is nothing new to come: then it has to have all of it.
    """
    before, began = len(found.had), time.monotonic()
    await _until(lambda: len(found.had) > before or (all(task.done() for task in writing) and found.lost == 0))
    found.recoveries.append(time.monotonic() - began)


async def _until(holds: Any, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def reading(url: str, **settings: Any) -> AsyncIterator[Any]:
    """A reader of a stream of another service."""
    transport = HttpTransport(retry_seconds=0.1, **settings)
    try:
        yield await transport.open_source(StreamSettings("results", url=url), Oldest())
    finally:
        await transport.close()


# Row 20

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
CLOCKED = (
    "service: {name: clocked}\nstreams: {results: {}}\nruntime: {web: {interfaces: [{kind: config, path: /config}]}}\n"
)


@dataclass
class Jumps:
    """What became of waits while the clock of a service jumped."""

    waits: int = 0
    wrong: int = 0  # ended early or late
    messages: int = 0
    lost: int = 0
    refused: int = 0  # settings that were not acknowledged


def row_20(factor: float) -> Result:
    """The clock of a service jumps by an hour, forth and back: polls, settings and readers do not notice."""
    found = asyncio.run(jumping_service(max(4, round(40 * factor))))
    figures = f"{found.waits} waits, {found.wrong} early or late; {found.messages} messages, {found.lost} lost"
    return Result(20, "clock +- 1 h, over HTTP", figures, passed=found.wrong == found.lost == found.refused == 0)


async def jumping_service(jumps: int) -> Jumps:
    """Poll, publish and set something while the clock jumps; the monotonic clock goes on, as it does."""
    found, dice = Jumps(), random.Random(20)
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        clock.write_text("+0")
        environ = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        with gate_process(CLOCKED, Path(folder), environ=environ) as gate:
            async with (
                reading(f"{gate.url}{PATH}") as source,
                httpx2.AsyncClient(trust_env=False, timeout=30) as client,
            ):
                for number in range(jumps):
                    await _jump(client, gate, source, clock, dice.choice(("+3600", "-3600", "+0")), number, found)
    return found


async def _jump(
    client: httpx2.AsyncClient, gate: GateProcess, source: Any, clock: Path, offset: str, number: int, found: Jumps
) -> None:
    began = time.monotonic()
    polling = asyncio.ensure_future(client.get(f"{gate.url}{PATH}", params={"from": "newest", "wait": 0.5}))
    await asyncio.sleep(0.1)
    clock.write_text(offset)
    assert (await polling).status_code == 204
    found.waits += 1
    found.wrong += not 0.4 < time.monotonic() - began < 2.0
    await client.post(f"{gate.url}{PATH}", json={"number": number})
    async with asyncio.timeout(10):
        batch = await source.read()
    found.messages += 1
    found.lost += [message.value for message in batch.messages] != [b'{"number":%d}' % number]
    setting = await client.post(f"{gate.url}/config", json={"key": "*/clocked/n", "value": number})
    found.refused += setting.json()["response"] != "ACK"


# Row 30

FORBIDDEN = [
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


@asynccontextmanager
async def no_connections() -> AsyncIterator[list[Any]]:
    """Every connection that anybody begins, of any client: none of them reaches the network."""
    begun: list[Any] = []

    def refuse(_: Any, address: Any) -> None:
        begun.append(address)
        raise ConnectionRefusedError

    async def refuse_later(_: Any, sock: Any, address: Any) -> None:
        refuse(sock, address)

    loop = "asyncio.selector_events.BaseSelectorEventLoop.sock_connect"
    with mock.patch.object(socket.socket, "connect", refuse), mock.patch(loop, refuse_later):
        yield begun


async def ask(url: str, **settings: Any) -> str:
    """Ask by each of our clients, and give what they say; none has an answer."""
    transport = HttpTransport(retry_seconds=0.01, **settings)
    stream = StreamSettings("results", url=url)
    source = await transport.open_source(stream, Oldest())
    assert not (await source.read(wait=0)).messages
    sink = await transport.open_sink(stream)
    try:
        await sink.send([Message(value=b"1")])
        raise AssertionError(f"{url} took a message")
    except TransportError as refused:
        told = str(refused)
    await transport.close()
    with HTTPMessageSource[object](url, **settings) as facade:
        assert await asyncio.to_thread(facade.get_messages) == []
    return told


def turning_into(*addresses: Sequence[str]) -> Any:
    """A resolver: what a name is, from one question to the next."""
    turns = [*addresses]

    def lookup(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        places = turns.pop(0) if len(turns) > 1 else turns[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in places]

    return mock.patch.object(socket, "getaddrinfo", lookup)


def row_30(_: float) -> Result:
    """Addresses that an http source must not ask, written in every way, by name, and by a redirect."""
    cases, connections = asyncio.run(_forbidden())
    asked = _redirected()
    figures = f"{cases + 1} cases, {connections} connections, {asked} redirects followed"
    return Result(30, "SSRF through http sources", figures, passed=connections == asked == 0)


async def _forbidden() -> tuple[int, int]:
    async with no_connections() as begun:
        for host in FORBIDDEN:
            await ask(f"http://{host}/latest/meta-data/")
        with turning_into(["169.254.169.254"]):
            await ask("http://rebound.example/messages")
        with turning_into(["127.0.0.1", "169.254.169.254"]):
            await ask("http://both.example/messages")
        return len(FORBIDDEN) + 2, len(begun)


def _redirected() -> int:
    """How often the target of a redirect was asked."""
    asked: list[int] = []

    def target(connection: socket.socket, number: int) -> None:
        asked.append(number)
        connection.sendall(answer(b"[]"))

    with peer(target) as elsewhere, peer(saying(answer(status="302 Found", location=elsewhere))) as url:
        asyncio.run(ask(url))
    return len(asked)
