"""The graphql interfaces of a gate: from the plan to a schema, routes and doors. Loaded by those who have one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from headgate.app.endpoints import filter_of
from headgate.interface.call.routes import Terms as Call
from headgate.interface.command.office import Office
from headgate.interface.graphql.conversation import graphql_door
from headgate.interface.graphql.limits import Limits
from headgate.interface.graphql.routes import graphql_routes
from headgate.interface.graphql.schema import Ground, schema_of
from headgate.interface.graphql.service import Service
from headgate.interface.graphql.streams import Reading
from headgate.interface.graphql.terms import Terms
from headgate.interface.route import Route
from headgate.interface.visitors import Visitors
from headgate.interface.websocket import Door
from headgate.runtime.hub import Hub
from headgate.runtime.stream import Stream
from headgate.spec.plan import GraphQLPlan, InterfacePlan, Plan
from headgate.spec.values import is_loopback


class GraphQL:
    """All graphql interfaces of a gate."""

    def __init__(self, visitors: Visitors, drained: Callable[[], Awaitable[object]]) -> None:
        self._visitors, self._drained = visitors, drained
        self._terms: list[Terms] = []

    def __repr__(self) -> str:
        return f"<GraphQL: {len(self._terms)} interfaces>"

    def become(
        self,
        plan: Plan,
        streams: Mapping[str, Stream],
        hubs: Mapping[str, Hub],
        calls: Sequence[Call],
        offices: Sequence[Office],
    ) -> None:
        """Serve what this plan says."""
        self._terms = [
            self._of(interface, its, plan, _ground(its, streams, hubs, calls, offices))
            for interface in plan.interfaces
            if (its := interface.graphql) is not None and interface.path is not None
        ]

    def _of(self, interface: InterfacePlan, its: GraphQLPlan, plan: Plan, ground: Ground) -> Terms:
        told = is_loopback(plan.service.host) if its.introspection is None else its.introspection
        limits = Limits(its.query_bytes, its.depth, its.aliases, its.complexity)
        most = interface.policies.request_size_bytes or plan.service.limits.request_size_bytes
        return Terms(
            interface.path or "",
            Service(schema_of(ground), limits, introspection=told),
            self._visitors,
            self._drained,
            page=told if its.page is None else its.page,
            subscriptions=its.subscriptions,
            frame_bytes=most,
            stall=its.stall,
            on_slow=its.on_slow,
            origins=frozenset(its.origins),
        )

    def routes(self) -> list[Route]:
        """What the interfaces serve."""
        return [route for terms in self._terms for route in graphql_routes(terms)]

    def doors(self) -> dict[str, Door]:
        """The same for WebSockets."""
        return {terms.path: graphql_door(terms) for terms in self._terms}


def _ground(
    its: GraphQLPlan,
    streams: Mapping[str, Stream],
    hubs: Mapping[str, Hub],
    calls: Sequence[Call],
    offices: Sequence[Office],
) -> Ground:
    filters = {name: [filter_of(item) for item in its.filters.get(name, ())] for name in hubs}
    readings = {name: Reading(hub, filters[name]) for name, hub in hubs.items()}
    return Ground(streams, readings, calls, offices)
