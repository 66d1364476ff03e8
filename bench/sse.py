"""SSE: events to many subscribers, beside a queue per client, nchan, and a C server that does nothing but write."""

import math
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from bench.native import Crowd, compiled
from bench.sse_servers import EVENTS, Server, floor, gate, nchan, nchan_is_there, queues
from bench.startup import resident
from bench.table import Row, median_ratios

ROUNDS, SECONDS = 5, 0.4
SUBSCRIBERS, EVENTS_A_TICK = (100, 1000), (1, 20)
IDLE, FEW, MANY = 1000, 10, 10_000
QUEUES, NCHAN, FLOOR = "sse-starlette, a queue each", "nchan", "C, a blocking write each"
MISSING = "not installed: apt-get install nginx libnginx-mod-nchan"

Start = Callable[[Path], AbstractContextManager[Server]]


def rows() -> list[Row]:
    """Fan-out beside the three others, memory per idle subscriber, and what those cost who are not meant."""
    if shutil.which("gcc") is None:
        return [Row("sse", "", math.nan, "not measured: needs gcc for its client")]
    _allow_open_files()
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        return [*bench.fan_out(), *bench.memory(), bench.not_meant()]


def _allow_open_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the servers and the client inherit it


class _Bench:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client = compiled("client", folder)
        self._others: dict[str, Start] = {QUEUES: queues, NCHAN: nchan, FLOOR: floor}
        if not nchan_is_there():
            del self._others[NCHAN]

    def fan_out(self) -> Iterator[Row]:
        """Events per second to all subscribers of a stream."""
        with ExitStack() as stack:
            ours = stack.enter_context(gate(self._folder))
            others = {name: stack.enter_context(start(self._folder)) for name, start in self._others.items()}
            for count in SUBSCRIBERS:
                yield from self._fan_out_to(count, ours, others)

    def _fan_out_to(self, count: int, ours: Server, others: dict[str, Server]) -> Iterator[Row]:
        with ExitStack() as stack:
            mine = stack.enter_context(self._crowd(ours, count))
            theirs = {name: stack.enter_context(self._crowd(server, count)) for name, server in others.items()}
            for events in EVENTS_A_TICK:
                rates: list[float] = []
                floors = [_measured(theirs[name], others[name], events) for name in theirs]
                ratios = median_ratios(_measured(mine, ours, events, rates), floors, ROUNDS)
                path, note = f"sse, {count} subscribers, {events} a tick", f"fastest: {max(rates) / 1e3:.0f}k events/s"
                for name, ratio in zip(theirs, ratios, strict=True):
                    yield Row(path, name, ratio, note)
                if NCHAN not in theirs:
                    yield Row(path, NCHAN, math.nan, MISSING)

    def _crowd(self, server: Server, count: int, path: str = EVENTS) -> Crowd:
        return Crowd(self._client, server.port, path, count)

    def memory(self) -> Iterator[Row]:
        """Kilobytes that the gate's process grows by for each subscriber that waits."""
        beside = {name: self._idle_kilobytes(start, IDLE) for name, start in self._others.items() if name != FLOOR}
        note = ", ".join(f"{name}: {weight:.1f}" for name, weight in beside.items())
        yield Row(f"sse, kB per idle subscriber, {IDLE}", "aim 10", self._idle_kilobytes(gate, IDLE), note)
        yield Row(f"sse, kB per idle subscriber, {MANY}", "aim 10", self._idle_kilobytes(gate, MANY))

    def _idle_kilobytes(self, start: Start, count: int) -> float:
        with start(self._folder) as server:
            with self._crowd(server, FEW):
                before = resident(server.pid)
            with self._crowd(server, count):
                return (resident(server.pid) - before) * 1024 / count

    def not_meant(self) -> Row:
        """What an event costs that one subscriber asked for, among few and among many who asked for others."""
        with ExitStack() as stack:
            rates = [self._one_among(stack, count) for count in (MANY, FEW)]
            ratio = median_ratios(rates[0], rates[1:], ROUNDS)[0]
        return Row(f"sse, {MANY} subscribers to other keys", f"{FEW} to other keys", ratio, "one gets all, 20 a tick")

    def _one_among(self, stack: ExitStack, count: int) -> Callable[[], float]:
        server = stack.enter_context(gate(self._folder, by_key=True))
        stack.enter_context(self._crowd(server, count, f"{EVENTS}?key=other-%d"))
        one = stack.enter_context(self._crowd(server, 1, f"{EVENTS}?key=mine"))
        tick = server.tick_of("mine", EVENTS_A_TICK[-1])
        return lambda: one.rate(tick, SECONDS)


def _measured(crowd: Crowd, server: Server, events: int, rates: list[float] | None = None) -> Callable[[], float]:
    tick = server.tick(events)

    def rate() -> float:
        measured = crowd.rate(tick, SECONDS)
        if rates is not None:
            rates.append(measured)
        return measured

    return rate
