"""Process groups: what a signature costs, what a second worker brings, and the same work in a ProcessPoolExecutor."""

import asyncio
import importlib
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from bench.table import Row, interleaved, median_ratio, ratio
from headgate.app.gate import Gate
from headgate.core import wire
from headgate.core.frames import Opener, Sealer
from headgate.core.greeting import Rules
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import HeadgateError
from headgate.spec.resolve import load_plan
from headgate.transport.link import Link, LinkServer, connect

TALK = 10
MESSAGES = [Message(value=b"x" * 100, key=b"machine-7", timestamp=1_700_000_000_000_000_000 + n) for n in range(64)]
ROUNDS, IN_FLIGHT = 3000, 8
PLANT = """
import hashlib
from headgate import node

def burn(rounds):
    digest = b""
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()

@node(input="heavy", output="done", group="crew", order="none")
def heavy(number: int) -> str:
    return burn(15_000)

@node(input="light", output="done", group="crew", order="none", concurrency=8)
def light(number: int) -> str:
    return burn(50)
"""
CONFIG = """
streams:
  heavy: {{retain: {{messages: 100000}}}}
  light: {{retain: {{messages: 100000}}}}
  done: {{retain: {{messages: 100000}}}}
runtime:
  bootstrap: {{mode: process_supervisor}}
  discovery_modules: [bench_plant]
  platform: {{process_groups: [{{name: crew, workers: {workers}}}]}}
"""


def rows() -> list[Row]:
    """Signed and unsigned frames; a node that computes, in one and two workers; small calls, here and in a pool."""
    signed = median_ratio(lambda: asyncio.run(_frames(signed=True)), lambda: asyncio.run(_frames(signed=False)), 5)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench_plant.py").write_text(PLANT)
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = folder
        try:
            rates = interleaved(_runs(Path(folder)), 5)
        finally:
            sys.path.remove(folder)
            del os.environ["PYTHONPATH"]
    heavy = f"{_middle(rates['heavy 2']):.0f} messages/s, {1000 / _middle(rates['heavy 1']):.1f} ms of CPU each"
    return [
        Row("frames of 64 messages, there and back", "the same, unsigned", signed, "HMAC-SHA256, 100 bytes a message"),
        Row("node that computes, 2 workers", "1 worker", ratio(rates["heavy 2"], rates["heavy 1"]), heavy),
        Row(
            "node of small calls, 2 workers",
            "ProcessPoolExecutor(2), 64 in flight",
            ratio(rates["light 2"], rates["light pool"]),
            f"{_middle(rates['light 2']):.0f} messages/s from stream to stream",
        ),
        Row(
            "node that computes, 2 workers",
            "ProcessPoolExecutor(2), 64 in flight",
            ratio(rates["heavy 2"], rates["heavy pool"]),
        ),
    ]


def _middle(rates: list[float]) -> float:
    return sorted(rates)[len(rates) // 2]


# Frames


class _Echo:
    """Sends back what comes."""

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        link.send(kind, wire.pack(wire.unpack(payload)))

    def ended(self, link: Link, reason: HeadgateError | None) -> None: ...


class _Greeted(_Echo):
    """Notes who came, and sends back what comes after that."""

    def __init__(self) -> None:
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        if self.link.done():
            super().frame(link, kind, payload)
        else:
            self.link.set_result(link)


class _Counting:
    """Sends the next one for each that comes back."""

    def __init__(self) -> None:
        self.left = ROUNDS
        self.done = asyncio.Event()

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        messages = wire.unpack(payload)
        self.left -= 1
        if self.left >= IN_FLIGHT:
            link.send(kind, wire.pack(messages))
        elif not self.left:
            self.done.set()

    def ended(self, link: Link, reason: HeadgateError | None) -> None: ...


class _Unsigned(Sealer):
    """The floor: a length, a kind, and what is to be said."""

    def __init__(self) -> None:
        pass

    def seal(self, kind: int, payload: bytes, *, now: int) -> bytes:  # noqa: ARG002
        return struct.pack(">IB", len(payload) + 1, kind) + payload


class _Believing(Opener):
    """Believes everything."""

    def __init__(self) -> None:
        pass

    def open(self, frame: bytes, *, now: int) -> tuple[int, bytes]:  # noqa: ARG002
        return frame[0], frame[1:]


async def _frames(*, signed: bool) -> float:
    """Frames a second, there and back, with some in flight."""
    rules = Rules(b"s" * 32)
    counting = _Counting()
    greeted = _Greeted()
    server = LinkServer(rules, [TALK], lambda _: greeted)
    await server.start("127.0.0.1", 0)
    link = await connect(server.host, server.port, rules, "bench", counting, [TALK], first=(TALK, b"here"))
    accepted = await greeted.link
    if not signed:
        for side in (link, accepted):
            side.converse(_Unsigned(), _Believing())
    body = wire.pack(MESSAGES)
    began = time.perf_counter()
    for _ in range(IN_FLIGHT):
        link.send(TALK, body)
    await counting.done.wait()
    rate = ROUNDS / (time.perf_counter() - began)
    link.close()
    await server.close()
    return rate


# Nodes


def _runs(folder: Path) -> dict[str, Callable[[], float]]:
    def node(stream: str, workers: int, count: int) -> Callable[[], float]:
        return lambda: asyncio.run(_node(folder, stream, workers, count))

    return {
        "heavy 1": node("heavy", 1, 200),
        "heavy 2": node("heavy", 2, 400),
        "light 2": node("light", 2, 20_000),
        "heavy pool": lambda: asyncio.run(_pool("heavy", 400)),
        "light pool": lambda: asyncio.run(_pool("light", 10_000)),
    }


@asynccontextmanager
async def _gate(folder: Path, workers: int) -> AsyncIterator[Gate]:
    path = folder / f"gate-{workers}.yaml"
    path.write_text(CONFIG.format(workers=workers))
    async with Gate(load_plan([path], environ={})) as gate:
        yield gate


async def _node(folder: Path, stream: str, workers: int, count: int) -> float:
    """Messages a second, from being published to being there as what the node made of them."""
    async with _gate(folder, workers) as gate:
        made, done = gate.streams["done"], 0
        async with made.subscribe(Oldest()) as subscription:
            for first in (0, 100):  # the first hundred warm up
                number = 100 if first == 0 else count
                began = time.perf_counter()
                await gate.streams[stream].publish([Message(value=b"%d" % n) for n in range(number)])
                done = 0
                while done < number:
                    done += len((await subscription.take()).messages)
        return count / (time.perf_counter() - began)


async def _pool(name: str, count: int) -> float:
    """The function of the node in a pool of processes, a call for each message, with 64 of them in flight."""
    function = getattr(importlib.import_module("bench_plant"), name)
    loop = asyncio.get_running_loop()
    # Forking a process that has threads may stop it for good.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, function, n) for n in range(100)))
        numbers = iter(range(count))

        async def caller() -> None:
            for number in numbers:
                await loop.run_in_executor(pool, function, number)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(64)))
        return count / (time.perf_counter() - began)
