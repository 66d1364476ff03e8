"""A worker, seen from the gate: its process, its link and the portions that it has in hand."""

import asyncio
import logging
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from headgate.core import errand, wire
from headgate.core.errand import Beat, Here, Kind, Line, Made, Outcome, Portion, Said
from headgate.core.message import Message
from headgate.errors import Draining, HeadgateError, LinkLost, WorkerLost
from headgate.runtime.groups.assignment import Assignment
from headgate.runtime.groups.process import Process, ending
from headgate.runtime.work import Ran, too_large
from headgate.transport.bell import Bell
from headgate.transport.link import Link

logger = logging.getLogger("headgate.groups")
MODULE = "headgate.app.worker"
MISSED_BEATS = 3
LAST_WORDS_SECONDS = 1.0
_ids = count(1)


class Worker:
    """One process of a group. It is ready once, and ended once."""

    def __init__(self, assignment: Assignment) -> None:
        self.name = assignment.worker
        self.group = assignment.duties.group
        self.beat = Beat()
        self.worked = False  # it has dealt with a portion
        self.began = time.monotonic()
        self._limit = assignment.limit
        self._patience = assignment.duties.heartbeat * MISSED_BEATS
        self._in_hand: dict[int, asyncio.Future[Ran]] = {}
        self._made: dict[int, list[Made]] = {}
        self._outbox: list[tuple[Portion, int]] = []
        self._link: Link | None = None
        self._loop = asyncio.get_running_loop()
        self.reserved = False  # for a portion that is to be run apart
        self._finished = Bell()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._link_over = asyncio.Event()
        self._leaving = False
        self._watch: asyncio.TimerHandle | None = None
        self._why = ""  # why we ended it
        self._process = Process(MODULE, assignment.write())

    def __repr__(self) -> str:
        return f"<Worker {self.name}: pid {self.pid}, {len(self._in_hand)} portions in hand>"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def load(self) -> int:
        """How many portions it has."""
        return len(self._in_hand)

    @property
    def takes(self) -> bool:
        """It may be given portions."""
        return self._link is not None and not self._link.closed and self._ready.done() and not self._leaving

    async def started(self, seconds: float) -> None:
        """Return when it can work. May raise a `WorkerLost` that says why it cannot; then it is ended."""
        over = asyncio.ensure_future(self.ended())
        either: set[asyncio.Future[Any]] = {over, self._ready}
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.kill(f"was not ready within {seconds:g} s")
            await over
        finally:
            if not over.done():
                over.cancel()
        if not self._ready.done():
            raise WorkerLost(f"worker {self.name} {over.result()}")
        if error := self._ready.exception():
            self.kill()
            raise error

    async def ended(self) -> str:
        """Return when its process is over: how it ended. What it had in hand is lost then."""
        code = await self._process.ended()
        how = self._why or ending(code)
        if self._watch is not None:
            self._watch.cancel()
        if self._link is not None:
            await self._all_that_it_said(self._link)
        self._lose(WorkerLost(f"worker {self.name} {how}"))
        return how

    async def _all_that_it_said(self, link: Link) -> None:
        """What it said before its end may still be on its way to us."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._link_over.wait()
        except TimeoutError:
            link.abort(LinkLost("its process is over"))

    def _lose(self, error: HeadgateError) -> None:
        for future in self._in_hand.values():
            if not future.done():
                future.set_exception(error)
        self._in_hand.clear()
        self._made.clear()
        self._finished.ring()

    def kill(self, why: str = "") -> None:
        """End it now."""
        self._why = self._why or why
        self._process.kill()

    async def retire(self, seconds: float) -> None:
        """Let it finish what it has, and go. What takes longer is ended."""
        self._leaving = True
        if self._link is not None and not self._link.closed:
            self._send_out()
            self._link.send(Kind.STOP, errand.encode(Said()))
        try:
            async with asyncio.timeout(seconds):
                await self.ended()
        except TimeoutError:
            self.kill(f"took longer than {seconds:g} s to stop")
            await self.ended()

    # Giving it something to do

    async def run(self, node: str, stream: str, messages: Sequence[Message[bytes]]) -> Ran:
        """Have it run a portion, as far as that goes into one frame. May raise a `WorkerLost`."""
        number = errand.fitting(messages, self._limit)
        if not number:
            ran = Ran(calling=range(1))
            ran.fail(too_large(len(messages[0].value), self._limit), retriable=False)
            return ran
        body = wire.pack(messages[:number])
        portion = Portion(next(_ids), node, stream, body)
        future: asyncio.Future[Ran] = self._loop.create_future()
        self._in_hand[portion.id] = future
        if not self._outbox:  # what else comes in this turn of the loop goes with it
            self._loop.call_soon(self._send_out)
        self._outbox.append((portion, len(body) + 256))
        try:
            return await future
        finally:
            self._in_hand.pop(portion.id, None)
            self._made.pop(portion.id, None)
            self._finished.ring()

    async def idle(self) -> None:
        """Return when it has nothing in hand."""
        while self._in_hand:
            await self._finished.wait()

    def _send_out(self) -> None:
        outbox, self._outbox = self._outbox, []
        try:
            portions = [portion for portion, _ in outbox]
            for frame in errand.frames_of(portions, [size for _, size in outbox], self._limit - errand.ROOM // 2):
                if self._link is not None:
                    self._link.send(Kind.WORK, errand.encode(frame))
        except LinkLost:
            pass  # its end is under way, and gives out again what it had

    # What comes over its link

    def frame(self, link: Link, kind: int, payload: bytes) -> None:
        """It said something."""
        said = errand.decode(kind, payload)
        match said:
            case Here():
                self._adopt(link, said)
            case Beat():
                self.beat = said
            case Made():
                self._made.setdefault(said.id, []).append(said)
            case Said():
                self._state(Kind(kind), said.text)
            case [*items]:
                for item in items:
                    self._told(item)

    def _told(self, item: object) -> None:
        if isinstance(item, Outcome):
            self._finish(item)
        elif isinstance(item, Line):
            self._log(item)

    def _adopt(self, link: Link, here: Here) -> None:
        if here.pid != self.pid or self._link is not None:
            link.abort(LinkLost(f"process {here.pid} is not worker {self.name}"))
            return
        self._link = link
        self._keep_watch()

    def _keep_watch(self) -> None:
        """A worker that was not heard of for some beats is taken for dead."""
        assert self._link is not None
        silent = time.monotonic() - self._link.heard_at
        if silent >= self._patience:
            self.kill(f"gave no sign of life for {silent:.0f} s")
        else:
            self._watch = self._loop.call_later(self._patience - silent + 0.01, self._keep_watch)

    def _state(self, kind: Kind, text: str) -> None:
        if kind is Kind.LEAVING:
            self._leaving = True
            self._why = text
            self._lose(Draining(f"worker {self.name} goes"))
        elif not self._ready.done():
            error = WorkerLost(f"worker {self.name} cannot work: {text}")
            self._ready.set_result(None) if kind is Kind.READY else self._ready.set_exception(error)

    def _finish(self, outcome: Outcome) -> None:
        self.worked = True
        future = self._in_hand.get(outcome.id)
        if future is None or future.done():
            return
        outputs = [errand.messages_of(body) for body in outcome.outputs]
        for made in self._made.pop(outcome.id, ()):
            outputs[made.output] += errand.messages_of(made.messages)
        future.set_result(Ran(outcome.seen, outcome.made, outputs, list(outcome.faults)))

    def _log(self, line: Line) -> None:
        facts = {"worker": self.name, **line.facts}
        record = logging.makeLogRecord(
            {
                **facts,
                "name": line.logger,
                "levelno": line.level,
                "levelname": logging.getLevelName(line.level),
                "msg": line.text,
                "created": line.created,
            }
        )
        if (named := logging.getLogger(line.logger)).isEnabledFor(line.level):
            named.handle(record)

    def ended_link(self, reason: HeadgateError | None) -> None:
        """Its link is over: a worker that cannot report is of no use."""
        self._link_over.set()
        if self._leaving:
            return
        if self._watch is not None:
            self._watch.cancel()
        # Most likely its process is over, too, and tells better why.
        why = f"lost its link: {reason or 'it was closed'}"
        self._watch = self._loop.call_later(LAST_WORDS_SECONDS, self.kill, why)
