"""The two ways to work: plain functions one at a time in the main thread, or async ones in a loop."""

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from queue import SimpleQueue

from headgate.app.discovery import discovered
from headgate.app.plugins import make_codec
from headgate.app.worker.line import GateLine, LinkHandler
from headgate.core import errand
from headgate.core.errand import Kind, Portion
from headgate.core.message import StreamId
from headgate.core.output import Output
from headgate.errors import HeadgateError
from headgate.runtime.groups.assignment import Assignment, Duties, Task
from headgate.runtime.node import Declaration
from headgate.runtime.work import Inline, Ran, Work

TIMED_OUT = 3  # exit code of a process that has to end so that a call ends
GRACE_SECONDS = 1.0
LOOK_SECONDS = 0.02  # how often it is looked for calls that take too long


def works_of(duties: Duties, frame_bytes: int) -> dict[str, Work]:
    """The nodes of a group, ready to run. May raise a `HeadgateError`."""
    found = discovered(duties.folders, duties.modules)
    return {task.node: _work(task, found, frame_bytes) for task in duties.tasks}


def _work(task: Task, found: Mapping[str, Declaration], frame_bytes: int) -> Work:
    if task.node not in found:
        raise HeadgateError(f"node {task.node!r} is not in the modules any more")
    declaration = replace(found[task.node], manners=task.manners)
    inputs = {port.stream: make_codec(port.codec, port.codec_options) for port in task.inputs}
    outputs = [
        Output(StreamId(port.kind, port.stream), make_codec(port.codec, port.codec_options)) for port in task.outputs
    ]
    return Work(declaration, inputs, outputs, frame_bytes=frame_bytes)


def _settle(line: GateLine) -> None:
    """Everything is loaded: the log goes to the gate, and the collector leaves what is alive now alone."""
    logging.getLogger().handlers[:] = [LinkHandler(line)]
    gc.collect()
    gc.freeze()


# In a loop


def work_in_loop(assignment: Assignment) -> None:
    """Run async functions in the main thread's loop, and plain ones in its threads."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Loop(assignment).run())


class _Loop:
    """A worker whose functions wait for each other and not for their turn."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._runs: dict[str, Inline] = {}
        self._stopping = asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        self._line = line = GateLine(self._assignment, self._take, self._stopping.set)
        await line.open()
        try:
            works = works_of(self._assignment.duties, self._assignment.limit)
        except HeadgateError as error:
            line.say(Kind.FAILED, str(error))
        else:
            self._runs = {name: Inline(work) for name, work in works.items()}
            _settle(line)
            line.say(Kind.READY)
            await self._stopping.wait()
            while self._at_work:
                await asyncio.wait(self._at_work)
        await line.close()

    def _take(self, portion: Portion) -> None:
        if portion.node not in self._runs:
            asyncio.ensure_future(_leave(self._line, _unknown(portion)))  # noqa: RUF006 - it ends the process
            return
        task = asyncio.get_running_loop().create_task(self._deal(portion))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _deal(self, portion: Portion) -> None:
        ran = await self._runs[portion.node].run(portion.stream, errand.messages_of(portion.messages))
        self._line.ran(portion, ran)
        if ran.late is not None:
            await _leave(self._line, "ended a call that took too long")


# In the main thread


def work_in_main_thread(assignment: Assignment) -> None:
    """Run one portion at a time in the main thread; another thread talks to the gate."""
    _MainThread(assignment).run()


class _MainThread:
    """A worker whose functions have the process to themselves."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._portions: SimpleQueue[Portion | None] = SimpleQueue()
        self._works: dict[str, Work] = {}
        self._now: tuple[Portion, Work, Ran] | None = None
        self._connected = threading.Event()
        self._line: GateLine
        self._loop: asyncio.AbstractEventLoop

    def run(self) -> None:
        talking = threading.Thread(target=asyncio.run, args=(self._talk(),), name="headgate-line", daemon=True)
        talking.start()
        self._connected.wait()
        try:
            self._works = works_of(self._assignment.duties, self._assignment.limit)
        except HeadgateError as error:
            self._in_loop(Kind.FAILED, str(error))
        else:
            _settle(self._line)
            self._in_loop(Kind.READY, "")
            with asyncio.Runner() as runner:
                while (portion := self._portions.get()) is not None:
                    self._deal(portion, runner)
        self._loop.call_soon_threadsafe(self._done.set)
        talking.join()

    def _in_loop(self, kind: Kind, text: str) -> None:
        self._loop.call_soon_threadsafe(self._line.say, kind, text)

    def _deal(self, portion: Portion, runner: asyncio.Runner) -> None:
        work, ran = self._works[portion.node], Ran()
        self._now = portion, work, ran
        messages = errand.messages_of(portion.messages)
        if work.is_async:
            runner.run(work.run(portion.stream, messages, ran))
        else:
            work.run_plain(portion.stream, messages, ran)
        self._now = None
        if not ran.abandoned:
            self._loop.call_soon_threadsafe(self._line.ran, portion, ran)

    async def _talk(self) -> None:
        """The other thread."""
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._line = GateLine(self._assignment, self._take, lambda: self._portions.put(None))
        try:
            await self._line.open()
        except HeadgateError as error:
            logging.getLogger("headgate.worker").error("no link to the gate: %s", error)
            os._exit(1)
        self._connected.set()
        looking = asyncio.ensure_future(self._look())
        await self._done.wait()
        looking.cancel()
        await self._line.close()

    def _take(self, portion: Portion) -> None:
        if portion.node in self._works:
            self._portions.put(portion)
        else:
            asyncio.ensure_future(_leave(self._line, _unknown(portion)))  # noqa: RUF006 - it ends the process

    async def _look(self) -> None:
        """End the process when a call takes too long: a thread cannot be stopped by another one."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._now
            if now is None or (timeout := now[1].timeout) is None:
                continue
            portion, work, ran = now
            # An async function is told by its own loop first.
            if ran.overdue(timeout + GRACE_SECONDS if work.is_async else timeout):
                self._line.ran(portion, ran.given_up(timeout))
                await _leave(self._line, "ended a call that took too long")


async def _leave(line: GateLine, why: str) -> None:
    line.say(Kind.LEAVING, why)
    try:
        async with asyncio.timeout(1):
            await line.close()
    finally:
        os._exit(TIMED_OUT)


def _unknown(portion: Portion) -> str:
    """A gate became another, and this worker could not be followed by one that knows it."""
    return f"ended, for it does not know node {portion.node}"
