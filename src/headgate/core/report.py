"""The report: what became of the messages of one upload."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.core.entity import Fault


@dataclass(slots=True)
class Report:
    """Counts, and the first of the errors."""

    most_errors: int
    processed: int = 0
    inserted: int = 0
    skipped: int = 0
    updated: int = 0
    failed: int = 0
    errors: list[Fault] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)  # by entity
    refused: Counter[str | None] = field(default_factory=Counter)

    def add(self, accepted: Counter[str], faults: Sequence[Fault], skipped: int, updated: int) -> None:
        """What became of a page. Those that were skipped or updated are among the accepted."""
        good = accepted.total()
        self.processed += good + len(faults)
        self.inserted += good - skipped - updated
        self.skipped += skipped
        self.updated += updated
        self.failed += len(faults)
        self.errors += faults[: self.most_errors - len(self.errors)]
        self.accepted += accepted
        self.refused.update(fault.entity for fault in faults)

    def undo(self) -> None:
        """Nothing of it was kept in the end."""
        self.inserted = self.skipped = self.updated = 0
        self.accepted.clear()

    def counts(self) -> dict[str, int]:
        """The figures that every answer has."""
        return {
            "inserted": self.inserted,
            "failed": self.failed,
            "duplicates": self.skipped,
            "updated": self.updated,
        }


def error_json(fault: Fault) -> dict[str, Any]:
    """An error of a line, as an answer has it."""
    return {
        "line_number": fault.line_number,
        "entity": fault.entity,
        "message": fault.message,
        "line": fault.line,
    }
