"""The load: one upload with its report. Whatever the client asked for, this is what carries it out."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from headgate.core.cut import Cutter, Piece
from headgate.core.page import Page
from headgate.core.report import Report
from headgate.errors import BodyTooLarge, Busy, NotFound
from headgate.interface.ingest.asked import Asked
from headgate.interface.ingest.forms import TEXT, Form
from headgate.runtime.ingest.intake import Intake
from headgate.runtime.ingest.overlap import Overlap, Whole
from headgate.runtime.ingest.settled import Settled, Tally
from headgate.runtime.ingest.upload import Keeper, Upload
from headgate.store.base import Connection, Duplicates

PIECE_BYTES = 1024 * 1024
Tell = Callable[[Settled], None]


class Load:
    """Keeps the pages of one upload, and reports on them."""

    def __init__(self, intake: Intake, asked: Asked, form: Form, tell: Tell | None = None) -> None:
        self.report = Report(intake.terms.most_errors)
        self._intake, self._form, self._tell = intake, form, tell
        self._keeping = intake.keeping(asked.duplicates)
        self._buries = not (asked.atomic or asked.dry_run)
        self._tally = Tally()
        self._read_items = 0

    @asynccontextmanager
    async def upload(self, session: Connection | None = None) -> AsyncIterator[Upload]:
        """Where its pieces are put: into a transaction for each, or into that of a session."""
        database = self._intake.database
        if self._intake.uploads >= self._intake.terms.most_uploads:
            raise Busy(f"{self._intake.uploads} uploads are under way; come again in a moment")
        self._intake.uploads += 1
        keeper: Keeper
        if session is None:
            keeper = Overlap(database, self._keeping, self._settled)
        else:
            keeper = Whole(database, self._keeping, self._note, session)
        try:
            async with Upload(self._read, keeper) as upload:
                yield upload
        finally:
            self._intake.uploads -= 1

    async def _read(self, piece: Piece) -> Page:
        page = await self._intake.database.run(self._form.read, piece)
        self._admit(page)
        return page

    async def _settled(self, settled: Settled) -> None:
        await self._note(settled)
        self.counted()
        self._intake.posted()

    def _admit(self, page: Page) -> None:
        most = self._intake.terms.most_items
        self._read_items += page.good.total() + len(page.faults)
        if most is not None and self._read_items > most:
            raise BodyTooLarge(f"the batch holds more than {most} messages; send smaller batches")

    async def _note(self, settled: Settled) -> None:
        self._tally.add(settled)
        self._intake.log_refused(settled.faults)
        self.report.add(settled.accepted, settled.faults, len(settled.skipped), len(settled.updated))
        if self._tell is not None:
            self._tell(settled)
        if self._buries:
            await self._intake.bury(settled)

    def counted(self, *, kept: bool = True) -> None:
        """What was noted is settled for good: it is kept, or only what was refused counts."""
        if not kept:
            self.report.undo()
            self._tally.good.clear()
            self._tally.duplicates.clear()
        self._intake.count(self._tally)
        self._tally = Tally()


async def load_file(path: Path, intake: Intake) -> Report:
    """Keep the messages of a file; a row that is there already is passed over. Raises a `HeadgateError`."""
    wanted = Asked(duplicates=Duplicates.SKIP)
    load = Load(intake, wanted, Form(TEXT, intake.lines.read))
    cutter = Cutter(piece_bytes=PIECE_BYTES, line_bytes=intake.terms.line_bytes)
    try:
        with path.open("rb") as file:
            async with load.upload() as upload:
                while chunk := file.read(PIECE_BYTES):
                    cutter.add(chunk)
                    if piece := cutter.take():
                        await upload.put(piece)
                if piece := cutter.take(final=True):
                    await upload.put(piece)
                await upload.settled()
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from None
    return load.report
