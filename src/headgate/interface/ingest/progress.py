"""The progress of an upload, as events: one for each message, or one for each piece where that would be too much."""

from collections import deque

from headgate.core import sse
from headgate.core.codec import json_encode
from headgate.core.entity import Fault
from headgate.core.report import Report
from headgate.errors import HeadgateError
from headgate.runtime.ingest.settled import Settled

MOST_WAITING = 1024 * 1024  # bytes of events that a client has not made room for


class Progress:
    """Events that wait to be sent. A client that does not take them gets fewer, and no less of the truth."""

    def __init__(self, report: Report, *, every: bool) -> None:
        self._report, self._every = report, every
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._thinned: dict[str, int] | None = None  # the event of a piece that others of its kind replace

    def tell(self, settled: Settled) -> None:
        """A page is settled."""
        if self._every and self._size < MOST_WAITING:
            self._push(self._each(settled))
        else:
            if self._size < MOST_WAITING:
                first = self._report.processed - settled.accepted.total() - len(settled.faults)
                self._push(b"".join([self._error(fault, first) for fault in settled.faults]))
            self._thinned = {"processed": self._report.processed, **self._report.counts()}

    def end(self, milliseconds: int, error: HeadgateError | None = None) -> None:
        """The totals; and why it ended early, if it did."""
        totals: dict[str, object] = {
            "total": self._report.processed,
            **self._report.counts(),
            "duration_ms": milliseconds,
        }
        if error is not None:
            totals = {"status": "error", "message": str(error), "type": error.code, **totals}
        self._flush_thinned()
        self._push(sse.event(json_encode(totals)))

    def take(self) -> bytes:
        """What waits to be sent."""
        self._flush_thinned()
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return taken

    def _flush_thinned(self) -> None:
        if self._thinned is not None:
            self._push(sse.event(json_encode(self._thinned)))
            self._thinned = None

    def _push(self, events: bytes) -> None:
        self._waiting.append(events)
        self._size += len(events)

    def _each(self, settled: Settled) -> bytes:
        faults = {fault.line_number: fault for fault in settled.faults}
        number = self._report.processed - settled.accepted.total() - len(faults)
        words: dict[tuple[str | None, str], bytes] = {}
        events: list[bytes] = []
        for line, entity in settled.page.messages():
            number += 1
            if line in faults:
                events.append(self._error(faults[line], number - 1))
                continue
            status = "duplicate" if line in settled.skipped else "updated" if line in settled.updated else "success"
            if (entity, status) not in words:
                words[entity, status] = b',"entity":%b,"status":"%b"}\n\n' % (json_encode(entity), status.encode())
            events.append(b'data: {"processed":%d%b' % (number, words[entity, status]))
        return b"".join(events)

    def _error(self, fault: Fault, before: int) -> bytes:
        facts = {"processed": before + 1, "entity": fault.entity, "status": "error", "message": fault.message}
        return sse.event(json_encode({**facts, "line_number": fault.line_number, "line": fault.line}))
