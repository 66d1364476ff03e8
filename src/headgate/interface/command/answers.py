"""The answers of a command interface, as seed systems know them; errors are `{"error", "type"}` with class names."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from headgate.core.codec import encode_json
from headgate.core.command_status import Status, Transition, history_of
from headgate.errors import (
    BadRequest,
    Busy,
    Expired,
    Forbidden,
    HeadgateError,
    InvalidCommand,
    KeyReused,
    NoReply,
    NotFound,
    RateLimited,
    StorageFull,
    StreamClosed,
    StreamFull,
    TooLate,
    TransportError,
    Unauthorized,
    Unavailable,
)
from headgate.interface.boundary import render
from headgate.interface.exchange import PROBLEM, Request, Response, json
from headgate.runtime.command.desk import Pushed
from headgate.store.commands import CommandRow

_NAMES: Sequence[tuple[type[HeadgateError], str]] = (
    (InvalidCommand, "CommandValidationError"),
    (KeyReused, "IdempotencyKeyReusedError"),
    (NotFound, "CommandNotFoundError"),
    (TooLate, "CommandNotCancellableError"),
    (Expired, "CommandExpiredError"),
    (Busy, "CommandQueueFullError"),
    (StreamFull, "CommandQueueFullError"),
    (StorageFull, "StorageFullError"),
    (RateLimited, "RateLimitError"),
    (NoReply, "TimeoutError"),
    (Forbidden, "PermissionError"),
    (Unauthorized, "AuthenticationError"),
    (BadRequest, "CommandValidationError"),
    (Unavailable, "KafkaConnectionError"),
    (StreamClosed, "KafkaConnectionError"),
    (TransportError, "CommandRejectedError"),  # it will not be taken at another time either
)
_ROOT = "PusherAPIException"


def name_of(error: HeadgateError) -> str:
    """The class name that clients know an error by."""
    return next((name for kind, name in _NAMES if isinstance(error, kind)), _ROOT)


def failure(error: HeadgateError, request: Request) -> Response:
    """An error, in the form of this interface."""
    response = render(error, request)
    if response.content_type != PROBLEM:
        answer = {"error": str(error), "type": name_of(error)}
        response.body = encode_json(answer | {"code": error.code} if response.status == 429 else answer)
    return response


def pushed(outcome: Pushed, path: str) -> Response:
    """A single command is acknowledged."""
    if outcome.status is not Status.ACCEPTED:
        return json(_result(outcome))
    return json(_result(outcome), 202, Location=f"{path}/{outcome.request_id}/status")


def settled(outcome: Pushed, row: CommandRow | None, path: str) -> Response:
    """A single command is acknowledged, and the client waited for the device: 202 when that did not answer in time."""
    is_final = row is not None and row.status.is_final
    answer = _result(outcome) | ({} if row is None else {"status": row.status.word, "detail": told(row)["detail"]})
    headers = {"Preference_Applied": "wait", "Location": f"{path}/{outcome.request_id}/status"}
    return json(answer, 200 if is_final else 202, **headers)


def batch(outcomes: Sequence[Pushed | HeadgateError], ids: Sequence[str]) -> Response:
    """What became of each command of a batch, in its order. `ids` name those that were refused."""
    results = [
        _result(outcome) if isinstance(outcome, Pushed) else _refused(outcome, request_id)
        for outcome, request_id in zip(outcomes, ids, strict=True)
    ]
    errors = [outcome for outcome in outcomes if not isinstance(outcome, Pushed)]
    answer: dict[str, Any] = {
        "total_commands": len(results),
        "successful": len(results) - len(errors),
        "failed": len(errors),
        "results": results,
    }
    if not errors:
        return json(answer, 200)
    if len(errors) < len(results):
        return json(answer, 207)
    worst = max(errors, key=lambda error: error.status)  # a client that may try again is told so
    response = json(answer | {"error": str(worst), "type": name_of(worst)}, worst.status)
    response.failed = worst.code
    if worst.retriable:
        response.headers["Retry-After"] = "1"
    return response


def _result(outcome: Pushed) -> dict[str, Any]:
    word = "accepted, and published when its time comes" if outcome.status is Status.ACCEPTED else "published"
    return {
        "success": True,
        "request_id": outcome.request_id,
        "message": f"Command {word}",
        "timestamp": outcome.at,
    }


def _refused(error: HeadgateError, request_id: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "success": False,
        "request_id": request_id,
        "message": str(error),
        "timestamp": now,
        "type": name_of(error),
    }


def told(row: CommandRow) -> dict[str, Any]:
    """The status of a command."""
    history = history_of(row.history)
    return {
        "request_id": row.request_id,
        "status": row.status.word,
        "device_id": row.device_id,
        "command_type": row.command_type,
        "protocol": row.protocol,
        "priority": row.priority,
        "timestamp": _moment(row.accepted),
        "updated_at": _moment(row.updated),
        "published_at": _moment(row.published),
        "not_before": _moment(row.due) if row.due is not None and row.due > row.accepted else None,
        "expires_at": _moment(row.expires),
        "detail": next((past.detail for past in reversed(history) if past.status == row.status.word), ""),
        "history": [step(transition) for transition in history],
    }


def step(transition: Transition) -> dict[str, Any]:
    """One state that a command came to."""
    told = {"status": transition.status, "timestamp": _moment(transition.at)}
    return told | ({"detail": transition.detail} if transition.detail else {})


def unknown(request_id: str, reason: str) -> dict[str, Any]:
    """The status of a command that cannot be looked up just now."""
    return {"request_id": request_id, "status": "unknown", "detail": reason, "history": []}


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
