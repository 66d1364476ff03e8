"""Rows 7, 19 and 31: members of a group that come and go, workers that are killed, and frames that are not ours."""

import asyncio
import os
import random
import signal
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx2

from headgate.core.frames import Opener, Sealer
from headgate.core.greeting import Rules
from headgate.errors import FrameRefused
from tests.faults.result import Result
from tests.gates.process import GateProcess, gate_process
from tests.services.daemon import wait_until
from tests.services.kafka import KafkaBroker
from tests.transport.link.attacker import SECRET, TALK, attacker, listening

ENVELOPES = "application/vnd.headgate.messages+json"
PLANT = """
import os, time
from headgate import Message, node

@node(input="jobs", output="done", group="cpu", retries=0)
def work(job: Message[int]) -> Message:
    end = time.perf_counter() + 0.002
    while time.perf_counter() < end:
        pass
    return job

@node(input="waits", output="done", group="io")
async def wait(job: Message[int]) -> Message:
    return job
"""
GROUPS = """
streams:
  jobs: {transport: log, retain: {messages: 1000000}}
  waits: {transport: log, retain: {messages: 1000000}}
  done: {transport: log, retain: {messages: 1000000}}
connections: {log: {durability: relaxed}}
runtime:
  bootstrap: {mode: process_supervisor}
  discovery_modules: [plant]
  platform:
    process_groups:
      - {name: cpu, workers: 2}
      - {name: io, runner_profile: async}
"""
MEMBERS = """
connections: {{kafka: {{bootstrap_servers: "{bootstrap}", group_id: "{jobs}", options: {{session.timeout.ms: 6000}}}}}}
streams:
  jobs: {{transport: kafka, topic: "{jobs}", delivery: queue}}
  done: {{transport: kafka, topic: "{done}"}}
  waits: {{}}
runtime:
  bootstrap: {{mode: process_supervisor}}
  discovery_modules: [plant]
  platform: {{process_groups: [{{name: cpu, workers: 0}}, {{name: io}}]}}
"""


