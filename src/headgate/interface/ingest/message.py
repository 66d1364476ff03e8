"""`POST {path}/message`: one message. Those that come together are committed together."""

import hashlib
import time
from functools import cached_property

from headgate.core.codec import decode_json
from headgate.core.cut import Piece
from headgate.core.entity import Fault, Record, Value
from headgate.core.page import Page
from headgate.errors import BodyTooLarge, UnsupportedMedia
from headgate.interface.exchange import Request, Response
from headgate.interface.ingest import answers
from headgate.interface.ingest.asked import Asked, asked
from headgate.interface.ingest.batch import replayed
from headgate.interface.ingest.forms import CSV, TEXT, media_of, object_reader
from headgate.interface.ingest.unpack import unpacked
from headgate.runtime.ingest.answers import Answer, same
from headgate.runtime.ingest.group import Kept, outcomes
from headgate.runtime.ingest.intake import Intake
from headgate.store.base import Connection

_SEVERAL = "a message is one line, and these are several; send them to /batch"


async def message(request: Request, intake: Intake) -> Response:
    """Keep one message. Raises a `HeadgateError`."""
    wanted = asked(request, intake)
    media = media_of(request.header("content-type"))
    if media == CSV:
        raise UnsupportedMedia("one message is a line or a JSON object; send CSV to /batch")
    body = await _body(request)
    found = _line(body, intake) if media == TEXT else _record(body, wanted, intake)
    if isinstance(found, Fault):
        return await _turned_away(found, wanted, intake)
    if not wanted.is_whole:
        return await _grouped(found, wanted, intake)
    fingerprint = hashlib.sha256(f"{media} {request.scope['query_string'].decode('latin-1')}\n".encode() + body)
    return await _alone(found, wanted, intake, fingerprint.hexdigest())


async def _body(request: Request) -> bytes:
    encoding = request.header("content-encoding")
    if encoding is None:
        return await request.body()
    parts: list[bytes] = []
    async for piece in unpacked(request.chunks(), encoding):
        parts.append(piece)
        if sum(map(len, parts)) > request.limit:
            raise BodyTooLarge(f"the body unpacks to more than {request.limit} bytes")
    return b"".join(parts)


class _Line:
    """A message that is a line."""

    def __init__(self, line: bytes, intake: Intake) -> None:
        self.line = line
        layout = intake.lines.layout(line)
        self.generated = layout is not None and intake.is_generated(layout.entity)
        self._intake = intake

    @property
    def page(self) -> Page:
        return self._intake.lines.read(Piece(self.line, 1))

    async def kept(self, wanted: Asked) -> Kept | Fault:
        return await self._intake.line_group(wanted.duplicates, generated=self.generated).keep(self.line)

    @cached_property
    def identity(self) -> tuple[str, list[Value]]:
        return self._intake.lines.identity(self.line.decode().removeprefix("\ufeff"))


class _Object:
    """A message that is a JSON object."""

    def __init__(self, record: Record, intake: Intake) -> None:
        self.record = record
        self.generated = intake.is_generated(record.entity.name)
        self._intake = intake

    @property
    def page(self) -> Page:
        return self._intake.objects.page([self.record])

    async def kept(self, wanted: Asked) -> Kept | Fault:
        return await self._intake.record_group(wanted.duplicates, generated=self.generated).keep(self.record)

    @cached_property
    def identity(self) -> tuple[str, list[Value]]:
        return self.record.entity.name, list(self.record.key)


def _line(body: bytes, intake: Intake) -> _Line | Fault:
    line = body.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > intake.terms.line_bytes:
        return Fault(
            f"the line is longer than {intake.terms.line_bytes} bytes", line=line[:100].decode(errors="replace")
        )
    if b"\n" in line:
        return Fault(_SEVERAL, line=line.decode(errors="replace"))
    return _Line(line, intake)


def _record(body: bytes, wanted: Asked, intake: Intake) -> _Object | Fault:
    found = object_reader(wanted, intake).record(decode_json(body))
    return found if isinstance(found, Fault) else _Object(found, intake)


async def _grouped(found: _Line | _Object, wanted: Asked, intake: Intake) -> Response:
    outcome = await found.kept(wanted)
    await _note(found, outcome, intake)
    return _response(found, outcome)


async def _alone(found: _Line | _Object, wanted: Asked, intake: Intake, fingerprint: str) -> Response:
    """A transaction of its own, with the answer if that is to be remembered."""
    database, memory = intake.database, intake.memory
    keeping = intake.keeping(wanted.duplicates)

    def work(session: Connection) -> tuple[Response, Kept | Fault | None]:
        key = None if wanted.dry_run else wanted.key
        if key and (first := memory.begin(session, key)):
            return replayed(same(first, fingerprint)), None
        settled = keeping.keep(session, found.page, with_ids=found.generated)
        [outcome] = outcomes(settled, 1)
        response = _response(found, outcome, **({"dry_run": True} if wanted.dry_run else {}))
        if key:
            memory.end(session, key, Answer(response.status, response.body, fingerprint))
        if not wanted.dry_run:
            session.commit()
        return response, outcome

    async with database.session() as session:
        response, outcome = await database.run(work, session)
    if outcome is not None and not wanted.dry_run:
        await _note(found, outcome, intake)
        intake.posted()
    return response


async def _turned_away(fault: Fault, wanted: Asked, intake: Intake) -> Response:
    """What is no message never sees the database."""
    if not wanted.dry_run:
        await _note(None, fault, intake)
    return answers.refused(fault)


async def _note(found: _Line | _Object | None, outcome: Kept | Fault, intake: Intake) -> None:
    """Tell everybody who wants to know what became of a message."""
    if isinstance(outcome, Fault):
        await intake.bury_one(outcome)
        intake.count_one(outcome.entity, "error")
        intake.log_refused([outcome])
    elif found is not None:
        intake.count_one(found.identity[0], "duplicate" if outcome.skipped else "success")


def _response(found: _Line | _Object, outcome: Kept | Fault, **more: object) -> Response:
    if isinstance(outcome, Fault):
        return answers.refused(outcome)
    entity, key = found.identity
    if outcome.id is not None:
        key = [outcome.id]
    if outcome.skipped:
        more["duplicate"] = True
    if outcome.updated:
        more["updated"] = True
    return answers.accepted(entity, key, time.time(), **more)
