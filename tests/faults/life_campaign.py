"""Rows 15, 16 and 17: stalled subscribers, ten times what can be done, and an hour of ordinary life."""

import asyncio
import json
import math
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tests.faults.gate_campaign import resident
from tests.faults.result import Result
from tests.gates.process import GateProcess, gate_process

STALL = 5.0
CONFIG = f"""
service: {{limits: {{pending_requests: 200, pending_bytes: 33554432}}}}
streams: {{ticks: {{codec: json, retain: {{messages: 2000}}}}}}
runtime:
  web:
    interfaces:
      - {{kind: sse, path: /ticks, stream: ticks, stall: {STALL:g}s}}
"""
PATH = "/streams/ticks/messages"


def row_15(factor: float) -> Result:
    """20 who read nothing beside 200 who do: the memory, the others' delay, and what becomes of the 20."""
    with tempfile.TemporaryDirectory() as folder, gate_process(CONFIG, Path(folder)) as gate:
        found = asyncio.run(stalled_beside_live(gate, seconds=max(4.0, 20 * factor)))
    return Result(15, "stalled subscribers", str(found), passed=found.fine)


def row_16(factor: float) -> Result:
    """2,000 connections publish without pause: answered or refused in good form, and soon as before."""
    with tempfile.TemporaryDirectory() as folder, gate_process(CONFIG, Path(folder)) as gate:
        found = asyncio.run(overloaded(gate, seconds=max(3.0, 60 * factor)))
    return Result(16, "overload", str(found), passed=found.fine)


def row_17(factor: float) -> Result:
    """1,000 followers, 300 requests and 1,000 events a second: the memory and the descriptors stay as they are."""
    with tempfile.TemporaryDirectory() as folder, gate_process(CONFIG, Path(folder)) as gate:
        found = asyncio.run(soaked(gate, seconds=max(10.0, 3600 * factor)))
    return Result(17, "soak", str(found), passed=found.fine)


