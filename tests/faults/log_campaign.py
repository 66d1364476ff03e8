"""Rows 1 to 4 and 20: the log under kill -9, power cuts, corruption, a failing disk and a jumping clock."""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import StorageFull, TransportError, Unavailable
from headgate.transport.base import StreamSettings
from headgate.transport.log import LogTransport
from tests.faults.log_writer import STREAM
from tests.faults.result import Result
from tests.faults.unreliable import Connection, FailingDisk, ForgetfulDisk

WRITERS = 4


def row_1(factor: float) -> Result:
    """kill -9 of four writing processes, again and again: what was acknowledged is there, in order."""
    kills = max(2, int(100 * factor))
    dice = random.Random(1)
    acked: dict[str, list[int]] = {str(number): [] for number in range(WRITERS)}
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        for _ in range(kills):
            _write_and_kill(path, acked, dice)
            began = time.monotonic()
            kept = asyncio.run(numbers(path))
            slowest = max(slowest, time.monotonic() - began)
    lost = sum(len(set(acked[writer]) - set(kept.get(writer, ()))) for writer in acked)
    ordered = all(sorted(found) == found and len(set(found)) == len(found) for found in kept.values())
    total = sum(map(len, acked.values()))
    figures = f"{kills} kills, {total} acknowledged, {lost} lost, in order: {ordered}, slowest recovery {slowest:.2f} s"
    return Result(1, "log: kill -9", figures, passed=lost == 0 and ordered and total > 0)


def _write_and_kill(path: Path, acked: dict[str, list[int]], dice: random.Random) -> None:
    processes = {writer: _writer(path, writer, _next_number(done)) for writer, done in acked.items()}
    try:
        # Each has acknowledged something, and then it happens at a moment that nobody chose.
        heard = {writer: _heard(process, 1) for writer, process in processes.items()}
        heard["0"] += _heard(processes["0"], dice.randrange(500))
    finally:
        for process in processes.values():
            process.kill()
    for writer, process in processes.items():
        rest, _ = process.communicate()
        whole = [line for line in (heard[writer] + rest).splitlines(keepends=True) if line.endswith("\n")]
        assert whole, "a writer ended before it wrote"
        acked[writer] += map(int, whole)


def _heard(process: "subprocess.Popen[str]", lines: int) -> str:
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(lines))


def _next_number(done: list[int]) -> int:
    # Beyond what the last life may have written without saying so.
    return max(done, default=0) + 1_000_000


