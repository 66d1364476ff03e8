"""Rows 12 and 13: those who follow a stream are cut, and what serves them is killed."""

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx2

from tests.faults.chase import Account, Chaser, Numbers, account, everything_has_come
from tests.faults.result import Result
from tests.gates.process import GateProcess, gate_process

KEYS = 20
CONFIG = """
streams:
  numbers: {transport: %s, codec: json, retain: {messages: %d}}
runtime:
  web:
    interfaces:
      - {kind: sse, path: /numbers, stream: numbers, data: envelope, filter: {key: {key: true}}}
"""


def own_key(chaser: Chaser) -> Sequence[int]:
    """The key that a chaser follows, as its path says."""
    return [int(chaser.path.rpartition("=k")[2])]


def row_12(factor: float) -> Result:
    """200 clients, each cut every 1 to 3 seconds, at 500 events a second."""
    seconds = max(5.0, 300 * factor)
    with tempfile.TemporaryDirectory() as folder, gate_process(CONFIG % ("memory", 100_000), Path(folder)) as gate:
        found = asyncio.run(cut_clients([gate.url], seconds=seconds, clients=200))
    return Result(12, "followers are cut", str(found), passed=found.fine)


def row_13(factor: float) -> Result:
    """The same with the server killed ten times."""
    kills = max(1, round(10 * factor))
    with tempfile.TemporaryDirectory() as folder, gate_process(CONFIG % ("log", 1_000_000), Path(folder)) as gate:
        found = asyncio.run(killed_server(gate, kills=kills, clients=200))
    return Result(13, "the server is killed", f"{kills} kills, {found}", passed=found.fine)


async def cut_clients(urls: Sequence[str], *, seconds: float, clients: int, rate: int = 500) -> Account:
    """Cut clients for so long while numbers are published; what came of it."""
    return await chase(urls, lambda _: asyncio.sleep(seconds), clients=clients, rate=rate)


async def killed_server(gate: GateProcess, *, kills: int, clients: int, rate: int = 500) -> Account:
    """Kill the gate and start it again, so many times."""

    async def kill(numbers: Numbers) -> None:
        for _ in range(kills):
            await numbers.grow(random.randint(100, 400))
            await asyncio.to_thread(gate.kill)
            await asyncio.to_thread(gate.start)
        await numbers.grow(100)

    return await chase([gate.url], kill, clients=clients, rate=rate)


async def chase(
    urls: Sequence[str],
    trouble: Callable[[Numbers], Awaitable[None]],
    *,
    clients: int,
    rate: int,
    stay: Callable[[], float] = lambda: random.uniform(1, 3),
) -> Account:
    """Publish and follow while there is trouble, and then see what everybody had."""
    numbers = Numbers(KEYS)
    chasers = [Chaser(urls, f"/numbers?key=k{number % KEYS}", stay) for number in range(clients)]
    running = [asyncio.create_task(chaser.run()) for chaser in chasers]
    await asyncio.gather(*(chaser.ready.wait() for chaser in chasers))
    publishing = asyncio.create_task(publish(numbers, urls, rate))
    await trouble(numbers)
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    await everything_has_come(numbers, chasers, own_key)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return account(numbers, chasers, own_key)


async def publish(numbers: Numbers, urls: Sequence[str], rate: int) -> None:
    """So many numbers a second, until cancelled."""
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        while True:
            # Shielded: a request that is under way when this ends is seen through, so that its fate is known.
            await asyncio.shield(numbers.publish(client, random.choice(urls), max(1, rate // 50)))
            await asyncio.sleep(1 / 50)
