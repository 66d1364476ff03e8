"""The results: what a query came to, and each event of a subscription, as clients get them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import ExecutionResult, Executor, GraphQLError, execute_subscription_event

from headgate.core import sse
from headgate.core.codec import json_encode
from headgate.core.message import Message
from headgate.core.window import Gap
from headgate.errors import HeadgateError
from headgate.interface.graphql.streams import shown
from headgate.runtime.stream import Stream

_FAILED = "the gate failed on this; its log has the reason"


def result_of(result: ExecutionResult) -> dict[str, Any]:
    """A result as plain data."""
    return ({"errors": errors_of(result.errors)} if result.errors else {}) | {"data": result.data}


def errors_of(errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
    """Errors as plain data: ours with their codes, and nothing of those that nobody meant to raise."""
    return [_error(error) for error in errors]


def refusal_of(error: HeadgateError) -> dict[str, Any]:
    """An error of ours that concerns all of a request."""
    return {"message": str(error), "extensions": facts_of(error)}


def facts_of(error: HeadgateError) -> dict[str, Any]:
    """What a program can tell an error by."""
    return {"code": error.code, "status": error.status} | ({"retriable": True} if error.retriable else {})


def is_ours(error: GraphQLError) -> bool:
    """Whether an error was meant to be told."""
    return error.original_error is None or isinstance(error.original_error, HeadgateError | GraphQLError)


def _error(error: GraphQLError) -> dict[str, Any]:
    told = dict(error.formatted)
    if not is_ours(error):
        return told | {"message": _FAILED, "extensions": {"code": "internal", "status": 500}}
    if isinstance(error.original_error, HeadgateError):
        told["extensions"] = facts_of(error.original_error)
    return told


@dataclass(frozen=True, slots=True)
class Results:
    """Messages as the results of a subscription. Who asks the same way shares them: `asked` tells it."""

    asked: tuple[str, ...]
    name: str  # that the result has
    executor: Executor[Any] = field(compare=False)
    stream: Stream = field(compare=False)

    def frame(self, message: Message[bytes], place: str) -> bytes:
        event = shown(message, self.stream, place)
        result = execute_subscription_event(self.executor.build_per_event_executor(event))
        assert isinstance(result, ExecutionResult)
        return json_encode(result_of(result) | ({"extensions": {"position": place}} if place else {}))

    def gap(self, gap: Gap) -> bytes:
        return json_encode({"data": {self.name: None}, "extensions": {"gap": gap}})

    def failure(self, error: HeadgateError) -> bytes:
        return json_encode({"errors": [refusal_of(error)]})


NEXT, COMPLETE = b"next", sse.event(b"", name=b"complete")


@dataclass(frozen=True, slots=True)
class ResultEvents:
    """The same as Server-Sent Events, one subscription on each connection."""

    results: Results
    ping = sse.COMMENT

    def frame(self, message: Message[bytes], place: str) -> bytes:
        return sse.event(self.results.frame(message, place), name=NEXT, place=place.encode())

    def gap(self, gap: Gap) -> bytes:
        return sse.event(self.results.gap(gap), name=NEXT)

    def opening(self, place: str, retry: float) -> bytes:
        return sse.retry(round(retry * 1000)) + (sse.place_at(place.encode()) if place else b"")

    def closing(self, retry: float) -> bytes:
        # Not `complete`: who is sent away by a gate that goes is to come again, and go on where it was.
        return sse.retry(round(retry * 1000))

    def failure(self, error: HeadgateError) -> bytes:
        return sse.event(self.results.failure(error), name=NEXT)
