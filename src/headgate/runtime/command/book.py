"""The book, as those at the desk see it: commands are accepted into it, looked up and waited for."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from headgate.core.command_status import Status
from headgate.errors import HeadgateError, Unavailable
from headgate.runtime.command.bookkeeper import Bookkeeper
from headgate.runtime.command.lease import Lease
from headgate.runtime.command.news import News
from headgate.runtime.gather import Gather
from headgate.runtime.ingest.database import Database
from headgate.runtime.tasks import Tasks
from headgate.store.base import Connection
from headgate.store.commands import CommandQuery, CommandRow
from headgate.transport.bell import Deadline

_CATCH_UP_SECONDS = 2.0


class Book:
    """One interface's commands, in the database that all gates share."""

    def __init__(self, scope: str, database: Database, tasks: Tasks) -> None:
        self.scope, self._database = scope, database
        self.lease = Lease(scope, database)
        self.news = News(self._find, tasks, lambda: self.lease.is_held)
        self.bookkeeper: Bookkeeper | None = None
        self._accepting = Gather("accept commands", self._accept, tasks)

    def __repr__(self) -> str:
        return f"<Book of {self.scope}>"

    async def accept(self, rows: Sequence[CommandRow], seconds: float) -> list[CommandRow | HeadgateError]:
        """Accept commands, and return when those that are due are published; as they are then, or were before.

        May raise `Unavailable`: then none of them is accepted.
        """
        deadline = Deadline(seconds)
        kept = await self._accepting.do(rows)
        if self.bookkeeper is not None:
            self.bookkeeper.ring()
        return [await self._published(row, deadline) for row in kept]

    async def _accept(self, groups: Sequence[Sequence[CommandRow]]) -> list[list[CommandRow]]:
        rows = [row for group in groups for row in group]
        kept = iter(await self.write(lambda session: _accepted(session, rows)))
        return [[next(kept) for _ in group] for group in groups]

    async def _published(self, row: CommandRow, deadline: Deadline) -> CommandRow | HeadgateError:
        if row.status is not Status.ACCEPTED or row.publish_by is None:
            return row
        status = await self.news.wait(row.request_id, Status.GIVEN_UP, deadline.left() or 0.0)
        if status is None:
            return Unavailable("the command is not published yet; ask again with the same key or request_id")
        if status is Status.PUBLISHED:
            return replace(row, status=status, published=row.accepted)
        try:
            return await self.news.find(row.request_id) or row  # what exactly became of it
        except HeadgateError as error:
            return error

    async def write(self, work: Callable[[Connection], list[CommandRow]]) -> list[CommandRow]:
        """Do this in a transaction of its own. May raise `Unavailable`."""

        def done(session: Connection) -> list[CommandRow]:
            rows = work(session)
            session.commit()
            return rows

        async with self._database.session() as session:
            return await self._database.run(done, session)

    async def _find(self, request_ids: Sequence[str]) -> Sequence[CommandRow]:
        async with self._database.session() as session:
            return await self._database.run(session.find_commands, self.scope, request_ids)

    async def find(self, request_id: str) -> CommandRow | None:
        """A command's row. One that is not there may be on a stream, so that is read to its end first.

        May raise `Unavailable`.
        """
        row = await self.news.find(request_id)
        if row is None and self.bookkeeper is not None:
            if not await self.bookkeeper.catch_up(_CATCH_UP_SECONDS):
                raise Unavailable("the status of commands is behind the stream; ask again in a moment")
            row = await self.news.find(request_id)
        return row

    async def list(self, query: CommandQuery) -> list[CommandRow]:
        """A page of commands. May raise `Unavailable`."""
        async with self._database.session() as session:
            return await self._database.run(session.list_commands, query)

    async def cancel(self, request_id: str) -> CommandRow | None:
        """Cancel a command that is not published yet; its row as it is then. May raise `Unavailable`."""

        def work(session: Connection) -> list[CommandRow]:
            row = session.cancel_command(self.scope, request_id, time.time())
            return [] if row is None else [row]

        rows = await self.write(work)
        self.news.tell((row.request_id, row.status) for row in rows)
        return rows[0] if rows else None


def _accepted(session: Connection, rows: Sequence[CommandRow]) -> list[CommandRow]:
    """The rows, or those that were there before; one that was given up is accepted again."""
    there = session.accept_commands(rows)
    kept = [row if known is None else known for row, known in zip(rows, there, strict=True)]
    return [_revived(session, known, row) for known, row in zip(kept, rows, strict=True)]


def _revived(session: Connection, known: CommandRow, row: CommandRow) -> CommandRow:
    if known.status is not Status.GIVEN_UP or known.fingerprint != row.fingerprint:
        return known
    # Its body begins with its id, which is the first one's.
    body = (row.body or b"").replace(row.request_id.encode(), known.request_id.encode(), 1)
    again = replace(known, status=Status.ACCEPTED, due=row.due, publish_by=row.publish_by, body=body)
    return again if session.revive_command(again) else known
