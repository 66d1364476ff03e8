"""The endpoints: what an interface of the plan is called below."""

from collections.abc import Mapping

from headgate.core.match import Facet, Kind, Source
from headgate.interface.cursors import Cursors
from headgate.interface.feed import Manners
from headgate.interface.filter import Filter
from headgate.interface.rendering import Events
from headgate.interface.route import Route
from headgate.interface.sse import sse_route
from headgate.interface.terms import Terms
from headgate.interface.visitors import Visitors
from headgate.interface.websocket import Door, websocket_door
from headgate.runtime.hub import Hub
from headgate.runtime.stream import Stream
from headgate.spec.plan import FilterPlan, FollowPlan, InterfacePlan


def follow_route(path: str, plan: FollowPlan, hub: Hub, visitors: Visitors) -> Route:
    """The route of an interface that follows a stream."""
    event = "" if plan.event == "message" else plan.event  # what an event without a name is called
    return sse_route(
        path,
        hub,
        visitors,
        Events(hub.stream.codec, event, enveloped=plan.data == "envelope"),
        [filter_of(item) for item in plan.filters],
        Manners(ping=plan.ping, retry=plan.retry, stall=plan.stall, on_slow=plan.on_slow),
        compress=plan.compress,
        origins=frozenset(plan.origins),
    )


def socket_door(
    interface: InterfacePlan,
    streams: Mapping[str, Stream],
    hubs: Mapping[str, Hub],
    visitors: Visitors,
    cursors: Cursors,
) -> Door:
    """What serves the WebSockets of an interface."""
    follow, offer = interface.follow, interface.socket
    assert follow is not None
    assert offer is not None
    return websocket_door(
        Terms(
            hub=None if interface.stream is None else hubs[interface.stream],
            inlet=None if offer.publish is None else streams[offer.publish],
            filters=[filter_of(item) for item in follow.filters],
            keyed="kv_stream" in interface.binds,
            on_slow=follow.on_slow,
            stall=follow.stall,
            frame_bytes=min(offer.frame_bytes, interface.policies.request_size_bytes or offer.frame_bytes),
            rate=offer.rate,
            path=interface.path or "",
            cursors=cursors if offer.cursors else None,
            origins=frozenset(follow.origins),
        ),
        visitors,
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
