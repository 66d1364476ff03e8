"""Groups with real processes: those that crash, those that are slow, and what a gate says of them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.core.greeting import Rules
from headgate.core.message import Message
from headgate.errors import Draining, WorkerLost
from headgate.runtime.groups.assignment import Assignment, Duties, Port, Task
from headgate.runtime.groups.group import MOST_CRASHES, Crew, Group
from headgate.runtime.groups.supervisor import Remote, Supervisor, new_secret
from headgate.runtime.node import Manners
from headgate.runtime.tasks import Tasks

PATIENCE = 20.0
PLANT = """
import os, time
from headgate import node

if os.path.exists("{flag}"):
    os._exit(9)

@node
def nothing(x): ...
""".replace("@node\n", "@node()\n")
WORK = """
@node()
def double(value: int) -> int:
    return 2 * value
"""


def duties(folder: Path, *nodes: str, heartbeat: float = 0.2, is_async: bool = False) -> Duties:
    tasks = tuple(
        Task(name, (Port("a", "stream", "json"),), (Port("b", "stream", "json"),), Manners()) for name in nodes
    )
    return Duties("cpu", is_async, ("crew_plant",), (str(folder),), tasks, heartbeat)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crew_plant.py").write_text(PLANT.format(flag=tmp_path / "flag") + WORK)
    return tmp_path


@asynccontextmanager
async def supervised(crew: Crew) -> AsyncIterator[tuple[Supervisor, Group]]:
    async with Tasks() as tasks:
        supervisor = Supervisor(tasks)
        try:
            await supervisor.become([crew], Rules(new_secret()), "127.0.0.1", 0)
            yield supervisor, supervisor.groups["cpu"]
        finally:
            await supervisor.close(PATIENCE)


async def until(fact: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fact():
            await asyncio.sleep(0.005)


async def doubled(supervisor: Supervisor, *values: int) -> list[bytes]:
    remote = Remote(supervisor, "cpu", "double")
    ran = await remote.run("a", [Message(value=b"%d" % value) for value in values])
    assert (ran.seen, ran.made, ran.faults) == (len(values), len(values), [])
    return [message.value for message in ran.outputs[0]]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_portion_is_run_elsewhere(folder: Path, is_async: bool) -> None:
    async with supervised(Crew(duties(folder, "double", is_async=is_async))) as (supervisor, group):
        assert await doubled(supervisor, 1, 2) == [b"2", b"4"]
        assert group.workers[0].pid != os.getpid()
        assert repr(group) == "<Group cpu: 1 of 1 workers>"
        await until(lambda: group.statistics().resident_bytes > 1_000_000)


async def test_a_worker_that_crashes_again_and_again_is_told_and_comes_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr("headgate.runtime.groups.group.backoff", lambda attempt: waits.append(attempt) or 0.0)
    monkeypatch.setattr("headgate.runtime.groups.group.SELDOM_SECONDS", 0.01)
    async with supervised(Crew(duties(folder, "double"))) as (supervisor, group):
        assert group.trouble() is None
        (folder / "flag").touch()
        group.workers[0].kill()
        await until(lambda: "crashes in a row, the last: worker cpu-1." in str(group.trouble()))
        assert "ended with exit code 9" in str(supervisor.troubles())
        assert waits == list(range(1, MOST_CRASHES))
        (folder / "flag").unlink()
        await until(lambda: group.trouble() is None)
        assert await doubled(supervisor, 3) == [b"6"]


async def test_what_is_run_apart_has_a_worker_for_itself(folder: Path) -> None:
    (folder / "crew_plant.py").write_text(
        "import os, time\nfrom headgate import node\n"
        "@node()\ndef double(value: int) -> int:\n    time.sleep(value / 1000)\n    return 2 * value\n"
        "@node()\ndef end(value: int) -> int:\n    os._exit(4)\n"
    )
    async with supervised(Crew(duties(folder, "double", "end"))) as (supervisor, group):
        before = [asyncio.ensure_future(doubled(supervisor, 30)) for _ in range(3)]
        await until(lambda: group.workers[0].load == 3)
        ends = Remote(supervisor, "cpu", "end").run("a", [Message(value=b"1")], apart=True)
        ending = asyncio.ensure_future(ends)
        await asyncio.sleep(0)
        after = asyncio.ensure_future(doubled(supervisor, 10))
        with pytest.raises(WorkerLost, match="ended with exit code 4"):
            await ending
        assert [await one for one in before] == [[b"60"]] * 3
        assert await after == [b"20"]


async def test_while_there_is_no_worker_portions_wait(folder: Path) -> None:
    async with supervised(Crew(duties(folder, "double"))) as (supervisor, group):
        (folder / "flag").touch()
        group.workers[0].kill()
        await until(lambda: group.trouble() is not None)
        waiting = asyncio.ensure_future(doubled(supervisor, 3))
        (folder / "flag").unlink()
        assert await waiting == [b"6"]


async def test_what_waits_when_all_stops_is_given_back(folder: Path) -> None:
    async with supervised(Crew(duties(folder, "double"))) as (supervisor, group):
        (folder / "flag").touch()
        group.workers[0].kill()
        await until(lambda: not group.workers)
        waiting = asyncio.ensure_future(doubled(supervisor, 3))
        await asyncio.sleep(0)
        supervisor.drain()
        with pytest.raises(Draining, match="group cpu stops"):
            await waiting
    with pytest.raises(Draining, match="is not there"):
        await doubled(supervisor, 3)


async def test_a_worker_that_is_not_ready_in_time_is_ended(folder: Path) -> None:
    (folder / "crew_plant.py").write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(WorkerLost, match=r"worker cpu-1.1 was not ready within 0.5 s"):
        async with supervised(Crew(duties(folder, "double"), start_timeout=0.5)):
            pass


async def test_a_node_that_is_gone_from_its_module_is_named(folder: Path) -> None:
    with pytest.raises(WorkerLost, match="cannot work: node 'triple' is not in the modules any more"):
        async with supervised(Crew(duties(folder, "double", "triple"))):
            pass


async def test_a_worker_that_does_not_know_a_node_makes_place_for_one_that_may(folder: Path) -> None:
    async with supervised(Crew(duties(folder, "double"))) as (supervisor, group):
        with pytest.raises(Draining):
            await group.run("unheard", "a", [Message(value=b"1")])
        await until(lambda: group.stats.started == 2 and group.workers)
        assert await doubled(supervisor, 3) == [b"6"]


async def test_who_takes_longer_than_it_may_to_stop_is_ended(folder: Path) -> None:
    (folder / "crew_plant.py").write_text(
        "import time\nfrom headgate import node\n@node()\ndef double(value):\n    time.sleep(60)\n"
    )
    async with supervised(Crew(duties(folder, "double"), stop_timeout=0.2)) as (supervisor, group):
        [worker] = group.workers
        stuck = asyncio.ensure_future(doubled(supervisor, 1))
        await until(lambda: worker.load)
        async with asyncio.timeout(5):
            await group.close(PATIENCE)
        with pytest.raises(WorkerLost, match=r"took longer than 0\.2 s to stop"):
            await stuck


async def test_signals_for_the_gate_are_left_to_it(folder: Path) -> None:
    async with supervised(Crew(duties(folder, "double"))) as (supervisor, group):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(group.workers[0].pid, number)
        assert await doubled(supervisor, 3) == [b"6"]
        assert group.stats.started == 1


def test_an_assignment_shows_no_secret() -> None:
    it = Assignment("cpu-1", duties(Path("/x")), "127.0.0.1", 1, b"s" * 32, "none", 30.0, 10, 100)
    assert Assignment.read(it.write()) == it
    assert "ssss" not in repr(it)
    assert "ssss" not in repr(it.rules())
