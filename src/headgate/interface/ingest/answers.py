"""The answers of an ingest interface, as seed systems know them: `status`, `message`, `entity` and `line`."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from headgate.core.codec import encode_json
from headgate.core.entity import Fault, Record, Value
from headgate.core.kinds import text_of
from headgate.core.report import Report, error_json
from headgate.errors import HeadgateError
from headgate.interface.boundary import render
from headgate.interface.exchange import PROBLEM, Request, Response, json

_JSON = (int, str, type(None))  # what is in an answer as it is


def accepted(entity: str, key: list[Value], now: float, **more: object) -> Response:
    """One message is kept."""
    return json({"status": "success", "entity": entity, "id": _id(key), "timestamp": _time(int(now)), **more})


def refused(fault: Fault) -> Response:
    """One message is refused."""
    answer = {"status": "error", "message": fault.message, "entity": fault.entity, "line": fault.line}
    return json(answer, 400)


def key_of(record: Record) -> list[Value]:
    """The key of a record."""
    return list(record.key)


def settled(report: Report, seconds: float, *, atomic: bool, dry_run: bool) -> Response:
    """What became of a batch."""
    fails = atomic and report.failed > 0
    answer: dict[str, Any] = {
        "status": "error" if fails else "partial" if report.failed else "success",
        "processed": report.processed,
        **report.counts(),
        "errors": [error_json(fault) for fault in report.errors],
        "duration_ms": round(seconds * 1000),
    }
    if omitted := report.failed - len(report.errors):
        answer["errors_omitted"] = omitted
    if fails:
        words = "message was" if report.failed == 1 else "messages were"
        answer |= {"message": f"nothing was kept: {report.failed} {words} refused", "entity": None, "line": None}
    if dry_run:
        answer["dry_run"] = True
    return json(answer, 400 if fails else 207 if report.failed else 200)


def failure(error: HeadgateError, request: Request, report: Report | None = None) -> Response:
    """An error that is no message's own; with what was settled before it."""
    response = render(error, request)
    if response.content_type != PROBLEM:
        answer: dict[str, Any] = {"status": "error", "message": str(error), "type": error.code}
        answer |= {"entity": None, "line": None}
        if report is not None:
            answer |= {"processed": report.processed, **report.counts()}
            answer["errors"] = [error_json(fault) for fault in report.errors]
        response.body = encode_json(answer)
    response.unread = not request.read
    return response


def _id(key: list[Value]) -> object:
    values = [value if isinstance(value, _JSON) else text_of(value) for value in key]
    return values[0] if len(values) == 1 else values or None


@lru_cache(maxsize=1)
def _time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
