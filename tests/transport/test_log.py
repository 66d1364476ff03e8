"""The log under faults: what the campaign does at length, here for a few seconds each; and what is its alone."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import TransportError
from headgate.testing.transport import PATIENCE, collect, messages, values
from headgate.transport.base import Delivery, StreamSettings
from headgate.transport.log import LogTransport
from tests.faults import log_campaign
from tests.faults.log_campaign import opened

STREAM = StreamSettings("orders")
QUEUE = StreamSettings("jobs", delivery=Delivery.QUEUE)


def test_what_was_acknowledged_survives_kill_9() -> None:
    assert log_campaign.row_1(0.04).passed


def test_what_was_acknowledged_survives_a_power_cut() -> None:
    assert log_campaign.row_2(0.05).passed


def test_damage_is_noticed_and_never_served() -> None:
    assert log_campaign.row_3(0.1).passed


# The disk of this test raises inside SQLite, which apsw tells Python of besides telling SQLite.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_or_failing_disk_is_never_acknowledged_and_recovers_by_itself() -> None:
    assert log_campaign.row_4(0.1).passed


def test_a_jump_of_the_clock_changes_no_wait() -> None:
    assert log_campaign.row_20(0.06).passed


async def test_many_senders_share_their_commits(tmp_path: Path) -> None:
    async with opened(tmp_path / "log.db") as log:
        sink = await log.open_sink(STREAM)
        before = log.file.writer.commits
        await asyncio.gather(*(sink.send(messages(1)) for _ in range(500)))
        assert log.file.writer.commits - before < 50


async def test_two_transports_on_one_file_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as here, opened(path) as there:
        source = await there.open_source(STREAM, Oldest())
        waiting = asyncio.ensure_future(source.read())
        await (await here.open_sink(STREAM)).send(messages(3))
        async with asyncio.timeout(PATIENCE):
            assert values((await waiting).messages) == [b"0", b"1", b"2"]


async def test_two_transports_take_turns_at_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as here, opened(path) as there:
        await (await here.open_sink(QUEUE)).send(messages(6))
        first = await here.open_source(QUEUE, Oldest())
        second = await there.open_source(QUEUE, Oldest())
        assert values((await first.read(4)).messages) == [b"0", b"1", b"2", b"3"]
        assert values((await second.read(4)).messages) == [b"4", b"5"]


async def test_what_a_killed_process_held_of_a_queue_is_given_out_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        await (await log.open_sink(QUEUE)).send(messages(3))
        holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"3\n"
            source = await log.open_source(QUEUE, Oldest())
            assert not (await source.read(wait=0)).messages
        finally:
            holder.kill()
            holder.communicate()
        assert values(await collect_again(log)) == [b"0", b"1", b"2"]
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]


_HOLDER = """
import asyncio, sys
from pathlib import Path
from headgate.core.position import Oldest
from headgate.transport.base import Delivery, StreamSettings
from headgate.transport.log import LogTransport

async def hold():
    source = await LogTransport(path=Path(sys.argv[1])).open_source(
        StreamSettings("jobs", delivery=Delivery.QUEUE), Oldest())
    print(len((await source.read()).messages), flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


async def collect_again(log: LogTransport) -> list[Message[bytes]]:
    """What a new reader is given, once the dead one is noticed."""
    source = await log.open_source(QUEUE, Oldest())
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := (await source.read(wait=0.1)).messages:
                return list(found)


async def test_closing_leaves_one_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "log.db") as log:
        await (await log.open_sink(STREAM)).send(messages(10))
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]


async def test_what_is_not_kept_any_longer_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        sink = await log.open_sink(StreamSettings("orders", keep_messages=100))
        for first in range(0, 5000, 500):
            await sink.send(messages(500, first=first))
        source = await log.open_source(StreamSettings("orders", keep_messages=100), Oldest())
        assert values(await collect(source, 100)) == values(messages(100, first=4900))
    with sqlite3.connect(path) as connection:
        [count] = connection.execute("SELECT count(*) FROM messages_1").fetchone()
    connection.close()
    assert count < 1000


async def test_a_file_of_a_newer_format_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    async with opened(path) as log:
        with pytest.raises(TransportError, match=r"log\.db was written by a newer Headgate"):
            await log.open_sink(STREAM)


async def test_a_file_that_is_no_log_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"not a database at all" * 1000)
    async with opened(path) as log:
        with pytest.raises(TransportError, match=r"log\.db is damaged"):
            await log.open_sink(STREAM)


async def test_settings_that_changed_count_when_the_stream_is_opened_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "log.db") as log:
        await (await log.open_sink(STREAM)).send(messages(10))
        fewer = StreamSettings("orders", keep_messages=3)
        source = await log.open_source(fewer, Oldest())
        assert values(await collect(source, 3)) == [b"7", b"8", b"9"]


async def test_a_commit_of_what_was_taken_first_keeps_what_came_back_later(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        await (await log.open_sink(QUEUE)).send(messages(6))
        gone = await log.open_source(QUEUE, Oldest())
        assert values((await gone.read(2)).messages) == [b"0", b"1"]
        source = await log.open_source(QUEUE, Oldest())
        first = await source.read(2)
        assert values(first.messages) == [b"2", b"3"]
        await gone.close()
        assert values((await source.read(2)).messages) == [b"0", b"1"]
        await source.commit(first.position)  # says nothing of 0 and 1, which were taken after it
        await source.close()
        last = await log.open_source(QUEUE, Oldest())
        assert values((await last.read(2)).messages) == [b"0", b"1"]
        assert values((await last.read(2)).messages) == [b"4", b"5"]


@pytest.mark.parametrize("round_trip", range(5))
async def test_no_batch_of_another_transport_is_slept_through(tmp_path: Path, round_trip: int) -> None:
    path = tmp_path / f"log-{round_trip}.db"
    async with opened(path) as here, opened(path) as there:
        sink = await here.open_sink(STREAM)
        readers = [await log.open_source(STREAM, Oldest()) for log in (here, there, there)]
        for number in range(30):
            waiting = [asyncio.ensure_future(reader.read()) for reader in readers]
            await sink.send([Message(value=b"%d" % number)])
            async with asyncio.timeout(PATIENCE):
                assert [values((await read).messages) for read in waiting] == [[b"%d" % number]] * 3


MAKER = """
import asyncio, sys
from pathlib import Path
from headgate.core.message import Message
from headgate.transport.base import StreamSettings
from headgate.transport.log import LogTransport

async def make(path):
    transport = LogTransport(path=Path(path))
    try:
        sink = await transport.open_sink(StreamSettings("numbers", keep_messages=10_000))
        await sink.send([Message(value=b"1")])
    finally:
        await transport.close()

for line in sys.stdin:
    asyncio.run(make(line.strip()))
    print("made", flush=True)
"""


def test_processes_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        makers = [stack.enter_context(piped(MAKER)) for _ in range(6)]
        for number in range(25):
            path = tmp_path / f"{number}.db"
            for maker in makers:
                maker.stdin.write(f"{path}\n")
                maker.stdin.flush()
            assert [maker.stdout.readline() for maker in makers] == ["made\n"] * 6
            with sqlite3.connect(path) as connection:
                assert connection.execute("SELECT count(*) FROM messages_1").fetchone() == (6,)
            connection.close()


@contextmanager
def piped(script: str) -> Iterator[Any]:
    """A program that is told what to do line by line."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
