"""The chase: clients that follow streams of numbers through every cut, and count what they get."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlsplit

import httpx2

_RETRY = 0.05
_PATIENCE = 60.0  # seconds for the last to arrive


@dataclass
class Numbers:
    """What was published: a growing number on each of some keys."""

    keys: int
    acked: list[list[int]] = field(init=False)  # by key, the numbers that were acknowledged
    next: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.acked = [[] for _ in range(self.keys)]
        self.next = [0] * self.keys

    async def grow(self, count: int) -> None:
        """Return when so many more were acknowledged."""
        wanted = self.total + count
        async with asyncio.timeout(_PATIENCE):
            while self.total < wanted:
                await asyncio.sleep(0.02)

    @property
    def total(self) -> int:
        """How many were acknowledged."""
        return sum(map(len, self.acked))

    async def publish(self, client: httpx2.AsyncClient, url: str, count: int) -> None:
        """Some numbers in one request. When its fate is unknown they count as not acknowledged."""
        batch = [(key, self._take(key)) for key in (random.randrange(self.keys) for _ in range(count))]
        body = b"\n".join(json.dumps({"value": number, "key": f"k{key}"}).encode() for key, number in batch)
        headers = {"Content-Type": "application/vnd.headgate.messages+json"}
        body = b"[" + body.replace(b"\n", b",") + b"]"
        try:
            answer = await client.post(f"{url}/streams/numbers/messages", content=body, headers=headers)
        except httpx2.HTTPError:
            await asyncio.sleep(_RETRY)
            return
        if answer.status_code == 200:
            for key, number in batch:
                self.acked[key].append(number)
        else:
            await asyncio.sleep(_RETRY)

    def _take(self, key: int) -> int:
        self.next[key] += 1
        return self.next[key] - 1


@dataclass
class Chaser:
    """A client that is cut again and again, and goes on after the last event that it had."""

    urls: Sequence[str]
    path: str
    stay: Callable[[], float]  # seconds until it is cut
    seen: dict[str, list[int]] = field(default_factory=dict)
    gaps: list[dict[str, object]] = field(default_factory=list)
    cuts: int = 0
    last_id: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self.stay()):
                    await self._follow(random.choice(self.urls))
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                self.cuts += 1
                await asyncio.sleep(_RETRY * random.random())

    async def _follow(self, url: str) -> None:
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            resume = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: x\r\n{resume}\r\n".encode())
            if b" 200 " not in await reader.readline():
                raise ValueError("not now")
            await self._read(reader)
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        name = identity = ""
        data = None
        while line := await reader.readline():
            text = line.decode().rstrip("\r\n")
            if text.startswith("event: "):
                name = text[7:]
            elif text.startswith("id: "):
                identity = text[4:]
                self.ready.set()
            elif text.startswith("data: "):
                data = json.loads(text[6:])
            elif not text and line == b"\n":
                if data is not None:
                    self._take(name, data)
                if identity:
                    self.last_id = identity
                name, data, identity = "", None, ""

    def _take(self, name: str, data: dict[str, object]) -> None:
        if name == "gap":
            self.gaps.append(data)
        else:
            self.seen.setdefault(str(data["key"]), []).append(int(str(data["value"])))


@dataclass(frozen=True)
class Account:
    """What came of a chase."""

    events: int
    cuts: int
    lost: int
    doubled: int
    out_of_order: int
    gaps: int

    def __str__(self) -> str:
        return (
            f"{self.events} events through {self.cuts} cuts: {self.lost} lost, {self.doubled} doubled, "
            f"{self.out_of_order} out of order, {self.gaps} gaps"
        )

    @property
    def fine(self) -> bool:
        """Whether everybody had everything once, in order."""
        return self.events > 0 and self.lost == self.doubled == self.out_of_order == self.gaps == 0


def account(numbers: Numbers, chasers: Sequence[Chaser], keys: Callable[[Chaser], Sequence[int]]) -> Account:
    """Compare what clients had with what was acknowledged on the keys that they follow."""
    lost = doubled = disorder = events = 0
    for chaser in chasers:
        for key in keys(chaser):
            seen = chaser.seen.get(f"k{key}", [])
            events += len(seen)
            lost += len(set(numbers.acked[key]) - set(seen))
            doubled += len(seen) - len(set(seen))
            disorder += sum(1 for one, other in pairwise(seen) if other < one)
    return Account(events, sum(c.cuts for c in chasers), lost, doubled, disorder, sum(len(c.gaps) for c in chasers))


async def everything_has_come(
    numbers: Numbers, chasers: Sequence[Chaser], keys: Callable[[Chaser], Sequence[int]]
) -> None:
    """Return when each has the last number of each of its keys, or nobody can wait longer."""
    last = [max(acked, default=-1) for acked in numbers.acked]
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        if all(last[key] in chaser.seen.get(f"k{key}", [-1])[-50:] for chaser in chasers for key in keys(chaser)):
            return
        await asyncio.sleep(0.05)