def alive(pid: int) -> bool:
    """A process of this number runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def publish(gate: GateProcess, stream: str, numbers: range) -> None:
    """Numbers, with 20 keys among them."""
    for at in range(numbers.start, numbers.stop, 500):
        body = [{"value": n, "key": f"k{n % 20}"} for n in range(at, min(at + 500, numbers.stop))]
        path = f"{gate.url}/streams/{stream}/messages"
        httpx2.post(
            path, json=body, headers={"Content-Type": ENVELOPES}, trust_env=False, timeout=30
        ).raise_for_status()


class Reader:
    """What was done so far."""

    def __init__(self, gate: GateProcess, wait: float = 0.0) -> None:
        self._url, self._after, self._wait = f"{gate.url}/streams/done/messages", "", wait
        self.found: list[int] = []

    def read(self) -> set[int]:
        """All that was done, each once."""
        while True:
            asked = {"after": self._after} if self._after else {"from": "oldest"}
            answer = httpx2.get(
                self._url, params={**asked, "limit": 1000, "wait": self._wait}, trust_env=False, timeout=30
            )
            if answer.status_code == 204:
                return set(self.found)
            messages = answer.json()
            self.found += [message["value"] for message in messages]
            self._after = messages[-1]["position"]

    def disordered(self, second: int = 10**9) -> int:
        """Messages that came for the first time after a later one of their key and stream; `second` begins there."""
        count = 0
        latest: dict[tuple[int, bool], int] = {}
        for number in dict.fromkeys(self.found):
            lane = number % 20, number >= second
            count += number < latest.get(lane, -1)
            latest[lane] = max(latest.get(lane, -1), number)
        return count


def groups_of(gate: GateProcess) -> dict[str, list[int]]:
    """The workers of each group."""
    found: dict[str, list[int]] = httpx2.get(f"{gate.url}/info", trust_env=False, timeout=10).json()["groups"]
    return found


def row_19(factor: float) -> Result:
    """SIGKILL for a worker of each group, again and again under load; then for the gate."""
    rounds = max(3, round(50 * factor))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plant.py").write_text(PLANT)
        with gate_process(GROUPS, folder) as gate:
            reader, total, slowest = Reader(gate), rounds * 200, 0.0
            for first in range(0, total, 200):
                for group, stream, base in (("cpu", "jobs", 0), ("io", "waits", total)):
                    publish(gate, stream, range(base + first, base + first + 200))
                    # It is killed when it has begun to work, and not as one that always dies at its start.
                    begun = lambda least=base + first: any(n >= least for n in reader.read())  # noqa: E731
                    assert wait_until(begun, within=30), gate.log()
                    slowest = max(slowest, _killed(gate, group))
            complete = wait_until(lambda: len(reader.read()) == 2 * total, within=120 + total / 100)
            lost = 2 * total - len(reader.read())
            workers = [pid for pids in groups_of(gate).values() for pid in pids]
            gate.kill()
            began = time.monotonic()
            gone = wait_until(lambda: not any(map(alive, workers)), within=10)
            orphans = time.monotonic() - began
    figures = (
        f"{2 * rounds} kills, back after {slowest:.1f} s at most; {lost} of {2 * total} lost, "
        f"{len(reader.found) - 2 * total} done twice, {reader.disordered(total)} out of order; "
        f"workers gone {orphans:.2f} s after the gate"
    )
    fine = complete and lost == 0 and gone and orphans <= 2 and reader.disordered(total) == 0
    return Result(19, "workers killed", figures, passed=fine)


def _killed(gate: GateProcess, group: str) -> float:
    """End a worker, and give how long it took until there was another."""
    count = {"cpu": 2, "io": 1}[group]
    assert wait_until(lambda: len(groups_of(gate)[group]) == count, within=30), gate.log()
    [pid, *_] = groups_of(gate)[group]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    whole = lambda: len(now := groups_of(gate)[group]) == count and pid not in now  # noqa: E731
    assert wait_until(whole, within=30), gate.log()
    return time.monotonic() - began


def row_31(factor: float) -> Result:
    """Frames that were changed, sent again, made at another time or never ours; most of them without a socket."""
    dice = random.Random(31)
    fuzzed, replays = max(1000, round(100_000 * factor)), max(100, round(10_000 * factor))
    now, key, link = 10**18, b"k" * 32, b"link"
    opener = Opener(key, link, kinds={TALK}, ttl=30, window=100_000)
    sealer = Sealer(key, link, limit=10_000)
    good = [sealer.seal(TALK, dice.randbytes(dice.randint(0, 200)), now=now)[4:] for _ in range(replays)]
    outcomes: Counter[str] = Counter()

    def attempt(frame: bytes, at: int = now) -> None:
        try:
            opener.open(frame, now=at)
            outcomes["accepted"] += 1
        except FrameRefused as error:
            outcomes[error.code] += 1

    for _ in range(fuzzed):
        attempt(_fuzzed(dice.choice(good), dice))
    assert not outcomes["accepted"], "what was fuzzed came through before the good ones did"
    taken = sum(opener.open(frame, now=now)[0] == TALK for frame in good)
    for frame in good:
        attempt(frame)
        attempt(frame, now + dice.choice([-1, 1]) * dice.randint(30 * 10**9 + 1, 10**12))
    last = Sealer(key, link, limit=100, first=2**64 - 1)
    opener.open(last.seal(TALK, b"", now=now)[4:], now=now)
    for frame in good[:100]:
        attempt(frame)
    on_sockets = asyncio.run(_on_sockets(dice, max(20, round(1000 * factor))))
    figures = (
        f"{sum(outcomes.values())} bad frames and {on_sockets[0]} bad connections: "
        f"{outcomes['accepted'] + on_sockets[1]} accepted; {taken} of {len(good)} good ones before them"
    )
    fine = outcomes["accepted"] == on_sockets[1] == 0 and taken == len(good)
    return Result(31, "frames that are not ours", figures, passed=fine)


def _fuzzed(frame: bytes, dice: random.Random) -> bytes:
    """A frame with something else in it."""
    what = bytearray(frame)
    match dice.randrange(4):
        case 0:
            what[dice.randrange(len(what))] ^= 1 << dice.randrange(8)
        case 1:
            del what[dice.randrange(len(what)) :]
        case 2:
            what += dice.randbytes(dice.randint(1, 50))
        case 3:
            what[:] = dice.randbytes(len(what))
    return bytes(what)


async def _on_sockets(dice: random.Random, count: int) -> tuple[int, int]:
    """How many connections said something bad, and how many of them were heard."""
    async with listening() as (server, noted):
        for number in range(count):
            async with attacker(server) as it:
                if number % 2:
                    await it.greet(Rules(SECRET))
                frame = it.seal() if it.sealer else dice.randbytes(80)
                absurd = struct.pack(">I", dice.choice([2**31, 2**32 - 1, 10**8])) + frame
                other = _fuzzed(frame[4:], dice)
                changed = struct.pack(">I", len(other)) + other
                it.writer.write(dice.choice([absurd, changed, frame[: len(frame) // 2]]))
                it.writer.write_eof()
                await it.is_cut_off()
        return count, len(noted.frames)


def row_7(factor: float) -> Result:
    """Four machines of one group over Kafka, one of which stops or starts every two seconds."""
    seconds = max(10.0, 180 * factor)
    with tempfile.TemporaryDirectory() as name, KafkaBroker() as kafka:
        folder = Path(name)
        (folder / "plant.py").write_text(PLANT)
        jobs, done = kafka.create_topic(partitions=8), kafka.create_topic(partitions=8)
        with gate_process(MEMBERS.format(bootstrap=kafka.bootstrap, jobs=jobs, done=done), folder) as gate:
            arguments = ["--group", "cpu"]
            members = [GateProcess(gate.config, arguments=arguments, log=f"member{n}.log") for n in range(4)]
            try:
                for member in members:
                    member.start()
                sent, changes, end = 0, 0, time.monotonic() + seconds
                while time.monotonic() < end:
                    member = members[changes % 4]
                    member.stop()
                    publish(gate, "jobs", range(sent, sent + 500))
                    time.sleep(1)  # the load goes on between two changes
                    member.start()
                    sent, changes = sent + 500, changes + 1
                reader = Reader(gate, wait=3.0)
                complete = wait_until(lambda: len(reader.read()) == sent, within=60)
                missing, disordered = sent - len(reader.read()), reader.disordered()
            finally:
                for member in members:
                    member.close()
    figures = (
        f"{2 * changes} changes of members in {seconds:.0f} s: {missing} of {sent} missing, "
        f"{disordered} out of order in their key, {len(reader.found) - sent} done twice"
    )
    return Result(7, "members that come and go", figures, passed=complete and missing == disordered == 0)
