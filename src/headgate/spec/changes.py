"""Changes: what a reload has to do, told from two plans."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.spec.plan import InterfacePlan, Plan


@dataclass(frozen=True, slots=True)
class Difference:
    """Which names came, went, or mean something else now. False when none did."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two plans. False when nothing does."""

    streams: Difference
    interfaces: Difference  # by path; one without a path by its kind
    nodes: Difference
    connections: Difference
    service_changed: bool
    runtime_changed: bool

    def __bool__(self) -> bool:
        parts = (self.streams, self.interfaces, self.nodes, self.connections)
        return any(parts) or self.service_changed or self.runtime_changed


def changes(old: Plan, new: Plan) -> Changes:
    """What it takes to come from one plan to another. Where something stands in its file does not count."""
    return Changes(
        streams=_difference(old.streams, new.streams),
        interfaces=_difference(_by_place(old), _by_place(new)),
        nodes=_difference(old.nodes, new.nodes),
        connections=_difference(_connections(old), _connections(new)),
        service_changed=old.service != new.service,
        runtime_changed=(old.runtime, old.folders, old.entities) != (new.runtime, new.folders, new.entities),
    )


def _difference(old: Mapping[str, object], new: Mapping[str, object]) -> Difference:
    return Difference(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and old[name] != new[name]),
    )


def _by_place(plan: Plan) -> dict[str, tuple[InterfacePlan, ...]]:
    # Several of one kind may have no path.
    places: dict[str, tuple[InterfacePlan, ...]] = {}
    for interface in plan.interfaces:
        place = interface.path or interface.kind
        places[place] = (*places.get(place, ()), interface)
    return places


def _connections(plan: Plan) -> dict[str, Any]:
    given = {name: getattr(plan.connections, name) for name in ("kafka", "log", "database")}
    return {name: connection for name, connection in given.items() if connection is not None}
