"""`headgate bridge` between real transports: killed on its way, and with readers that go on where they were."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.runtime.stream import Stream
from tests.gates.inside import serving
from tests.gates.process import headgate
from tests.gates.web import PATIENCE, web
from tests.services.kafka import KafkaBroker

OLD = """\
connections: {{log: {{path: {folder}/log.db}}}}
streams: {{orders: {{transport: log, retain: {{messages: 100000}}}}}}
"""
ON_KAFKA = """\
connections: {{kafka: {{bootstrap_servers: '{broker}'}}}}
streams: {{orders: {{transport: kafka, topic: {topic}}}}}
"""


@contextmanager
def bridging(*arguments: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A bridge that runs while the block does."""
    command = [sys.executable, "-m", "headgate", "bridge", *arguments]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


async def fill(stream: Stream, first: int, count: int) -> None:
    for start in range(first, first + count, 500):
        numbers = range(start, min(start + 500, first + count))
        await stream.publish([Message(value=b"%d" % n, key=b"k%d" % (n % 11)) for n in numbers])


async def read_all(stream: Stream, count: int) -> list[Message[bytes]]:
    found: list[Message[bytes]] = []
    async with stream.subscribe(Oldest()) as subscription:
        while len(found) < count:
            batch = await subscription.take(1000, PATIENCE)
            assert batch.messages, f"{len(found)} of {count} and nothing more comes"
            found += batch.messages
    return found


async def test_a_move_to_kafka_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, kafka: KafkaBroker) -> None:
    topic = kafka.create_topic(partitions=3)
    old, new = tmp_path / "old.yaml", tmp_path / "kafka.yaml"
    old.write_text(OLD.format(folder=tmp_path))
    new.write_text(ON_KAFKA.format(broker=kafka.bootstrap, topic=topic))
    async with serving(old.read_text()) as before, serving(new.read_text()) as after:
        stream, moved = before.gate.streams["orders"], after.gate.streams["orders"]
        await fill(stream, 0, 5000)
        reached = 0
        for life in range(3):
            with bridging(str(old), "orders", "-c", str(new), folder=tmp_path) as bridge:
                await fill(stream, 5000 + life * 1000, 1000)
                goal = reached + 700

                async def extent() -> int:
                    return (await moved.extent()).messages

                while (reached := await extent()) < goal:
                    assert bridge.poll() is None
        done = headgate("bridge", str(old), "orders", "-c", str(new), "--until-end", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        messages = await read_all(moved, 8000)
        assert (await moved.extent()).messages == 8000
        assert Counter(int(message.value) for message in messages) == Counter(range(8000))
        for key in {message.key for message in messages}:
            own = [int(message.value) for message in messages if message.key == key]
            assert own == sorted(own)
        again = headgate("bridge", str(old), "orders", "-c", str(new), "--until-end", cwd=tmp_path)
        assert b"0 messages moved" in again.stderr


async def test_a_stream_in_memory_is_moved_by_its_gate_and_its_readers_go_on(tmp_path: Path) -> None:
    async with web("streams: {orders: {}}") as (_, served):
        stream = served.gate.streams["orders"]
        await fill(stream, 0, 3000)
        old, new = tmp_path / "old.yaml", tmp_path / "log.yaml"
        old.write_text(f"streams: {{orders: {{transport: http, url: '{served.url}/streams/orders/messages'}}}}\n")
        new.write_text(OLD.format(folder=tmp_path))
        with bridging(str(old), "orders", "-c", str(new), folder=tmp_path):
            async with serving(new.read_text()) as after:
                moved = after.gate.streams["orders"]
                await fill(stream, 3000, 100)
                found = await read_all(moved, 3100)
                assert [int(message.value) for message in found] == list(range(3100))
                assert [message.offset for message in found] == list(range(3100))
        done = await asyncio.to_thread(
            headgate, "bridge", str(old), "orders", "-c", str(new), "--until-end", "--cursor", "node-x", cwd=tmp_path
        )
        assert (done.returncode, b"node-x goes on at" in done.stderr) == (0, True), done.stderr


async def test_a_service_that_does_not_say_where_it_ends_is_moved_until_nothing_comes(tmp_path: Path) -> None:
    config = (
        "streams: {orders: {}}\nruntime: {web: {interfaces: [{kind: messages, path: /messages, stream: orders}]}}\n"
    )
    async with web(config) as (_, served):
        await fill(served.gate.streams["orders"], 0, 2500)
        old, new = tmp_path / "old.yaml", tmp_path / "log.yaml"
        old.write_text(f"streams: {{orders: {{transport: http, url: '{served.url}/messages'}}}}\n")
        new.write_text(OLD.format(folder=tmp_path))
        arguments = ("bridge", str(old), "orders", "-c", str(new), "--until-end")
        done = await asyncio.to_thread(headgate, *arguments, cwd=tmp_path)
        assert (done.returncode, b"2500 messages moved" in done.stderr) == (0, True), done.stderr


def test_what_cannot_be_moved_is_told(tmp_path: Path) -> None:
    here, there = tmp_path / "here.yaml", tmp_path / "there.yaml"
    here.write_text("streams: {orders: {}}\n")
    there.write_text("streams: {orders: {transport: log}}\n")
    done = headgate("bridge", str(here), "orders", "-c", str(there), cwd=tmp_path)
    assert (done.returncode, b"lay `transport: http` with its url over it" in done.stderr) == (1, True)
    done = headgate("bridge", str(there), "orders", "-c", str(there), cwd=tmp_path)
    assert (done.returncode, b"there is nothing to move" in done.stderr) == (1, True)
    done = headgate("bridge", str(here), "odrers", "-c", str(there), cwd=tmp_path)
    assert (done.returncode, b"did you mean 'orders'?" in done.stderr) == (1, True)
    done = headgate("bridge", str(here), "orders", "-c", str(there), "--cursor", "node-x", cwd=tmp_path)
    assert done.returncode == 2
