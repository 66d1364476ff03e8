"""The transport file: a list that says where streams live, by their kind of data, laid over a configuration.

    streams:
      - {kind: results, transport: http, url: "http://monitor:8001/messages"}
      - {kind: events, transport: kafka}

One file serves all services of a system: what concerns none of a service's streams is passed over, and a stream stays
where it is in the service that its url leads to, for there it lives.
"""

from collections.abc import Iterator
from collections.abc import Mapping as Variables
from dataclasses import dataclass
from urllib.parse import urlsplit

from headgate.core.nearest import nearest
from headgate.errors import Problem
from headgate.spec.interpolate import Interpolator
from headgate.spec.tree import Entry, Items, Mapping, Node, Scalar, child, quoted, show
from headgate.spec.values import is_loopback

_KEYS = ("kind", "name", "transport", "url", "topic", "create")
_DEFAULT_KIND = "stream"


@dataclass(frozen=True, slots=True)
class _Route:
    """Where streams of a kind live; with a name, one of them alone."""

    kind: str
    name: str | None
    settings: Mapping


def is_transport_file(tree: Node) -> bool:
    """Whether this is a list of routes, and no configuration."""
    return isinstance(child(tree, "streams"), Items)


def routed(
    base: Node, over: Mapping, variables: Variables[str, str], problems: list[Problem], warnings: list[Problem]
) -> Mapping:
    """The overlay that a transport file is for this configuration."""
    routes = list(_routes(over, problems))
    entries: dict[str, Entry] = {}
    streams = child(base, "streams")
    for name, stream in streams.entries.items() if isinstance(streams, Mapping) else ():
        kind = _text(stream.node, "kind") or _DEFAULT_KIND
        found = _route_of(name, kind, routes)
        if found is not None:
            if not _leads_here(found, base, variables):
                entries[name] = Entry(stream.mark, found.settings)
        else:
            told = f"no route of {over.mark.file} is for streams.{name}, of kind {quoted(kind)}: it stays where it is"
            warnings.append(stream.mark.problem(told))
    home = over.entries["streams"]
    return Mapping(over.mark, over.entries | {"streams": Entry(home.mark, Mapping(home.node.mark, entries))})


def _routes(over: Mapping, problems: list[Problem]) -> Iterator[_Route]:
    listed = over.entries["streams"].node
    assert isinstance(listed, Items)
    first: dict[tuple[str, str | None], int] = {}
    for node in listed.nodes:
        found = list(_wrong(node))
        kind, name = _text(node, "kind"), _text(node, "name")
        if kind is not None and (line := first.setdefault((kind, name), node.mark.line)) != node.mark.line:
            found.append(node.mark.problem(f"there is a route for {quoted(name or kind)} on line {line} already"))
        problems += found
        if not found and kind is not None and isinstance(node, Mapping):
            settings = {key: entry for key, entry in node.entries.items() if key not in ("kind", "name")}
            yield _Route(kind, name, Mapping(node.mark, settings))


def _wrong(node: Node) -> Iterator[Problem]:
    if not isinstance(node, Mapping):
        yield node.mark.problem(f"a route is a mapping with kind and transport, not {show(node)}")
        return
    for key in ("kind", "transport"):
        if _text(node, key) is None:
            yield node.mark.problem(f"a route needs a {key}")
    for key, entry in node.entries.items():
        if key not in _KEYS:
            yield entry.mark.problem(f"unknown key {quoted(key)} in a route{nearest(key, _KEYS)}")
    if _text(node, "transport") == "http" and child(node, "url") is None:
        yield node.mark.problem("a route with transport http needs a url")


def _route_of(name: str, kind: str, routes: list[_Route]) -> _Route | None:
    fits = [route for route in routes if route.kind == kind and route.name in (name, None)]
    return min(fits, key=lambda route: route.name is None, default=None)


def _leads_here(route: _Route, base: Node, variables: Variables[str, str]) -> bool:
    """Whether the url is one of this very service."""
    # What is wrong with the environment is told when it is put in for good.
    settings, service = (Interpolator(variables).node(node) for node in (route.settings, _service(base)))
    port, host = child(service, "port"), _text(service, "host") or "127.0.0.1"
    url = urlsplit(_text(settings, "url") or "")
    if not isinstance(port, Scalar) or url.hostname is None:
        return False
    is_host = url.hostname == host or (is_loopback(url.hostname) and is_loopback(host))
    return is_host and url.netloc.rpartition(":")[2] == port.text


def _service(base: Node) -> Node:
    return child(base, "service") or Mapping(base.mark, {})


def _text(node: Node, key: str) -> str | None:
    found = child(node, key)
    return found.text if isinstance(found, Scalar) and isinstance(found.value, str) else None
