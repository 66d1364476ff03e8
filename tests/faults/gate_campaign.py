"""Rows 18 and 21: a gate that is told to stop under load, and one that sees a hundred thousand strangers."""

import asyncio
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.faults.result import Result
from tests.gates.process import GateProcess, gate_process

CONFIG = "streams: {orders: {transport: log, codec: json, retain: {messages: 1000000}}}"
PATH = "/streams/orders/messages"


def row_18(factor: float) -> Result:
    """SIGTERM while publishers, long polls and followers are busy: answered, ended, stored, and gone in time."""
    rounds = max(1, round(10 * factor))
    stops = [asyncio.run(stopped_under_load()) for _ in range(rounds)]
    acked, lost, cut = (sum(getattr(stop, fact) for stop in stops) for fact in ("acked", "lost", "cut"))
    slowest = max(stop.seconds for stop in stops)
    figures = f"{rounds} stops, {acked} acknowledged, {lost} lost, {cut} answers cut, slowest exit {slowest:.1f} s"
    return Result(18, "SIGTERM under load", figures, passed=lost == cut == 0 and slowest <= 10)


@dataclass
class Stop:
    """What a gate that was told to stop did."""

    acked: int
    lost: int
    cut: int  # answers that began and did not end
    seconds: float


async def stopped_under_load(publishers: int = 20, followers: int = 10, pollers: int = 10) -> Stop:
    """Stop a busy gate, start it again and count what is there."""
    with tempfile.TemporaryDirectory() as folder, gate_process(CONFIG, Path(folder)) as gate:
        load = Load(gate.url)
        tasks = [asyncio.create_task(load.publish(number)) for number in range(publishers)]
        tasks += [asyncio.create_task(load.follow()) for _ in range(followers)]
        tasks += [asyncio.create_task(load.poll()) for _ in range(pollers)]
        await load.until_busy(500)
        began = time.monotonic()
        gate.signal(signal.SIGTERM)
        code = await asyncio.to_thread(gate.process.wait, 30)
        seconds = time.monotonic() - began
        await asyncio.gather(*tasks)
        assert code == 0, f"exit code {code}: {gate.log()}"
        again = GateProcess(gate.config).start()
        try:
            kept = await everything(again.url)
        finally:
            again.close()
        return Stop(len(load.acked), len(load.acked - kept), load.cut, seconds)


class Load:
    """Clients of one gate, until it goes."""

    def __init__(self, url: str) -> None:
        self._url = url + PATH
        self.acked: set[int] = set()
        self.cut = 0
        self._busy = asyncio.Event()

    async def until_busy(self, acked: int) -> None:
        """Return when so many messages were acknowledged."""
        while len(self.acked) < acked:
            self._busy.clear()
            await self._busy.wait()

    async def publish(self, number: int) -> None:
        """One message after the other."""
        async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
            for value in range(number * 1_000_000, (number + 1) * 1_000_000):
                try:
                    answer = await client.post(self._url, json=value)
                except httpx2.ConnectError:
                    return
                except httpx2.HTTPError as error:
                    # A connection that was idle may be closed under a request that was just sent: not answered,
                    # so not acknowledged. An answer that began must end.
                    self.cut += isinstance(error, httpx2.ReadTimeout)
                    return
                if answer.status_code != 200:
                    return
                self.acked.add(value)
                self._busy.set()

    async def follow(self) -> None:
        """An answer that stays open until the gate ends it."""
        async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
            try:
                async with client.stream("GET", self._url, params={"follow": "true"}) as answer:
                    async for _ in answer.aiter_lines():
                        pass
            except httpx2.HTTPError:
                self.cut += 1

    async def poll(self) -> None:
        """Waiting for what does not come."""
        async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
            try:
                answer = await client.get(self._url, params={"from": "2999-01-01T00:00:00Z", "wait": "60"})
                self.cut += answer.status_code not in (200, 204)
            except httpx2.HTTPError:
                self.cut += 1


async def everything(url: str) -> set[int]:
    """All values that a gate has."""
    found: set[int] = set()
    after: dict[str, str] = {}
    async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
        while True:
            answer = await client.get(url + PATH, params={"limit": "10000", **after})
            if answer.status_code == 204:
                return found
            found |= {message["value"] for message in answer.json()}
            after = {"after": answer.headers["headgate-position"]}


def row_21(factor: float) -> Result:
    """A hundred thousand distinct ids, paths and methods: the metrics and the memory stay as they were."""
    strangers = int(100_000 * factor)
    with tempfile.TemporaryDirectory() as folder, gate_process("streams: {a: {}}", Path(folder)) as gate:
        asyncio.run(_strange(gate.url, 2000))
        _series(gate.url)  # /metrics counts itself from its second time on
        series, weight = _series(gate.url), resident(gate.process.pid)
        asyncio.run(_strange(gate.url, strangers))
        more_series, more_weight = _series(gate.url) - series, resident(gate.process.pid) - weight
    figures = f"{strangers} strangers: {more_series:+d} series, {more_weight:+.1f} MB"
    return Result(21, "distinct ids", figures, passed=more_series == 0 and more_weight < 10)


async def _strange(url: str, count: int) -> None:
    limits = httpx2.Limits(max_connections=16)
    async with httpx2.AsyncClient(timeout=20, trust_env=False, limits=limits) as client:
        numbers = iter(range(count))

        async def stranger() -> None:
            for number in numbers:
                headers = {"X-Request-ID": f"id-{count}-{number}"}
                await client.request(f"M{number}", f"{url}/streams", headers=headers)
                await client.get(f"{url}/nowhere/{count}/{number}", headers=headers)

        await asyncio.gather(*(stranger() for _ in range(16)))


def _series(url: str) -> int:
    lines = httpx2.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return len([line for line in lines if line.startswith("headgate_")])


def resident(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
