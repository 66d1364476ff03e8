"""The forms of a body: how its bytes are cut into pieces, and how a piece is read."""

from collections.abc import Callable
from dataclasses import dataclass

from headgate.core.cut import Piece, last_line_break, last_row_break
from headgate.core.objects import CsvReader, ObjectReader
from headgate.core.page import Page
from headgate.core.wire import JSON, NDJSON
from headgate.errors import InvalidParameter, UnsupportedMedia
from headgate.interface.ingest.asked import Asked
from headgate.runtime.ingest.intake import Intake

TEXT, CSV = "text/plain", "text/csv"
# What curl says when nobody tells it better: there is no form here that it could mean.
_UNTOLD = ("", "application/x-www-form-urlencoded", "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of bodies."""

    media: str
    read: Callable[[Piece], Page]
    last_break: Callable[[bytes], int] | None = last_line_break  # None: the body is one piece


def media_of(content_type: str | None) -> str:
    """The type of a body, as one of those that are read here."""
    if content_type == TEXT:
        return TEXT
    media = (content_type or "").split(";")[0].strip().lower()
    if media in _UNTOLD:
        return TEXT
    if media not in (TEXT, NDJSON, JSON, CSV):
        known = ", ".join((TEXT, NDJSON, JSON, CSV))
        raise UnsupportedMedia(f"a body of type {media[:100]!r} is not read here; set Content-Type to one of {known}")
    return media


def form_of(content_type: str | None, asked: Asked, intake: Intake) -> Form:
    """How a body of this type is read. Raises a `BadRequest`."""
    media = media_of(content_type)
    if media == TEXT:
        return Form(media, intake.lines.read)
    if media == CSV:
        if asked.entity is None:
            raise InvalidParameter("'entity' is missing: say whose records the rows are, as in ?entity=Order")
        return Form(media, CsvReader(intake.entities, asked.entity).read, last_row_break)
    objects = object_reader(asked, intake)
    return Form(media, objects.read) if media == NDJSON else Form(media, objects.read_array, None)


def object_reader(asked: Asked, intake: Intake) -> ObjectReader:
    """What reads JSON objects for this request."""
    return intake.objects if asked.entity is None else ObjectReader(intake.entities, asked.entity)
