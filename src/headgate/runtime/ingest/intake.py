"""The intake: what an ingest interface keeps its messages with."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.cut import Piece
from headgate.core.entity import Entity, Fault, Record
from headgate.core.kinds import shown
from headgate.core.objects import ObjectReader
from headgate.core.page import LineReader, Page
from headgate.runtime.ingest.answers import Memory
from headgate.runtime.ingest.database import Database
from headgate.runtime.ingest.dead_letters import DeadLetters
from headgate.runtime.ingest.group import Group, M
from headgate.runtime.ingest.keeping import Keeping
from headgate.runtime.ingest.relay import Relay
from headgate.runtime.ingest.settled import UNKNOWN, Settled, Tally
from headgate.runtime.stats import IngestStats
from headgate.runtime.tasks import Tasks
from headgate.store.base import Duplicates

logger = logging.getLogger("headgate.ingest")
_LOGGED, _LOGGED_WITHIN = 10, 10.0  # refused messages that are logged in so many seconds


@dataclass(frozen=True, slots=True)
class Terms:
    """What an ingest interface allows, and what it does when nobody says otherwise."""

    atomic: bool = False
    duplicates: Mapping[str, Duplicates] = field(default_factory=dict)
    line_bytes: int = 65_536
    most_errors: int = 10_000
    most_items: int | None = None
    most_bytes: int | None = None
    most_uploads: int = 16


class Intake:
    """One ingest interface's way into the database."""

    def __init__(
        self,
        path: str,
        entities: Sequence[Entity],
        terms: Terms,
        database: Database,
        stats: IngestStats,
        tasks: Tasks,
        *,
        relay: Relay | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        self.path, self.entities, self.terms, self.database = path, tuple(entities), terms, database
        self.memory = Memory(path)
        self.lines = LineReader(entities)
        self.only = entities[0] if len(entities) == 1 else None
        self.objects = ObjectReader(entities, self.only)
        self.uploads = 0
        self._stats, self._tasks = stats, tasks
        self._relay, self._dead_letters = relay, dead_letters
        self._generated = {e.name for e in entities if e.storage is not None and e.storage.generated}
        self.generates = bool(self._generated)
        self._line_groups: dict[tuple[Duplicates | None, bool], Group[bytes]] = {}
        self._record_groups: dict[tuple[Duplicates | None, bool], Group[Record]] = {}
        self._log = _Sample(_LOGGED, _LOGGED_WITHIN, time.monotonic)

    def __repr__(self) -> str:
        return f"<Intake {self.path}: {len(self.entities)} entities, {self.uploads} uploads>"

    def entity(self, name: str) -> Entity | None:
        """The entity of this name."""
        return next((entity for entity in self.entities if entity.name == name), None)

    def duplicates(self, asked: Duplicates | None) -> Mapping[str, Duplicates]:
        """What becomes of duplicates, by entity."""
        return self.terms.duplicates if asked is None else dict.fromkeys((e.name for e in self.entities), asked)

    def keeping(self, asked: Duplicates | None) -> Keeping:
        """How pages are kept."""
        return Keeping(self.duplicates(asked), None if self._relay is None else self._relay.post)

    def posted(self) -> None:
        """Something was committed: whoever publishes it may begin."""
        if self._relay is not None:
            self._relay.ring()

    async def bury(self, settled: Settled) -> None:
        """Keep what was refused among the dead letters. Raises a `TransportError`."""
        if self._dead_letters is not None:
            await self._dead_letters.bury(settled)

    async def bury_one(self, fault: Fault) -> None:
        """Keep a single message that was refused among the dead letters."""
        if self._dead_letters is not None:
            await self._dead_letters.bury_one(fault)

    def kept(self, settled: Settled) -> None:
        """A page is settled and committed: count it, and tell the log of what was refused."""
        tally = Tally()
        tally.add(settled)
        self.count(tally)
        self.log_refused(settled.faults)
        self.posted()

    def is_generated(self, entity: str) -> bool:
        """Whether the database makes its keys."""
        return entity in self._generated

    def line_group(self, asked: Duplicates | None, *, generated: bool) -> Group[bytes]:
        """Where a single line is kept."""
        if (asked, generated) not in self._line_groups:
            self._line_groups[asked, generated] = self._group(self._read_lines, asked, generated)
        return self._line_groups[asked, generated]

    def record_group(self, asked: Duplicates | None, *, generated: bool) -> Group[Record]:
        """Where a single record is kept."""
        if (asked, generated) not in self._record_groups:
            self._record_groups[asked, generated] = self._group(self.objects.page, asked, generated)
        return self._record_groups[asked, generated]

    def _group(self, read: Callable[[Sequence[M]], Page], asked: Duplicates | None, generated: bool) -> Group[M]:
        return Group(self.database, read, self.keeping(asked), self._tasks, self.posted, with_ids=generated)

    def _read_lines(self, lines: Sequence[bytes]) -> Page:
        return self.lines.read(Piece(b"\n".join(lines), 1))

    def count(self, tally: Tally) -> None:
        """Count messages that are settled for good."""
        self._stats.count_messages(tally.good, tally.duplicates, tally.bad)

    def count_one(self, entity: str | None, status: str) -> None:
        """Count a single message: success, duplicate or error."""
        self._stats.messages[entity or UNKNOWN, status] += 1

    def count_request(self, seconds: float) -> None:
        """Count a request that is answered."""
        self._stats.count_request(seconds, time.monotonic())

    def log_refused(self, faults: Sequence[Fault]) -> None:
        """Tell the log of what was refused, as long as it has not heard of too many."""
        for fault in faults[:_LOGGED]:
            self._log_one(fault)

    def _log_one(self, fault: Fault) -> None:
        if (left_out := self._log.take()) is not None:
            facts = {"path": self.path, "entity": fault.entity, "line_number": fault.line_number}
            told = {"reason": fault.message, "line": shown(fault.line), "not_logged_before": left_out}
            logger.warning("refused a message", extra=facts | told)


class _Sample:
    """Lets so many through in so many seconds, and counts the others."""

    def __init__(self, most: int, within: float, clock: Callable[[], float]) -> None:
        self._most, self._within, self._clock = most, within, clock
        self._since, self._taken, self._left_out = clock(), 0, 0

    def take(self) -> int | None:
        """How many were left out since the last one; None when this one is left out, too."""
        now = self._clock()
        if now - self._since >= self._within:
            self._since, self._taken = now, 0
        if self._taken >= self._most:
            self._left_out += 1
            return None
        self._taken += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
