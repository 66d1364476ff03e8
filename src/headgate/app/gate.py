"""The gate: a plan alive. Entering starts everything it names; leaving ends it in the order that loses nothing."""

import asyncio
import logging
import platform
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from headgate import __version__
from headgate.app.calls import Calls
from headgate.app.command import Commands
from headgate.app.config import Configuring
from headgate.app.connect import Connections
from headgate.app.discovery import discovered
from headgate.app.endpoints import follow_route, socket_door
from headgate.app.groups import crews, placement, rules_of, runs_in
from headgate.app.identity import guard_of, sites_of, tickets_of
from headgate.app.ingest import Ingest
from headgate.app.plugins import graphql_class
from headgate.app.policies import Policies
from headgate.errors import WorkerLost
from headgate.interface.audit import Audit
from headgate.interface.boundary import Boundary
from headgate.interface.cursors import Cursors
from headgate.interface.identity.tickets import ticket_route
from headgate.interface.ops import Ops
from headgate.interface.pages import Pages
from headgate.interface.poll import poll_route
from headgate.interface.publish import publish_route
from headgate.interface.queue import queue_route
from headgate.interface.route import Route, Router
from headgate.interface.visitors import Visitors
from headgate.interface.websocket import Door
from headgate.runtime.groups.supervisor import Supervisor
from headgate.runtime.hub import Hub
from headgate.runtime.node import Declaration, wired
from headgate.runtime.pickup import Pickup
from headgate.runtime.runner import Node
from headgate.runtime.stats import WebStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks, cancel
from headgate.spec.plan import InterfacePlan, Plan, StreamPlan

if TYPE_CHECKING:
    from headgate.app.graphql import GraphQL

logger = logging.getLogger("headgate.gate")