def _writer(path: Path, writer: str, first: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.log_writer", str(path), writer, str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def numbers(path: Path) -> dict[str, list[int]]:
    """What is kept, by writer, in its order."""
    kept: dict[str, list[int]] = {}
    async with opened(path) as log:
        for value in await values(log, STREAM):
            writer, _, number = value.decode().partition(":")
            kept.setdefault(writer, []).append(int(number))
    return kept


async def values(log: LogTransport, stream: StreamSettings) -> list[bytes]:
    """All values that a stream has now."""
    source = await log.open_source(stream, Oldest())
    found: list[bytes] = []
    while messages := (await source.read(10_000, wait=0)).messages:
        found += [message.value for message in messages]
    return found


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> Any:
    """A log that is closed when the block is left."""
    log = LogTransport(path=path, **settings)
    try:
        yield log
    finally:
        await log.close()


def row_2(factor: float) -> Result:
    """Power cuts: writes that were not synced are dropped, kept or torn, as the dice say."""
    seeds = max(5, int(1000 * factor))
    outcomes = [asyncio.run(power_cut(seed, "full")) for seed in range(seeds)]
    acked, lost = (sum(outcome[index] for outcome in outcomes) for index in (0, 1))
    prefixes = all(asyncio.run(power_cut(seed, "relaxed"))[2] for seed in range(max(5, seeds // 10)))
    figures = f"{seeds} cuts, {acked} acknowledged, {lost} lost; relaxed keeps a beginning without holes: {prefixes}"
    return Result(2, "log: power cut", figures, passed=lost == 0 and prefixes)


async def power_cut(seed: int, durability: str) -> tuple[int, int, bool]:
    """Write, cut the power at a random moment, look: acknowledged, lost of them, and whether there are no holes."""
    dice = random.Random(seed)
    acked: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        before.mkdir()
        after.mkdir()
        disk = ForgetfulDisk(f"forgetful-{seed}-{durability}")
        async with opened(
            before / "log.db", durability=durability, connect=lambda path: Connection(path, disk.vfs_name)
        ) as log:
            await _write(log, acked, batches=dice.randrange(1, 25), dice=dice)
            disk.power_cut(after, dice)
        async with opened(after / "log.db") as log:
            kept = [int(value) for value in await values(log, STREAM)]
        disk.unregister()
    return len(acked), len(set(acked) - set(kept)), kept == list(range(len(kept)))


async def _write(log: LogTransport, acked: list[int], *, batches: int, dice: random.Random) -> None:
    sink = await log.open_sink(STREAM)
    for _ in range(batches):
        batch = range(len(acked), len(acked) + dice.randrange(1, 40))
        await sink.send([Message(value=b"%d" % number) for number in batch])
        acked += batch


def row_3(factor: float) -> Result:
    """Flipped bits and cut files: what is damaged is noticed, and never served as if it were whole."""
    tries = max(50, int(2000 * factor))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        written = asyncio.run(_filled(path))
        whole = path.read_bytes()
        outcomes = [asyncio.run(damaged(whole, written, seed)) for seed in range(tries)]
    served, silent, noticed = (outcomes.count(kind) for kind in ("served", "silent", "noticed"))
    figures = (
        f"{tries} damages: {noticed} noticed, {outcomes.count('harmless')} harmless, {silent} silent, {served} served"
    )
    return Result(3, "log: corruption", figures, passed=served == 0 and silent == 0)


async def _filled(path: Path) -> list[bytes]:
    dice = random.Random(3)
    written = [b"%d:" % number + dice.randbytes(60) for number in range(300)]
    async with opened(path) as log:
        sink = await log.open_sink(STREAM)
        for first in range(0, 300, 10):
            await sink.send([Message(value=value, key=b"key", timestamp=1) for value in written[first : first + 10]])
    return written


async def damaged(whole: bytes, written: list[bytes], seed: int) -> str:
    """Damage a copy and read it: harmless, noticed, silent (a loss that nobody is told) or served."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        path.write_bytes(_damage(whole, dice))
        try:
            async with opened(path) as log:
                source = await log.open_source(STREAM, Oldest())
                batch = await source.read(1000, wait=0)
                extent = await log.extent(STREAM)
        except TransportError:
            return "noticed"
    found = [message.value for message in batch.messages]
    if not set(found) <= set(written) or any(message.key != b"key" for message in batch.messages):
        return "served"
    if found == written:
        return "harmless"
    return "noticed" if batch.missed or extent.messages == len(written) else "silent"


def _damage(whole: bytes, dice: random.Random) -> bytes:
    if dice.random() < 0.2:
        return whole[: dice.randrange(len(whole))]
    content = bytearray(whole)
    for _ in range(dice.randint(1, 8)):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


def row_4(factor: float) -> Result:
    """A disk that is full, or fails, at its n-th write: no false word, and well again by itself."""
    places = range(1, max(10, int(200 * factor)) + 1)
    outcomes = [asyncio.run(failing_disk(first, full=full)) for first in places for full in (True, False)]
    acked, refused, lost = (sum(outcome[index] for outcome in outcomes) for index in range(3))
    recovered = all(outcome[3] for outcome in outcomes)
    figures = (
        f"{len(outcomes)} disks: {acked} acknowledged, {refused} refused, {lost} lost, all well again: {recovered}"
    )
    return Result(4, "log: full or failing disk", figures, passed=lost == 0 and recovered and refused > 0)


async def failing_disk(first: int, *, full: bool) -> tuple[int, int, int, bool]:
    """Write until the disk has failed and is well again: acknowledged, refused, lost, and whether it recovered."""
    acked: list[int] = []
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        disk = FailingDisk(f"failing-{first}-{full}", first=first, count=3, full=full)
        async with opened(path, connect=lambda name: Connection(name, disk.vfs_name)) as log:
            number = 0
            while number < 1000 and not (disk.failed and acked and acked[-1] == number - 1 and number % 10 == 0):
                try:
                    sink = await log.open_sink(STREAM)
                    await sink.send([Message(value=b"%d" % number)])
                    acked.append(number)
                except (StorageFull, Unavailable):
                    refused += 1
                number += 1
            recovered = log.trouble() is None
        disk.unregister()
        async with opened(path) as log:
            kept = [int(value) for value in await values(log, STREAM)]
    return len(acked), refused, len(set(acked) - set(kept)), recovered and kept == sorted(set(kept))


def row_20(factor: float) -> Result:
    """The wall clock jumps by an hour, forth and back: no wait ends early or late, nothing young is let go."""
    rounds = max(3, int(50 * factor))
    early_or_late = [asyncio.run(jumping_clock(seed)) for seed in range(rounds)]
    figures = f"{rounds} rounds of jumps, {sum(early_or_late)} waits early or late"
    return Result(20, "clock +- 1 h", figures, passed=sum(early_or_late) == 0)


async def jumping_clock(seed: int) -> int:
    """How many waits of readers ended at another time than they were asked to."""
    dice = random.Random(seed)
    jump = 0

    def clock() -> int:
        return time.time_ns() + jump

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "log.db", clock=clock) as log:
            source = await log.open_source(STREAM, Oldest())
            for _ in range(4):
                waiting = asyncio.ensure_future(source.read(wait=0.1))
                await asyncio.sleep(0)
                jump = dice.choice([-1, 1]) * 3600 * 1_000_000_000
                began = time.monotonic()
                await waiting
                wrong += not 0.05 < time.monotonic() - began < 2
    return wrong
