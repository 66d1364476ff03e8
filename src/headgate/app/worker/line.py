"""The line to the gate: what a worker hears and what it says."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from headgate.core import errand, wire
from headgate.core.errand import Beat, Fault, Here, Kind, Line, Made, Outcome, Portion, Said
from headgate.core.message import Message
from headgate.errors import HeadgateError, LinkLost
from headgate.runtime.groups.assignment import Assignment
from headgate.runtime.work import Ran
from headgate.transport.link import Link, connect

MOST_LINES = 1000  # of the log that wait to be sent
LONGEST_REASON, LONGEST_TRACE = 500, 4000


class GateLine:
    """A worker's link. Everything is called in its loop, but for `log`."""

    def __init__(self, assignment: Assignment, take: Callable[[Portion], None], stop: Callable[[], None]) -> None:
        self._assignment = assignment
        self._take, self._stop = take, stop
        self._link: Link | None = None
        self._loop = asyncio.get_running_loop()
        self._outcomes: list[tuple[Outcome, int]] = []
        self._lines: list[Line] = []
        self._unlogged = 0
        self._over = asyncio.Event()

    async def open(self) -> None:
        """Connect, and say who is here."""
        it = self._assignment
        here = (Kind.HERE, errand.encode(Here(os.getpid())))
        self._link = await connect(it.host, it.port, it.rules(), it.worker, self, errand.TO_WORKER, first=here)
        self._beat()

    def say(self, kind: Kind, text: str = "") -> None:
        """Say something about this process as a whole."""
        self._send_outcomes()
        self._send_lines()
        self._send(kind, errand.encode(Said(text)))

    def _send(self, kind: Kind, payload: bytes) -> None:
        assert self._link is not None
        try:
            self._link.send(kind, payload)
        except LinkLost:
            os._exit(0)  # nobody is left to work for

    async def close(self) -> None:
        """Hang up when all is said."""
        assert self._link is not None
        self._send_outcomes()
        self._send_lines()
        self._link.close()
        await self._over.wait()

    # What comes

    def frame(self, _: Link, kind: int, payload: bytes) -> None:
        said = errand.decode(kind, payload)
        if isinstance(said, list):
            for portion in said:
                self._take(portion)
        else:
            self._stop()

    def ended(self, _: Link, reason: HeadgateError | None) -> None:
        if reason is not None:
            # Not by the log: that went over the link.
            sys.stderr.write(f"worker {self._assignment.worker} lost its link to the gate: {reason}\n")
            os._exit(1)
        self._over.set()

    # What goes

    def ran(self, portion: Portion, ran: Ran) -> None:
        """Tell what became of a portion, together with what else is told in this turn of the loop."""
        limit = self._assignment.limit - 2 * errand.ROOM
        faults = _short(ran.faults, limit // 2)
        room = limit - sum([_weight(fault) for fault in faults])
        weights = [sum([errand.weight(message) for message in messages]) for messages in ran.outputs]
        if sum(weights) <= room:
            outputs = [wire.pack(messages) for messages in ran.outputs]
        else:
            self._send_outcomes()
            for output, messages in enumerate(ran.outputs):
                for piece in _pieces(messages, self._assignment.limit):
                    self._send(Kind.MADE, errand.encode(Made(portion.id, output, wire.pack(piece))))
            outputs = [wire.pack([]) for _ in ran.outputs]
        outcome = Outcome(portion.id, ran.seen, ran.made, outputs, faults)
        if not self._outcomes:
            self._loop.call_soon(self._send_outcomes)
        size = sum(map(len, outputs)) + sum([_weight(fault) for fault in faults]) + 256
        self._outcomes.append((outcome, size))

    def _send_outcomes(self) -> None:
        told, self._outcomes = self._outcomes, []
        limit = self._assignment.limit - errand.ROOM
        for outcomes in errand.frames_of([outcome for outcome, _ in told], [size for _, size in told], limit):
            self._send(Kind.RAN, errand.encode(outcomes))

    def _beat(self) -> None:
        assert self._link is not None
        if not self._link.closed:
            self._send(Kind.BEAT, errand.encode(Beat(time.process_time(), _resident())))
            self._loop.call_later(self._assignment.duties.heartbeat, self._beat)

    def log(self, line: Line) -> None:
        """Pass a line of the log on; from any thread."""
        if len(self._lines) >= MOST_LINES:
            self._unlogged += 1
            return
        self._lines.append(line)
        if len(self._lines) == 1 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_lines)

    def _send_lines(self) -> None:
        lines, self._lines = self._lines, []
        if missing := self._unlogged:
            self._unlogged = 0
            text = f"{missing} lines of the log are missing here: there were too many at once"
            lines.append(Line(logging.WARNING, "headgate.worker", text, time.time(), {}))
        sizes = [len(errand.encode(line)) for line in lines]
        limit = self._assignment.limit - errand.ROOM
        small = [(line, size) for line, size in zip(lines, sizes, strict=True) if size <= limit]
        for together in errand.frames_of([line for line, _ in small], [size for _, size in small], limit):
            self._send(Kind.LOGS, errand.encode(together))


class LinkHandler(logging.Handler):
    """Sends the log to the gate, which writes it where its own goes."""

    def __init__(self, line: GateLine) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        facts = {name: _plain(value) for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            facts["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._line.log(Line(record.levelno, record.name, record.getMessage(), record.created, facts))


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _plain(value: object) -> str | int | float | bool | None:
    if isinstance(value, bool | float | None) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()


def _pieces(messages: Sequence[Message[bytes]], limit: int) -> Iterator[Sequence[Message[bytes]]]:
    while messages:
        count = max(1, errand.fitting(messages, limit))
        yield messages[:count]
        messages = messages[count:]


def _short(faults: Sequence[Fault], room: int) -> list[Fault]:
    """Faults that fit: long words are cut, and when there are very many only the first ones have a traceback."""
    short: list[Fault] = []
    for fault in faults:
        reason = _text(fault.reason[:LONGEST_REASON])
        trace = _text(fault.trace[-LONGEST_TRACE:])
        whole = Fault(fault.index, fault.count, reason, trace, fault.retriable, fault.timed_out)
        bare = Fault(fault.index, fault.count, reason[:40], "", fault.retriable, fault.timed_out)
        short.append(whole if room > _weight(whole) else bare)
        room -= _weight(short[-1])
    return short


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _weight(fault: Fault) -> int:
    return 4 * (len(fault.reason) + len(fault.trace)) + 64


def _resident() -> int:
    """Bytes of memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
