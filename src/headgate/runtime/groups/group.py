"""The group: as many workers as it should have, whatever becomes of them, and portions for who has least to do."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate.core.message import Message
from headgate.errors import Draining, WorkerLost
from headgate.runtime.groups.assignment import Assignment, Duties
from headgate.runtime.groups.worker import Worker
from headgate.runtime.stats import GroupState, GroupStats
from headgate.runtime.tasks import Tasks, backoff, cancel
from headgate.runtime.work import Ran
from headgate.transport.bell import Bell

logger = logging.getLogger("headgate.groups")
MOST_CRASHES = 8  # one after the other, with nothing done in between, until it is told and tried seldom
SELDOM_SECONDS = 60.0
STEADY_SECONDS = 5.0  # after which a worker that did nothing has not crashed at its start


@dataclass(frozen=True, slots=True)
class Crew:
    """What a group is configured with."""

    duties: Duties
    workers: int = 1
    start_timeout: float = 30.0  # seconds
    stop_timeout: float = 30.0


class Group:
    """Workers that do the same, each in its place: one that ends is followed by another."""

    def __init__(self, crew: Crew, employ: Callable[[str, Duties], Assignment], tasks: Tasks) -> None:
        self.crew = crew
        self.stats = GroupStats()
        self._employ = employ
        self._tasks = tasks
        self._places: list[_Place] = []
        self._change = Bell()
        self._draining = False

    def __repr__(self) -> str:
        return f"<Group {self.name}: {len(self.workers)} of {self.crew.workers} workers>"

    @property
    def name(self) -> str:
        return self.crew.duties.group

    @property
    def workers(self) -> list[Worker]:
        """Those that work."""
        return [place.worker for place in self._places if place.worker is not None and place.worker.takes]

    def find(self, name: str) -> Worker | None:
        """The worker of this name, also one that is not ready yet."""
        known = (worker for place in self._places for worker in place.known if worker.name == name)
        return next(known, None)

    def statistics(self) -> GroupState:
        """How it is."""
        workers = self.workers
        return GroupState(
            len(workers),
            sum(worker.load for worker in workers),
            sum(worker.beat.resident_bytes for worker in workers),
            self.stats.cpu_seconds + sum(worker.beat.cpu_seconds for worker in workers),
        )

    def trouble(self) -> str | None:
        """Why it cannot be relied on just now."""
        crashing = [place.crashing for place in self._places if place.crashing]
        if crashing:
            return f"group {self.name}: {crashing[0]}"
        return None if self.workers or self._draining else f"group {self.name}: no worker is ready"

    async def start(self) -> None:
        """Start all workers. May raise a `WorkerLost`: one of them cannot work."""
        self._places = [_Place(self, number) for number in range(1, self.crew.workers + 1)]
        try:
            async with asyncio.TaskGroup() as starting:
                for place in self._places:
                    starting.create_task(place.start())
        except* WorkerLost as errors:
            raise errors.exceptions[0] from None
        for place in self._places:
            place.keep(self._tasks)

    async def become(self, crew: Crew) -> None:
        """Do what is new: one worker after the other is followed by another, which is ready before the old one goes.

        May raise a `WorkerLost`; then those that were not followed yet go on as they were.
        """
        self.crew = crew
        for place in self._places[crew.workers :]:
            await place.close(crew.stop_timeout)
        del self._places[crew.workers :]
        for place in self._places:
            await place.renew()
        for number in range(len(self._places) + 1, crew.workers + 1):
            place = _Place(self, number)
            self._places.append(place)
            await place.start()
            place.keep(self._tasks)

    def drain(self) -> None:
        """Give out nothing more."""
        self._draining = True
        self._change.ring()

    async def close(self, seconds: float) -> None:
        """End all workers, when they are done with what they have, but not later than in so many seconds."""
        self.drain()
        await asyncio.gather(*(place.close(min(seconds, self.crew.stop_timeout)) for place in self._places))
        self._places = []

    async def run(self, node: str, stream: str, messages: Sequence[Message[bytes]], *, apart: bool = False) -> Ran:
        """Have a portion run by who has least to do. May raise a `WorkerLost` or `Draining`."""
        while True:
            if self._draining:
                raise Draining(f"group {self.name} stops")
            worker = min((worker for worker in self.workers if not worker.reserved), key=_load, default=None)
            if worker is None:
                await self._change.wait()
            elif not apart:
                return await worker.run(node, stream, messages)
            elif (ran := await self._run_apart(worker, node, stream, messages)) is not None:
                return ran

    async def _run_apart(
        self, worker: Worker, node: str, stream: str, messages: Sequence[Message[bytes]]
    ) -> Ran | None:
        """Have a worker finish what it has, and then run this alone: what ends it now was this. None if it is gone."""
        worker.reserved = True
        try:
            await worker.idle()
            return await worker.run(node, stream, messages) if worker.takes else None
        finally:
            worker.reserved = False
            self._change.ring()

    def employ(self, place: int) -> Worker:
        """A new process for a place."""
        self.stats.started += 1
        number = self.stats.started
        return Worker(self._employ(f"{self.name}-{place}.{number}", self.crew.duties))

    def left(self, worker: Worker) -> None:
        """A worker is over."""
        self.stats.cpu_seconds += worker.beat.cpu_seconds

    def changed(self) -> None:
        """A worker came or went."""
        self._change.ring()


def _load(worker: Worker) -> int:
    return worker.load


class _Place:
    """A place in a group: one worker after the other."""

    def __init__(self, group: Group, number: int) -> None:
        self._group = group
        self._number = number
        self.worker: Worker | None = None
        self._next: Worker | None = None  # is being started
        self.crashing = ""
        self._crashes = 0
        self._closing = False
        self._keeper: asyncio.Task[object] | None = None
        self._renewing = asyncio.Lock()

    @property
    def known(self) -> list[Worker]:
        return [worker for worker in (self.worker, self._next) if worker is not None]

    async def start(self) -> None:
        """Have a worker that is ready. May raise a `WorkerLost`."""
        self._next = worker = self._group.employ(self._number)
        try:
            await worker.started(self._group.crew.start_timeout)
        except BaseException:
            worker.kill("was not needed any more")
            raise
        finally:
            self._next = None
        self.worker, self.crashing = worker, ""
        self._group.changed()
        logger.info("worker is ready", extra={"worker": worker.name, "pid": worker.pid})

    def keep(self, tasks: Tasks) -> None:
        """See to it that there is always one."""
        self._keeper = tasks.start(f"group {self._group.name} {self._number}", self._keep())

    async def _keep(self) -> None:
        while not self._closing:
            if (worker := self.worker) is not None:
                how = await worker.ended()
                self._group.left(worker)
                if worker is not self.worker or self._closing:
                    continue  # it was followed by another
                self.worker = None
                self._note(worker, how)
            await asyncio.sleep(SELDOM_SECONDS if self.crashing else backoff(max(1, self._crashes)))
            async with self._renewing:
                if self.worker is None and not self._closing:
                    await self._start_again()

    async def _start_again(self) -> None:
        try:
            await self.start()
        except WorkerLost as error:
            self._crashed(str(error))

    def _note(self, worker: Worker, how: str) -> None:
        self._group.stats.lost += 1
        logger.error("worker %s; another one follows", how, extra={"worker": worker.name, "pid": worker.pid})
        if worker.worked or time.monotonic() - worker.began >= STEADY_SECONDS:
            self._crashes = 0
        else:
            self._crashed(f"worker {worker.name} {how}")

    def _crashed(self, why: str) -> None:
        self._crashes += 1
        logger.warning("worker did not come to work", extra={"reason": why, "crashes": self._crashes})
        if self._crashes >= MOST_CRASHES:
            self.crashing = f"{self._crashes} crashes in a row, the last: {why}"
            words = "workers crash; tried again every %d s, or at a reload"
            logger.error(words, SELDOM_SECONDS, extra={"group": self._group.name, "reason": self.crashing})

    async def renew(self) -> None:
        """Let another worker follow, which is ready before the old one goes."""
        async with self._renewing:
            old, self._crashes = self.worker, 0
            await self.start()
        if old is not None:
            await old.retire(self._group.crew.stop_timeout)

    async def close(self, seconds: float) -> None:
        """Let its worker finish and go."""
        self._closing = True
        if self.worker is not None:
            await self.worker.retire(seconds)
        if self._keeper is not None:
            await cancel(self._keeper)
        for worker in self.known:
            worker.kill("is not needed any more")
            await worker.ended()
