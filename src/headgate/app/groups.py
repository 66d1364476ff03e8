"""The groups: which node runs where, and what the workers of a group are told."""

from collections.abc import Callable, Iterator, Mapping

from headgate.core.frames import Kdf
from headgate.core.greeting import Rules
from headgate.errors import NodeError
from headgate.runtime.groups.assignment import Duties, Port, Task
from headgate.runtime.groups.group import Crew
from headgate.runtime.groups.supervisor import Remote, Supervisor, new_secret
from headgate.runtime.node import Declaration
from headgate.runtime.work import Inline, Runs, Work
from headgate.spec.plan import IpcPlan, Plan, ProcessGroupPlan, StreamPlan
from headgate.spec.rules import WEB


def placement(plan: Plan, nodes: Mapping[str, Declaration]) -> dict[str, str]:
    """The group of each node that does not run in the gate. May raise a `NodeError`."""
    if plan.runtime.mode == "inline":
        return {}
    groups = {group.name: group for group in plan.runtime.process_groups}
    for group in groups.values():
        for name in group.nodes:
            if name not in nodes and plan.alone in (None, group.name):
                known = ", ".join(sorted(nodes)) or "none"
                raise NodeError(f"group {group.name!r} names node {name!r}, but the discovery modules declare: {known}")
    placed = {name: _group_of(node, groups) for name, node in nodes.items()}
    return {name: group for name, group in placed.items() if group is not None and group != WEB}


def _group_of(node: Declaration, groups: Mapping[str, ProcessGroupPlan]) -> str | None:
    own = node.manners.group
    if own is not None and own not in groups:
        known = ", ".join(groups) or "none"
        raise NodeError(f"node {node.name!r} names group {own!r}, but runtime.platform.process_groups has: {known}")
    for how, found in _claims(node, groups):
        if len(found) > 1:
            raise NodeError(f"node {node.name!r} is {how} of two groups: {found[0]!r} and {found[1]!r}")
        if found and node.configured_by is not None:
            raise NodeError(f"node {node.name!r} takes settings; they are read in the gate, not in a group")
        if found and node.is_source:
            raise NodeError(f"node {node.name!r} makes messages of its own; that is done in the gate, not in a group")
        if found:
            return found[0]
    return None


def _claims(node: Declaration, groups: Mapping[str, ProcessGroupPlan]) -> Iterator[tuple[str, list[str]]]:
    """What may decide, the strongest first."""
    manners, all_groups = node.manners, groups.values()
    yield "a node", [manners.group] if manners.group else []
    yield "a node", [group.name for group in all_groups if node.name in group.nodes]
    if node.is_source:
        return
    yield "in a stage", [group.name for group in all_groups if manners.stage in group.stages]
    yield "among the tags", [group.name for group in all_groups if set(manners.tags) & set(group.tags)]


def crews(plan: Plan, nodes: Mapping[str, Declaration], placed: Mapping[str, str]) -> list[Crew]:
    """The groups that run here, and what each does. One without nodes has no processes."""
    here = (group for group in plan.runtime.process_groups if group.workers and group.name != WEB)
    of_group = {group: [nodes[name] for name, its in placed.items() if its == group.name] for group in here}
    return [_crew(plan, group, declared) for group, declared in of_group.items() if declared]


def _crew(plan: Plan, group: ProcessGroupPlan, declared: list[Declaration]) -> Crew:
    duties = Duties(
        group.name,
        group.runner_profile == "async",
        plan.runtime.discovery_modules,
        tuple(map(str, plan.folders)),
        tuple(_task(node, plan.streams) for node in declared),
        group.heartbeat_seconds,
        plan.service.log.level,
    )
    return Crew(duties, group.workers, group.start_timeout_seconds, group.stop_timeout_seconds)


def _task(node: Declaration, streams: Mapping[str, StreamPlan]) -> Task:
    inputs = tuple(_port(streams[name]) for name in node.inputs)
    return Task(node.name, inputs, tuple(_port(streams[name]) for name in node.outputs), node.manners)


def _port(stream: StreamPlan) -> Port:
    return Port(stream.name, stream.kind, stream.codec, dict(stream.codec_options))


def rules_of(ipc: IpcPlan) -> Rules:
    """How frames are signed and believed, with the file's secret or a new one."""
    secret = new_secret() if ipc.secret is None else ipc.secret.encode()
    return Rules(secret, Kdf(ipc.kdf), ipc.ttl_seconds, ipc.nonce_cache_size, ipc.max_payload_bytes)


def runs_in(supervisor: Supervisor, group: str | None, node: str) -> Callable[[Work], Runs]:
    """Who runs a node."""
    return Inline if group is None else lambda _: Remote(supervisor, group, node)
