"""Keeping: how a page gets into a database. At full speed while all is good, row by row told apart where it is not."""

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.page import Page
from headgate.runtime.ingest.settled import Settled, settle
from headgate.store.base import Connection, Duplicates, Outcome

_GOOD = Outcome()


@dataclass(slots=True)
class Keeping:
    """Keeps pages, and learns from the last one whether the next is worth an offer."""

    duplicates: Mapping[str, Duplicates]
    doubts: bool = False

    def keep(self, session: Connection, page: Page, *, with_ids: bool = False) -> Settled:
        """Put the rows of a page into the open transaction, and tell what became of its messages."""
        if not page.rows:
            return settle(page, _GOOD)
        if not with_ids and not self.doubts and session.offer(page):
            return settle(page, _GOOD)
        outcome = session.sort(page, self.duplicates)
        self.doubts = bool(outcome.faults or outcome.skipped or outcome.updated)
        return settle(page, outcome)
