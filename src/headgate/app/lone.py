"""A gate that runs one group and serves nobody: for a machine that only works."""

from dataclasses import replace

from headgate.app.gate import declared
from headgate.app.groups import placement
from headgate.app.plugins import transport_class
from headgate.errors import HeadgateError
from headgate.spec.plan import Plan, StreamPlan
from headgate.transport.base import Ability


def lone_plan(plan: Plan, name: str) -> Plan:
    """The plan with this group alone, its nodes and their streams. Raises a `HeadgateError` when that cannot be."""
    groups = {group.name: group for group in plan.runtime.process_groups}
    if name not in groups:
        known = ", ".join(groups) or "none"
        raise HeadgateError(f"there is no group {name!r}; runtime.platform.process_groups has: {known}")
    group = replace(groups[name], workers=max(1, groups[name].workers))
    others = tuple(other for other in plan.runtime.process_groups if other.name != name)
    runtime = replace(plan.runtime, mode="process_supervisor", process_groups=(*others, group))
    whole = replace(plan, runtime=runtime)
    nodes = declared(whole)
    placed = placement(whole, nodes)
    mine = [node for node in nodes.values() if placed.get(node.name) == name]
    if not mine:
        raise HeadgateError(f"group {name!r} has no nodes; docs/groups.md says how they come into one")
    letters = {node.manners.dead_letters for node in mine} - {None}
    used = letters.union(*((*node.inputs, *node.outputs) for node in mine))
    streams = {stream.name: stream for stream in plan.streams.values() if stream.name in used}
    for stream in streams.values():
        _refuse_unreachable(stream, name)
    return replace(whole, streams=streams, interfaces=(), entities=(), alone=name)


def _refuse_unreachable(stream: StreamPlan, group: str) -> None:
    if Ability.SHARED not in transport_class(stream.transport).abilities:
        raise HeadgateError(
            f"stream {stream.name!r} lives in {stream.transport}, which other processes cannot reach: "
            f"put it on kafka to run group {group!r} by itself"
        )
