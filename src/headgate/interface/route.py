"""The route: one declaration that serves an endpoint and describes it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.errors import HeadgateError
from headgate.interface.exchange import Request, Response

Endpoint = Callable[[Request], Awaitable[Response]]
Failure = Callable[[HeadgateError, Request], Response]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, as OpenAPI says it."""

    name: str
    meaning: str
    schema: dict[str, Any]
    required: bool = False
    place: str = "query"  # query or header


@dataclass(frozen=True, slots=True)
class Answer:
    """One status that a route may answer with."""

    status: int
    meaning: str
    content: dict[str, dict[str, Any]] = field(default_factory=dict)  # media type -> schema


@dataclass(frozen=True, slots=True)
class Route:
    """A method and an exact path, what serves it, and what OpenAPI says of it."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    parameters: Sequence[Parameter] = ()
    body: dict[str, dict[str, Any]] = field(default_factory=dict)  # media type -> schema
    answers: Sequence[Answer] = ()
    open_while_draining: bool = False
    failure: Failure | None = None  # what an error looks like here, where that is not as everywhere


class Router:
    """Exact paths to routes: one dictionary look-up, whatever their number."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._methods: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._methods.setdefault(route.path, {})[route.method] = route

    def __repr__(self) -> str:
        return f"<Router: {len(self.routes)} routes>"

    def __contains__(self, path: str) -> bool:
        return path in self._methods

    def find(self, method: str, path: str) -> Route | None:
        """The route for this request; HEAD is served by GET."""
        methods = self._methods.get(path)
        if methods is None:
            return None
        return methods.get("GET" if method == "HEAD" else method)

    def allowed(self, path: str) -> list[str]:
        """The methods that this path has; none when there is no such path."""
        methods = sorted(self._methods.get(path, ()))
        return [*methods, "HEAD", "OPTIONS"] if "GET" in methods else [*methods, "OPTIONS"] if methods else []
