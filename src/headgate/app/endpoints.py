"""The endpoints: what an interface of the plan is called below."""

from headgate.core.match import Facet, Kind, Source
from headgate.interface.feed import Feeds, Manners
from headgate.interface.filter import Filter
from headgate.interface.rendering import Events
from headgate.interface.route import Route
from headgate.interface.sse import sse_route
from headgate.runtime.hub import Hub
from headgate.spec.plan import FilterPlan, FollowPlan


def follow_route(path: str, plan: FollowPlan, hub: Hub, feeds: Feeds) -> Route:
    """The route of an interface that follows a stream."""
    event = "" if plan.event == "message" else plan.event  # what an event without a name is called
    return sse_route(
        path,
        hub,
        feeds,
        Events(hub.stream.codec, event, enveloped=plan.data == "envelope"),
        [filter_of(item) for item in plan.filters],
        Manners(ping=plan.ping, retry=plan.retry, stall=plan.stall, on_slow=plan.on_slow),
        compress=plan.compress,
    )


def filter_of(plan: FilterPlan) -> Filter:
    """A filter of an interface."""
    return Filter(
        plan.name,
        Facet(Source(plan.source), plan.path, ignore_case=plan.ignore_case, kind=Kind(plan.type)),
        required=plan.required,
        enum=plan.enum,
        pattern=plan.pattern,
        meaning=plan.description,
    )
