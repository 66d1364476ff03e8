"""The plug-ins: transports and codecs by name, ours and those that other packages bring."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from headgate.core.codec import BUILT_IN, Codec
from headgate.errors import HeadgateError

# Ours are named here and not as entry points: looking those up takes longer than all the rest of a start.
_TRANSPORTS: Mapping[str, str] = {
    "memory": "headgate.transport.memory:MemoryTransport",
    "log": "headgate.transport.log:LogTransport",
    "http": "headgate.transport.http:HttpTransport",
    "kafka": "headgate.transport.kafka:KafkaTransport",
}

# Codecs that need more than the core, and the extra that brings it.
_CODECS: Mapping[str, str] = {
    "da00": "headgate.core.ess:Da00Codec",
    "f144": "headgate.core.ess:F144Codec",
    "x5f2": "headgate.core.ess:X5f2Codec",
}


class Known(Collection[str]):
    """The names that may stand in a file. Asks the installed packages only for a name that is not ours."""

    def __init__(self, ours: Collection[str], group: str) -> None:
        self._ours = ours
        self._group = group

    def __contains__(self, name: object) -> bool:
        return name in self._ours or name in _installed(self._group)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._ours, *_installed(self._group)]))

    def __len__(self) -> int:
        return len(list(iter(self)))


@cache
def _installed(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


KNOWN_TRANSPORTS = Known(_TRANSPORTS, "headgate.transports")
KNOWN_CODECS = Known([*BUILT_IN, *_CODECS], "headgate.codecs")


def transport_class(name: str) -> Any:
    """The class of a transport; its module is imported now, because it may be heavy."""
    if name not in _TRANSPORTS:
        return _loaded("transport", name)
    return _ours(f"transport {name!r}", _TRANSPORTS[name], extra=name)


def graphql_class() -> Any:
    """What serves graphql interfaces."""
    return _ours("a graphql interface", "headgate.app.graphql:GraphQL", extra="graphql")


def _ours(what: str, place: str, *, extra: str) -> Any:
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        hint = f"pip install 'headgate[{extra}]'"
        raise HeadgateError(f"{what} needs {error.name!r}, which is not installed: {hint}") from None


def _loaded(what: str, name: str) -> Any:
    """What a plug-in brings. Whatever its package does wrong is told by its name."""
    try:
        return _installed(f"headgate.{what}s")[name].load()
    except Exception as error:
        raise HeadgateError(f"the plug-in for {what} {name!r} cannot be loaded: {error!r}") from error


def make_codec(name: str, options: Mapping[str, Any]) -> Codec[Any]:
    """A stream's codec."""
    factory = BUILT_IN.get(name) or _heavy(name)
    try:
        codec: Codec[Any] = factory(**options)
    except TypeError as error:
        raise HeadgateError(f"codec {name!r} does not take these options: {error}") from None
    return codec


def _heavy(name: str) -> Any:
    return _ours(f"codec {name!r}", _CODECS[name], extra="ess") if name in _CODECS else _loaded("codec", name)
