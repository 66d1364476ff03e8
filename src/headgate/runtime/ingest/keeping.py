"""Keeping: how a page gets into a database. At full speed while all is good, row by row told apart where it is not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headgate.core.page import Page, RecordPage
from headgate.runtime.ingest.families import sort_families
from headgate.runtime.ingest.settled import Settled, settle
from headgate.store.base import Connection, Duplicates, Outcome

_GOOD = Outcome()
Beside = Callable[[Connection, Settled], None]


@dataclass(slots=True)
class Keeping:
    """Keeps pages, and learns from the last one whether the next is worth an offer."""

    duplicates: Mapping[str, Duplicates]
    beside: Beside | None = None  # what is done in the same transaction
    doubts: bool = False

    def offer(self, session: Connection, page: Page) -> Settled | None:
        """Put what can be put of a page into the open transaction, without waiting for others; None when it cannot."""
        if self.doubts:
            return self._sort(session, page, waits=False)
        return self._done(session, settle(page, _GOOD)) if session.offer(page) else None

    def keep(self, session: Connection, page: Page, *, with_ids: bool = False) -> Settled:
        """Put the rows of a page into the open transaction, and tell what became of its messages."""
        if not page.rows:
            return settle(page, _GOOD)
        if not with_ids and not self.doubts and (settled := self.offer(session, page)):
            return settled
        return self._sorted(session, page)

    def keep_and_commit(self, session: Connection, page: Page, *, with_ids: bool = False) -> Settled:
        """Keep a page in a transaction of its own. May raise `Uncertain`."""
        if with_ids or self.doubts or self.beside or not page.rows:
            settled = self.keep(session, page, with_ids=with_ids)
        elif session.insert(page):
            return settle(page, _GOOD)
        else:
            settled = self._sorted(session, page)
        session.commit()
        return settled

    def _sorted(self, session: Connection, page: Page) -> Settled:
        settled = self._sort(session, page, waits=True)
        assert settled is not None
        return settled

    def _sort(self, session: Connection, page: Page, *, waits: bool) -> Settled | None:
        if isinstance(page, RecordPage) and page.has_families:
            outcome = sort_families(session, page, self.duplicates, waits=waits)
        else:
            outcome = session.sort(page, self.duplicates, waits=waits)
        if outcome is None:
            return None
        self.doubts = bool(outcome.faults or outcome.skipped or outcome.updated)
        return self._done(session, settle(page, outcome))

    def _done(self, session: Connection, settled: Settled) -> Settled:
        if self.beside is not None:
            self.beside(session, settled)
        return settled
