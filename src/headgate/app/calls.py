"""The http interfaces of a gate: from the plan to those who wait for replies, and routes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from headgate.core.message import Message
from headgate.interface.call.contract import Contract
from headgate.interface.call.routes import Terms, call_routes
from headgate.interface.route import Route
from headgate.runtime.node import Declaration, taken
from headgate.runtime.replies import Replies
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks, cancel
from headgate.spec.plan import InterfacePlan, Plan

_TIMEOUT = 30.0  # seconds, where the file says nothing


class Calls:
    """All interfaces that answer a request with what nodes make of it."""

    def __init__(self, tasks: Tasks, drained: Callable[[], Awaitable[object]]) -> None:
        self.replies: dict[str, Replies] = {}  # by the stream that brings them
        self._tasks, self._drained = tasks, drained
        self._working: dict[str, asyncio.Task[Any]] = {}
        self.terms: list[Terms] = []  # of each interface

    def __repr__(self) -> str:
        return f"<Calls: {len(self.terms)} interfaces>"

    async def become(self, plan: Plan, streams: Mapping[str, Stream], nodes: Mapping[str, Declaration]) -> None:
        """Serve what this plan says."""
        served = [interface for interface in plan.interfaces if interface.is_call]
        wanted = {interface.response or "": streams[interface.response or ""] for interface in served}
        for name, replies in list(self.replies.items()):
            if wanted.get(name) is not replies.stream:
                del self.replies[name]
                await cancel(self._working.pop(name))
        for name, stream in wanted.items():
            if name not in self.replies:
                self.replies[name] = Replies(stream)
                self._working[name] = self._tasks.start(f"replies on {name}", self.replies[name].run())
        self.terms = [self._of(interface, streams, nodes) for interface in served]

    def _of(self, interface: InterfacePlan, streams: Mapping[str, Stream], nodes: Mapping[str, Declaration]) -> Terms:
        request, response = interface.request or "", interface.response or ""
        timeout = interface.policies.timeout_ms
        return Terms(
            interface.path or "",
            interface.methods or ("POST",),
            streams[request],
            self.replies[response],
            Contract(_taken_of(request, nodes), _given_to(response, nodes)),
            _TIMEOUT if timeout is None else timeout / 1000,
            self._drained,
        )

    def routes(self) -> list[Route]:
        """What the interfaces serve."""
        return [route for terms in self.terms for route in call_routes(terms)]

    def troubles(self) -> list[str]:
        """Why nobody can be asked just now."""
        return [f"replies on {name}: {its.trouble}" for name, its in self.replies.items() if its.trouble is not None]


def _taken_of(stream: str, nodes: Mapping[str, Declaration]) -> Any:
    """What the nodes that read a stream take; anything, if they differ or run elsewhere."""
    found = {_value(_hints(node).get(_first(node), Any)) for node in nodes.values() if stream in node.inputs}
    return found.pop() if len(found) == 1 else Any


def _given_to(stream: str, nodes: Mapping[str, Declaration]) -> Any:
    """What the nodes that write a stream give."""
    found = {_value(_hints(node).get("return", Any)) for node in nodes.values() if stream in node.outputs}
    return found.pop() if len(found) == 1 else Any


def _first(node: Declaration) -> str:
    return next((parameter.name for parameter in taken(node.function)), "")


def _hints(node: Declaration) -> dict[str, Any]:
    try:
        return get_type_hints(node.function)
    except Exception:  # noqa: BLE001 - an annotation may be any expression; the node itself is refused for it
        return {}


def _value(annotation: Any) -> Any:
    """The type of a value, where a function takes or gives messages of it."""
    if get_origin(annotation) in (list, tuple) and get_args(annotation) and _is_message(get_args(annotation)[0]):
        annotation = get_args(annotation)[0]
    if _is_message(annotation):
        return next(iter(get_args(annotation)), Any)
    return Any if annotation in (inspect.Parameter.empty, None, type(None)) else annotation


def _is_message(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) is Message
