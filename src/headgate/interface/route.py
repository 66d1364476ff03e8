"""The route: one declaration that serves an endpoint and describes it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.errors import HeadgateError
from headgate.interface.exchange import Request, Response

Endpoint = Callable[[Request], Awaitable[Response]]
_NO_VALUES: Mapping[str, str] = {}
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
    """A method and a path, what serves it, and what OpenAPI says of it. In a path, `{name}` stands for a value."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    parameters: Sequence[Parameter] = ()
    body: dict[str, dict[str, Any]] = field(default_factory=dict)  # media type -> schema
    answers: Sequence[Answer] = ()
    open_while_draining: bool = False
    stream: str = ""  # that it serves, if it does: a permission for that is one for this
    keyed: bool = False  # it heeds a permission for some keys of messages alone
    for_all: bool = False  # who are known, whatever they may do: it shows each what concerns them
    public: bool = False  # for those, too, who do not say who they are
    failure: Failure | None = None  # what an error looks like here, where that is not as everywhere


class Router:
    """Paths to routes: one dictionary look-up, whatever their number, and one more where `{names}` stand for values."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._methods: dict[str, dict[str, Route]] = {}
        self._patterns: dict[int, list[tuple[str, list[str]]]] = {}  # by the number of their segments
        for route in routes:
            if "{" in route.path and route.path not in self._methods:
                segments = route.path.split("/")
                self._patterns.setdefault(len(segments), []).append((route.path, segments))
            self._methods.setdefault(route.path, {})[route.method] = route

    def __repr__(self) -> str:
        return f"<Router: {len(self.routes)} routes>"

    def resolve(self, path: str) -> tuple[str, Mapping[str, str]] | None:
        """The path of the routes that serve this one, and the values that stand in it for names."""
        if path in self._methods and "{" not in path:
            return path, _NO_VALUES
        segments = path.split("/")
        for pattern, parts in self._patterns.get(len(segments), ()):
            if all(part == found or (part[:1] == "{" and found) for part, found in zip(parts, segments, strict=True)):
                values = {p[1:-1]: found for p, found in zip(parts, segments, strict=True) if p[:1] == "{"}
                return pattern, values
        return None

    def find(self, method: str, path: str) -> Route | None:
        """The route for this method and path of routes; HEAD is served by GET."""
        methods = self._methods.get(path)
        if methods is None:
            return None
        return methods.get("GET" if method == "HEAD" else method)

    def allowed(self, path: str) -> list[str]:
        """The methods that this path has; none when there is no such path."""
        methods = sorted(self._methods.get(path, ()))
        return [*methods, "HEAD", "OPTIONS"] if "GET" in methods else [*methods, "OPTIONS"] if methods else []
