"""The view: the settings of a service as its nodes read them, and what they may be."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Generic, TypeVar, cast

import msgspec

from headgate.core.settings import ANY, Entry, Key, values_for
from headgate.errors import NodeError, SettingRefused

S = TypeVar("S")


class Config(Generic[S]):
    """The settings of a node, as they are now: `config()` for all sources, `config("left")` for one of them.

    A node that has a parameter of type `Config[Bins]` gets one. `Config(Bins(count=3))` makes one that stays as it
    is, to call the function without a gate.
    """

    def __init__(self, values: S) -> None:
        self._views: Mapping[str, S] = {ANY: values}

    def __repr__(self) -> str:
        return f"<Config {self()!r}>"

    def __call__(self, source: str = ANY) -> S:
        # One look at one mapping, which is replaced as a whole: any thread may ask.
        views = self._views
        return views[source] if source in views else views[ANY]

    def become(self, views: Mapping[str, S]) -> None:
        """Show these from now on."""
        self._views = views


class Declared:
    """What the nodes of one service declare: the types of its settings, each with its live view."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._views: dict[type[Any], Config[Any]] = {}

    def __repr__(self) -> str:
        return f"<Declared {self.service}: {sorted(self.schema().get('properties', ()))}>"

    def of(self, declared: type[S]) -> Config[S]:
        """The view of these settings; the same for all who ask. Raises a `NodeError` for a type that cannot be one."""
        if declared not in self._views:
            self._views[declared] = Config(defaults_of(declared))
        return cast("Config[S]", self._views[declared])

    def check(self, entries: Mapping[Key, Entry], entry: Entry) -> None:
        """Refuse an entry that would make settings impossible, for any source, by a `SettingRefused`."""
        if not entry.key.is_for(self.service):
            return
        touched = [declared for declared in self._views if entry.key.name in _fields(declared)]
        if touched:
            by_source = values_for(entries, self.service)
            sources = by_source if entry.key.source == ANY else (entry.key.source,)
            for source in sources:
                for declared in touched:
                    _made(declared, by_source[source])

    def show(self, entries: Mapping[Key, Entry]) -> None:
        """Let the views show these values. Each is replaced at once."""
        by_source = values_for(entries, self.service)
        for declared, view in self._views.items():
            view.become({source: _made(declared, values) for source, values in by_source.items()})

    def schema(self) -> dict[str, Any]:
        """What may be set, as JSON Schema."""
        schemas = [msgspec.json.schema(declared) for declared in self._views]
        definitions = {name: part for schema in schemas for name, part in schema.get("$defs", {}).items()}
        named = [definitions.pop(schema["$ref"].rpartition("/")[2]) for schema in schemas]
        properties = {name: part for schema in named for name, part in schema["properties"].items()}
        return {"type": "object", "properties": properties} | ({"$defs": definitions} if definitions else {})


def defaults_only(declared: type[S]) -> Config[S]:
    """A view of settings that nobody can change."""
    return Config(defaults_of(declared))


def defaults_of(declared: type[S]) -> S:
    """These settings before anybody has set one. Raises a `NodeError` when they have no defaults."""
    words = "the settings of a node are a msgspec Struct or a dataclass whose fields all have defaults"
    if not (is_dataclass(declared) or _is_struct(declared)):
        raise NodeError(f"{words}; {declared!r} is none")
    try:
        return declared()
    except TypeError as error:
        raise NodeError(f"{words}: {error}") from None


def _is_struct(declared: object) -> bool:
    return isinstance(declared, type) and issubclass(declared, msgspec.Struct)


def _fields(declared: type[Any]) -> frozenset[str]:
    if _is_struct(declared):
        return frozenset(declared.__struct_encode_fields__)
    return frozenset(declared.__dataclass_fields__)


def _made(declared: type[S], values: Mapping[str, Any]) -> S:
    wanted = {name: value for name, value in values.items() if name in _fields(declared)}
    try:
        return msgspec.convert(wanted, declared)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise SettingRefused(_told(str(error))) from None


def _told(reason: str) -> str:
    """The place first, as people name it: `bins.count: expected ...`."""
    words, at, place = reason.rpartition(" - at `$.")
    return f"{place.rstrip('`')}: {words}" if at else reason