@dataclass
class Live:
    """A follower that keeps up, and how late its events came."""

    late: list[float] = field(default_factory=list)
    failed: int = 0

    async def run(self, url: str) -> None:
        """Follow until cancelled."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2**20)
        try:
            writer.write(b"GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n")
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    self.late.append(time.monotonic() - json.loads(line[6:])["at"])
            self.failed += 1
        finally:
            writer.transport.abort()


@asynccontextmanager
async def crowd(url: str, count: int) -> AsyncIterator[list[Live]]:
    """So many followers that keep up."""
    followers = [Live() for _ in range(count)]
    tasks = [asyncio.create_task(follower.run(url)) for follower in followers]
    try:
        yield followers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def stalled(url: str, count: int) -> AsyncIterator[None]:
    """So many who ask and then read nothing."""
    place = urlsplit(url)
    sockets = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((place.hostname, place.port))
        sock.sendall(b"GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n")
        sockets.append(sock)
    try:
        yield
    finally:
        for sock in sockets:
            sock.close()


async def tick(client: httpx2.AsyncClient, seconds: float, *, rate: int, size: int, each: int = 1) -> None:
    """Events at an even pace, each with the time at which it was sent."""
    pad = "x" * size
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        body = "\n".join(json.dumps({"at": now, "pad": pad}) for _ in range(each))
        await client.post(PATH, content=body, headers={"Content-Type": "application/x-ndjson"})
        await asyncio.sleep(max(0.0, now + each / rate - time.monotonic()))


def worst(late: Sequence[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return sorted(late)[math.ceil(len(late) * 0.99) - 1] * 1000 if late else math.nan


async def value_of(client: httpx2.AsyncClient, metric: str) -> float:
    """A metric without labels."""
    text = (await client.get("/metrics")).text
    return float(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(metric)))


@dataclass(frozen=True)
class Stalled:
    """What came of row 15."""

    megabytes: float
    before: float
    beside: float
    cut: float
    left: int

    def __str__(self) -> str:
        return (
            f"{self.megabytes:+.1f} MB, p99 {self.before:.1f} ms without and {self.beside:.1f} ms with them, "
            f"{self.cut:.0f} cut, {self.left} followers left of 200"
        )

    @property
    def fine(self) -> bool:
        """As promised; a few milliseconds are noise on a small machine."""
        return self.megabytes < 32 and self.beside <= max(2 * self.before, 20) and self.cut == 20 and self.left == 200


async def stalled_beside_live(gate: GateProcess, *, seconds: float, live: int = 200, rate: int = 50) -> Stalled:
    """Measure a crowd alone, and then beside those that stall."""
    client = httpx2.AsyncClient(base_url=gate.url, trust_env=False, timeout=30)
    async with client, crowd(gate.url, live) as followers:
        await _everybody(client, live)
        await tick(client, seconds, rate=rate, size=8000)
        before = worst([late for follower in followers for late in follower.late])
        for follower in followers:
            follower.late.clear()
        weight, most = resident(gate.process.pid), 0.0
        async with stalled(gate.url, 20):
            await _everybody(client, live + 20)
            for _ in range(math.ceil((seconds + STALL + 4) / 1)):
                await tick(client, 1, rate=rate, size=8000)
                most = max(most, resident(gate.process.pid))
            left = int(await value_of(client, "headgate_stream_followers"))
            cut = await value_of(client, "headgate_visitors_cut_total")
        beside = worst([late for follower in followers for late in follower.late])
    return Stalled(most - weight, before, beside, cut, left)


async def _everybody(client: httpx2.AsyncClient, count: int) -> None:
    while await value_of(client, "headgate_stream_followers") < count:
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Overload:
    """What came of row 16."""

    accepted: int
    refused: int
    wrong: int
    late: float
    megabytes: float
    after: float

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted with p99 {self.late:.0f} ms, {self.refused} refused, {self.wrong} in bad form, "
            f"{self.megabytes:.0f} MB at most, normal after {self.after:.1f} s"
        )

    @property
    def fine(self) -> bool:
        """As promised."""
        calm = self.late < 1000 and self.megabytes < 512 and self.after < 5
        return calm and self.accepted > 0 and self.wrong == 0


async def overloaded(gate: GateProcess, *, seconds: float, connections: int = 2000) -> Overload:
    """Far more publishers than the gate can serve, each with its next request as soon as it was answered."""
    place = urlsplit(gate.url)
    body = b"\n".join([b'{"pad":"' + b"x" * 1000 + b'"}'] * 50)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: {len(body)}"
    request = head.encode() + b"\r\n\r\n" + body
    end = time.monotonic() + seconds
    late: list[float] = []
    counts = {"refused": 0, "wrong": 0}

    async def flood() -> None:
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection(place.hostname, place.port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            try:
                while time.monotonic() < end and await publish(reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError):
                pass  # it was refused and closed while its body was under way
            finally:
                writer.transport.abort()

    async def publish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        began = time.monotonic()
        writer.write(request)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b" 200 " in answer[:20]:
            late.append(time.monotonic() - began)
            return True
        good = (b" 503 " in answer[:20] or b" 429 " in answer[:20]) and b"retry-after" in answer
        counts["refused" if good else "wrong"] += 1
        return b"connection: close" not in answer

    most = 0.0
    floods = [asyncio.create_task(flood()) for _ in range(connections)]
    while time.monotonic() < end:
        await asyncio.sleep(0.2)
        most = max(most, resident(gate.process.pid))
    await asyncio.gather(*floods)
    over = time.monotonic()
    async with httpx2.AsyncClient(base_url=gate.url, trust_env=False, timeout=30) as client:
        while (await client.post(PATH, json=1)).status_code != 200:
            await asyncio.sleep(0.05)
    return Overload(len(late), counts["refused"], counts["wrong"], worst(late), most, time.monotonic() - over)


@dataclass(frozen=True)
class Soak:
    """What came of row 17."""

    minutes: float
    slope: float
    descriptors: int
    failed: int

    def __str__(self) -> str:
        return (
            f"{self.minutes:.0f} min: {self.slope:+.2f} MB per 10 min, {self.descriptors:+d} descriptors, "
            f"{self.failed} errors"
        )

    @property
    def fine(self) -> bool:
        """As promised; over less than ten minutes the slope says little."""
        return abs(self.descriptors) <= 2 and self.failed == 0 and (self.slope < 1 or self.minutes < 10)


async def soaked(gate: GateProcess, *, seconds: float, followers: int = 1000) -> Soak:
    """Ordinary life, and what it leaves behind between the first tenth and the end."""
    failed = 0
    client = httpx2.AsyncClient(base_url=gate.url, trust_env=False, timeout=30)
    async with client, AsyncExitStack() as stack:
        live = await stack.enter_async_context(crowd(gate.url, followers))
        await _everybody(client, followers)

        async def ask() -> None:
            nonlocal failed
            while True:
                answer = await client.get("/streams")
                failed += answer.status_code != 200
                await asyncio.sleep(1 / 300)

        asking = asyncio.create_task(ask())
        await tick(client, seconds / 10, rate=1000, size=20, each=100)
        weight, open_files = resident(gate.process.pid), _descriptors(gate)
        await tick(client, seconds * 0.9, rate=1000, size=20, each=100)
        grown, more = resident(gate.process.pid) - weight, _descriptors(gate) - open_files
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        failed += sum(follower.failed for follower in live)
    return Soak(seconds / 60, grown / (seconds * 0.9) * 600, more, failed)


def _descriptors(gate: GateProcess) -> int:
    return sum(1 for _ in Path(f"/proc/{gate.process.pid}/fd").iterdir())