class Gate:
    """Streams, nodes and routes of a plan. `gate.app` is the ASGI app that serves them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.streams: dict[str, Stream] = {}
        self.nodes: dict[str, Node] = {}
        self.hubs: dict[str, Hub] = {}
        self.tasks = Tasks()
        self.visitors = Visitors(self.tasks, time.monotonic)
        self.ingest = Ingest(self.tasks)
        self._drained = asyncio.Event()
        self.commands = Commands(self.tasks, self._drained.wait)
        self.calls = Calls(self.tasks, self._drained.wait)
        self.config = Configuring(self.tasks, plan.service.name)
        self.supervisor = Supervisor(self.tasks)
        self._cursors = Cursors()
        self._graphql: GraphQL | None = None
        self._policies = Policies(time.monotonic)
        self._connections = Connections()
        self._pickups: dict[str, Pickup] = {}
        self._polled: dict[str, Stream] = {}
        self._placed: dict[str, str] = {}  # node -> group
        self._reloading = asyncio.Lock()
        self._auditing: asyncio.Task[Any] | None = None
        self._began = time.monotonic()
        self._web = WebStats()
        self._ops = Ops(
            info=self.info,
            issues=self.issues,
            streams=self.streams,
            nodes=self.nodes,
            supervisor=self.supervisor,
            hubs=self.hubs,
            visitors=self.visitors,
            polled=self._polled,
            web=self._web,
            ingest=self.ingest.stats,
            config=self.config.stats,
            commands=self.commands.stats,
            replies=self.calls.replies,
            more_health=self.ingest.health,
        )
        self.app = Boundary(
            behind=Pages(
                plan.service.title or plan.service.name,
                plan.service.version or __version__,
                lambda: self.app.router.routes,
            ),
            stats=self._web,
            request_limit=plan.service.limits.request_size_bytes,
            clock=time.monotonic,
        )
        self._limit(plan)

    def _limit(self, plan: Plan) -> None:
        limits = plan.service.limits
        self.app.request_limit = limits.request_size_bytes
        self.app.workload.most_requests = limits.pending_requests
        self.app.workload.most_bytes = limits.pending_bytes
        self.app.guard, self.app.tickets, self.app.sites = guard_of(plan), tickets_of(plan), sites_of(plan)

    def __repr__(self) -> str:
        return f"<Gate {self.plan.service.name}: {len(self.streams)} streams, {len(self.nodes)} nodes>"

    async def __aenter__(self) -> Self:
        try:
            await self._build(self.plan, keep=set())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _build(self, plan: Plan, *, keep: set[str]) -> None:
        """Open what the plan names and is not there yet; `keep` names the streams that stay."""
        nodes = declared(plan)
        for name, stream_plan in plan.streams.items():
            if name not in keep:
                await self._open(stream_plan, plan)
        unready = await self._build_groups(plan, nodes)
        for declaration in self._run_here(plan, nodes):
            if declaration.name not in self.nodes:
                self.nodes[declaration.name] = self._node(declaration, plan)
        await self.ingest.become(plan, self.streams)
        await self.commands.become(plan, self.streams)
        await self.config.become(plan, self.streams)
        await self.calls.become(plan, self.streams, nodes)
        self._become_graphql(plan)
        routes, doors = self._routes(plan), self._doors(plan)
        self.app.router = Router(self._policies.routes(plan.interfaces, routes))
        self.app.doors = self._policies.doors(plan.interfaces, doors)
        await self._audit(plan)
        for node in self.nodes.values():
            if not node.running:
                node.start(self.tasks)
        if unready is not None:
            raise unready

    async def _audit(self, plan: Plan) -> None:
        """Note who changes something from now on where the plan says; what was noted so far is kept first."""
        await self._end_audit()
        if plan.service.audit is not None:
            self.app.audit = Audit(self.streams[plan.service.audit])
            self._auditing = self.tasks.start("audit", self.app.audit.run())

    async def _end_audit(self) -> None:
        audit, self.app.audit = self.app.audit, None
        if self._auditing is not None:
            await cancel(self._auditing)
        while audit is not None and audit.waits and await audit.flush():
            pass

    def _become_graphql(self, plan: Plan) -> None:
        if any(interface.graphql is not None for interface in plan.interfaces) and self._graphql is None:
            self._graphql = graphql_class()(self.visitors, self._drained.wait)
        if self._graphql is not None:
            self._graphql.become(plan, self.streams, self.hubs, self.calls.terms, self.commands.offices)

    async def _build_groups(self, plan: Plan, nodes: Mapping[str, Declaration]) -> WorkerLost | None:
        """Have the groups of a plan. When workers cannot be followed by new ones, the old ones go on."""
        self._placed, ipc = placement(plan, nodes), plan.runtime.ipc
        try:
            crew = crews(plan, nodes, self._placed)
            await self.supervisor.become(crew, rules_of(ipc), ipc.bind_host, ipc.bind_port)
        except WorkerLost as error:
            return error
        return None

    def _run_here(self, plan: Plan, nodes: Mapping[str, Declaration]) -> list[Declaration]:
        """The nodes whose group has workers here, or that have no group."""
        elsewhere = {group.name for group in plan.runtime.process_groups if not group.workers}
        return [node for name, node in nodes.items() if self._placed.get(name) not in elsewhere]

    def _node(self, declaration: Declaration, plan: Plan) -> Node:
        group = self._placed.get(declaration.name)
        workers = next((its.workers for its in plan.runtime.process_groups if its.name == group), 1)
        runs = runs_in(self.supervisor, group, declaration.name)
        return Node(declaration, self.streams, runs, self.config.view, workers=workers)

    async def _open(self, stream_plan: StreamPlan, plan: Plan) -> None:
        stream = self._connections.stream(stream_plan, plan.connections)
        await stream.open()
        self.streams[stream.name] = stream
        if stream.is_queue:
            self._pickups[stream.name] = Pickup(stream)
        else:
            self.hubs[stream.name] = Hub(stream, self.tasks)

    def _routes(self, plan: Plan) -> list[Route]:
        routes = self._ops.routes()
        if plan.alone is not None:
            return routes
        routes += [*self.ingest.routes(), *self.commands.routes(), *self.calls.routes()]
        routes += self.config.routes(self._drained.wait)
        if self.app.tickets is not None:
            routes.append(ticket_route(self.app.tickets, self._is_read))
        routes += self._graphql.routes() if self._graphql is not None else []
        for stream in self.streams.values():
            path = f"/streams/{stream.name}/messages"
            routes += [publish_route(path, stream, self._drained.wait), self._poll_route(path, stream)]
        self._polled.clear()
        for name, hub in self.hubs.items():
            hub.stay(any(i.follow is not None and i.path is not None and i.stream == name for i in plan.interfaces))
        for interface in plan.interfaces:
            if interface.path is not None and interface.stream is not None and not interface.has_its_own_routes:
                routes.append(self._interface_route(interface, interface.path, self.streams[interface.stream]))
        return routes

    def _interface_route(self, interface: InterfacePlan, path: str, stream: Stream) -> Route:
        if interface.follow is None:
            self._polled[path] = stream
            return self._poll_route(path, stream)
        return follow_route(path, interface.follow, self.hubs[stream.name], self.visitors)

    def _doors(self, plan: Plan) -> dict[str, Door]:
        more = self._graphql.doors() if self._graphql is not None else {}
        return more | {
            interface.path: socket_door(interface, self.streams, self.hubs, self.visitors, self._cursors)
            for interface in plan.interfaces
            if interface.path is not None and interface.socket is not None
        }

    def _poll_route(self, path: str, stream: Stream) -> Route:
        if pickup := self._pickups.get(stream.name):
            return queue_route(path, stream, pickup, self._drained.wait)
        return poll_route(path, self.hubs[stream.name], self.visitors, self._drained.wait)

    def _is_read(self, path: str) -> bool:
        """Whether something is at this path that can be read."""
        found = self.app.router.resolve(path)
        return path in self.app.doors or (found is not None and self.app.router.find("GET", found[0]) is not None)

    def info(self) -> dict[str, Any]:
        """What `/info` tells."""
        return {
            "name": self.plan.service.name,
            "version": __version__,
            "build": self.plan.service.build,
            "python": platform.python_version(),
            "uptime_seconds": round(time.monotonic() - self._began, 3),
            "streams": sorted(self.streams),
            "nodes": sorted(self.nodes),
            "groups": {
                name: [worker.pid for worker in group.workers] for name, group in self.supervisor.groups.items()
            },
        }

    def issues(self) -> list[str]:
        """Why the gate is not ready; nothing when it is."""
        draining = ["the gate is shutting down"] if self._drained.is_set() else []
        unread = [hub.trouble for hub in self.hubs.values() if hub.stays and hub.trouble is not None]
        parts = (self._connections, self.ingest, self.config, self.calls, self.supervisor)
        troubles = [*(trouble for part in parts for trouble in part.troubles()), *unread]
        return list(dict.fromkeys([*draining, *troubles]))

    async def reload(self, plan: Plan) -> None:
        """Become what the new plan says. Streams, readers and nodes that it leaves as they are go on."""
        async with self._reloading:  # two signals in a row: one after the other
            if not self._drained.is_set():
                await rehearse(plan)
                await self._become(plan)

    async def _become(self, plan: Plan) -> None:
        await self._end_audit()
        outdated = self._outdated(plan)
        kept = set(self.streams) - outdated
        await self._stop_nodes(plan, outdated)
        for name in outdated:
            await self._close_stream(name)
        await self._connections.close_outdated(plan)
        self.plan = plan
        self._limit(plan)
        await self._build(plan, keep=kept)
        logger.info("reloaded", extra={"streams_kept": len(kept), "streams_closed": len(outdated)})

    def _outdated(self, plan: Plan) -> set[str]:
        moved = self._connections.outdated(plan)
        return {
            name
            for name, stream in self.streams.items()
            if plan.streams.get(name) != self.plan.streams[name] or stream.transport_name in moved
        }

    async def _stop_nodes(self, plan: Plan, outdated: set[str]) -> None:
        nodes = declared(plan)
        groups = {group.name: group.workers for group in plan.runtime.process_groups}
        placed = placement(plan, nodes)
        for name, node in list(self.nodes.items()):
            moved = placed.get(name) != self._placed.get(name) or node.workers != groups.get(placed.get(name, ""), 1)
            if moved or outdated.intersection(node.streams) or nodes.get(name) != node.declaration:
                await self.nodes.pop(name).stop(plan.service.drain_seconds)

    async def _close_stream(self, name: str) -> None:
        if pickup := self._pickups.pop(name, None):
            await pickup.close()
        if hub := self.hubs.pop(name, None):
            await hub.close()
        await self.streams.pop(name).close()

    def drain(self) -> None:
        """Take nothing new; let those who wait go home."""
        self.app.draining = True
        self._drained.set()
        self.visitors.drain()

    async def close(self, seconds: float | None = None) -> None:
        """End it all: nodes finish what they hold, streams what is in flight, then the connections go.

        Nodes get so many `seconds`, or the time to drain; what they hold longer is given up.
        """
        self.drain()
        seconds = self.plan.service.drain_seconds if seconds is None else seconds
        self.supervisor.drain()
        await asyncio.gather(*(node.stop(seconds) for node in self.nodes.values()))
        await self.supervisor.close(seconds)
        await self._end_audit()
        await self.tasks.stop()
        await self.ingest.close()
        await self.commands.close()
        await self.config.close()
        for name in list(self.streams):
            await self._close_stream(name)
        await self._connections.close()


async def rehearse(plan: Plan) -> dict[str, Declaration]:
    """The nodes of a plan. What cannot work is refused before anything is touched or opened.

    May raise a `HeadgateError`.
    """
    guard_of(plan)
    connections = Connections()
    try:
        streams = {name: connections.stream(stream, plan.connections) for name, stream in plan.streams.items()}
        nodes = declared(plan)
        for declaration in nodes.values():
            Node(declaration, streams)
        placement(plan, nodes)
    finally:
        await connections.close()
    return nodes


def declared(plan: Plan) -> dict[str, Declaration]:
    """The nodes of a plan, wired as it says. May raise a `NodeError`."""
    wiring = ((node.name, node.input, node.output, node.manners) for node in plan.nodes.values())
    nodes = wired(discovered(plan.folders, plan.runtime.discovery_modules), wiring)
    if plan.alone is None:
        return nodes
    placed = placement(plan, nodes)
    return {name: node for name, node in nodes.items() if placed.get(name) == plan.alone}
