"""`POST {path}/message`: one message. Those that come together are committed together."""

import hashlib
import time
from collections.abc import Awaitable

from headgate.core.codec import decode_json
from headgate.core.cut import Piece
from headgate.core.entity import Fault, Layout, Record, Value
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
    encoding = request.header("content-encoding")
    body = await (request.body() if encoding is None else _unpacked(request, encoding))
    found = _line(body, intake) if media == TEXT else _record(body, wanted, intake)
    if isinstance(found, Fault):
        return await _turned_away(found, wanted, intake)
    if wanted.is_whole:
        fingerprint = hashlib.sha256(f"{media} {request.scope['query_string'].decode('latin-1')}\n".encode() + body)
        return await _alone(found, wanted, intake, fingerprint.hexdigest())
    outcome = await found.kept(wanted)
    if isinstance(outcome, Fault):
        return await _turned_away(outcome, wanted, intake)
    identity = found.identity()
    _count(identity, outcome, intake)
    return _accepted(identity, outcome)


async def _unpacked(request: Request, encoding: str) -> bytes:
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
        self.generated = intake.generates and _is_generated(intake.lines.layout(line), intake)
        self._intake = intake

    @property
    def page(self) -> Page:
        return self._intake.lines.read(Piece(self.line, 1))

    def kept(self, wanted: Asked) -> Awaitable[Kept | Fault]:
        return self._intake.line_group(wanted.duplicates, generated=self.generated).keep(self.line)

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

    def kept(self, wanted: Asked) -> Awaitable[Kept | Fault]:
        return self._intake.record_group(wanted.duplicates, generated=self.generated).keep(self.record)

    def identity(self) -> tuple[str, list[Value]]:
        return self.record.entity.name, list(self.record.key)


def _is_generated(layout: Layout | None, intake: Intake) -> bool:
    return layout is not None and intake.is_generated(layout.entity)


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


async def _alone(found: _Line | _Object, wanted: Asked, intake: Intake, fingerprint: str) -> Response:
    """A transaction of its own, with the answer if that is to be remembered."""
    database, memory = intake.database, intake.memory
    keeping = intake.keeping(wanted.duplicates)
    dry = {"dry_run": True} if wanted.dry_run else {}

    def work(session: Connection) -> tuple[Response, Kept | Fault | None]:
        key = None if wanted.dry_run else wanted.key
        if key and (first := memory.begin(session, key)):
            return replayed(same(first, fingerprint)), None
        settled = keeping.keep(session, found.page, with_ids=found.generated)
        [outcome] = outcomes(settled, 1)
        if isinstance(outcome, Fault):
            response = answers.refused(outcome)
        else:
            response = _accepted(found.identity(), outcome, **dry)
        if key:
            memory.end(session, key, Answer(response.status, response.body, fingerprint))
        if not wanted.dry_run:
            session.commit()
        return response, outcome

    async with database.session() as session:
        response, outcome = await database.run(work, session)
    if outcome is not None and not wanted.dry_run:
        if isinstance(outcome, Fault):
            await _note(outcome, intake)
        else:
            _count(found.identity(), outcome, intake)
        intake.posted()
    return response


async def _turned_away(fault: Fault, wanted: Asked, intake: Intake) -> Response:
    if not wanted.dry_run:
        await _note(fault, intake)
    return answers.refused(fault)


async def _note(fault: Fault, intake: Intake) -> None:
    """Tell everybody who wants to know of a message that is refused."""
    await intake.bury_one(fault)
    intake.count_one(fault.entity, "error")
    intake.log_refused([fault])


def _count(identity: tuple[str, list[Value]], kept: Kept, intake: Intake) -> None:
    intake.count_one(identity[0], "duplicate" if kept.skipped else "success")


def _accepted(identity: tuple[str, list[Value]], kept: Kept, **more: object) -> Response:
    entity, key = identity
    if kept.id is not None:
        key = [kept.id]
    if kept.skipped:
        more["duplicate"] = True
    if kept.updated:
        more["updated"] = True
    return answers.accepted(entity, key, time.time(), **more)
