"""What became of a page: its messages, after the database has said what it takes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headgate.core.entity import Fault
from headgate.core.page import Page
from headgate.store.base import Outcome

UNKNOWN = "unknown"  # whose a message is that names no entity


@dataclass(frozen=True, slots=True)
class Settled:
    """A page, and which of its messages were refused, passed over or replaced a row."""

    page: Page
    faults: tuple[Fault, ...]
    accepted: Counter[str]
    skipped: frozenset[int] = frozenset()
    updated: frozenset[int] = frozenset()
    ids: Mapping[int, int] = field(default_factory=dict)  # the keys that the database made


def settle(page: Page, outcome: Outcome) -> Settled:
    """What the parser refused and what the database refused, in the order of their lines."""
    accepted = page.good
    if not (outcome.faults or outcome.skipped or outcome.updated):
        return Settled(page, tuple(page.faults), accepted, ids=outcome.ids)
    refused = {fault.line_number: fault for fault in reversed(outcome.faults)}
    entities = dict(page.messages()) if refused else {}
    accepted.subtract(entities[number] or "" for number in refused)
    told = [replace(fault, line=page.text(number)) for number, fault in refused.items()]
    return Settled(
        page,
        tuple(sorted([*page.faults, *told], key=lambda fault: fault.line_number)),
        accepted,
        frozenset(outcome.skipped) - refused.keys(),
        frozenset(outcome.updated) - refused.keys(),
        outcome.ids,
    )


@dataclass(slots=True)
class Tally:
    """Messages of some pages, counted by entity."""

    good: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)

    def add(self, settled: Settled) -> None:
        """One more page."""
        self.bad.update(fault.entity or UNKNOWN for fault in settled.faults)
        self.good.update(settled.accepted)
        if settled.skipped:
            entities = dict(settled.page.messages())
            passed = Counter(entities[number] or UNKNOWN for number in settled.skipped)
            self.duplicates.update(passed)
            self.good.subtract(passed)
