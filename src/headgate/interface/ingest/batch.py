"""`POST {path}/batch`: many messages, and one answer that tells what became of each that was refused."""

import time

from headgate.core.report import Report
from headgate.errors import HeadgateError
from headgate.interface.exchange import Request, Response
from headgate.interface.ingest import answers
from headgate.interface.ingest.asked import Asked, asked
from headgate.interface.ingest.body import Body
from headgate.interface.ingest.forms import form_of
from headgate.interface.ingest.load import Load
from headgate.runtime.ingest.answers import Answer, same
from headgate.runtime.ingest.intake import Intake
from headgate.store.base import Connection


async def batch(request: Request, intake: Intake, whole_limit: int) -> Response:
    """Keep a batch. Raises a `HeadgateError` when nothing of it was read."""
    wanted = asked(request, intake)
    form = form_of(request.header("content-type"), wanted, intake)
    work = _Batch(wanted, Body(request, form, intake, whole_limit), Load(intake, wanted, form), intake)
    try:
        return await (work.whole() if wanted.is_whole else work.loose())
    except HeadgateError as error:
        return answers.failure(error, request, work.report)


class _Batch:
    """One batch on its way."""

    def __init__(self, wanted: Asked, body: Body, load: Load, intake: Intake) -> None:
        self._asked, self._body, self._load, self._intake = wanted, body, load, intake
        self._began = time.monotonic()

    @property
    def report(self) -> Report:
        return self._load.report

    async def loose(self) -> Response:
        """Keep piece by piece."""
        async with self._load.upload() as upload:
            async for piece in self._body.pieces():
                await upload.put(piece)
            await upload.settled()
        return self._answer()

    async def whole(self) -> Response:
        """Keep all of it in one transaction, together with the answer if that is to be remembered."""
        database = self._intake.database
        if database.store.exclusive:
            await self._body.spool()
        async with database.session() as session:
            if (first := await self._claim(session)) is not None:
                await self._body.skip()
                return replayed(same(first, self._body.fingerprint))
            try:
                await self._fill(session)
            except BaseException:
                self.report.undo()
                raise
            response = await self._end(session)
        self._load.counted(kept=self._keeps)
        self._intake.posted()
        return response

    async def _fill(self, session: Connection) -> None:
        async with self._load.upload(session) as upload:
            async for piece in self._body.pieces():
                await upload.put(piece)
            await upload.settled()

    async def _end(self, session: Connection) -> Response:
        database = self._intake.database
        if not self._keeps:
            await database.run(session.rollback)
        if self._fails:
            self.report.undo()
        response = self._answer()
        if self._key:
            if not self._keeps and (other := await self._claim(session)) is not None:  # the first claim was undone
                return replayed(same(other, self._body.fingerprint))
            answer = Answer(response.status, response.body, self._body.fingerprint)
            await database.run(self._intake.memory.end, session, self._key, answer)
        if self._keeps or self._key:
            await database.run(session.commit)
        return response

    async def _claim(self, session: Connection) -> Answer | None:
        if not self._key:
            return None
        return await self._intake.database.run(self._intake.memory.begin, session, self._key)

    @property
    def _key(self) -> str | None:
        return None if self._asked.dry_run else self._asked.key  # what keeps nothing has nothing to remember

    @property
    def _fails(self) -> bool:
        return self._asked.atomic and self.report.failed > 0

    @property
    def _keeps(self) -> bool:
        return not (self._fails or self._asked.dry_run)

    def _answer(self) -> Response:
        seconds = time.monotonic() - self._began
        return answers.settled(self.report, seconds, atomic=self._asked.atomic, dry_run=self._asked.dry_run)


def replayed(answer: Answer) -> Response:
    """An answer that was given before."""
    return Response(answer.status, answer.body, headers={"Idempotency-Replayed": "true"})
