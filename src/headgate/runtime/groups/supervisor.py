"""The supervisor: all groups of a gate, and where their workers report to."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence

from headgate.core.errand import TO_GATE
from headgate.core.greeting import Rules
from headgate.core.message import Message
from headgate.errors import Draining, HeadgateError
from headgate.runtime.groups.assignment import Assignment, Duties
from headgate.runtime.groups.group import Crew, Group
from headgate.runtime.groups.worker import Worker
from headgate.runtime.tasks import Tasks
from headgate.runtime.work import Ran
from headgate.transport.link import Link, LinkServer

SECRET_BYTES = 32


def new_secret() -> bytes:
    """A secret for one life of a gate."""
    return secrets.token_bytes(SECRET_BYTES)


class Supervisor:
    """Starts groups, lets them become others, and ends them."""

    def __init__(self, tasks: Tasks) -> None:
        self.groups: dict[str, Group] = {}
        self._tasks = tasks
        self._server: LinkServer | None = None
        self._rules: Rules | None = None

    def __repr__(self) -> str:
        return f"<Supervisor: {list(self.groups.values())}>"

    @property
    def refused(self) -> Mapping[str, int]:
        """Links that were ended for what came over them, by the code of what was wrong."""
        return {} if self._server is None else self._server.refused

    def troubles(self) -> list[str]:
        """Which groups cannot be relied on just now."""
        return [trouble for group in self.groups.values() if (trouble := group.trouble())]

    async def become(self, crews: Sequence[Crew], rules: Rules, host: str, port: int) -> None:
        """Have these groups. May raise a `HeadgateError`: a worker cannot work."""
        wanted = {crew.duties.group: crew for crew in crews}
        for name in self.groups.keys() - wanted.keys():
            group = self.groups.pop(name)
            await group.close(group.crew.stop_timeout)
        if crews and self._server is None:
            self._rules = rules
            self._server = LinkServer(rules, TO_GATE, self._owner_of)
            await self._server.start(host, port)
        # One after the other: while one is renewed the others are all there.
        for name, crew in wanted.items():
            if name in self.groups:
                await self.groups[name].become(crew)
            else:
                self.groups[name] = group = Group(crew, self._employ, self._tasks)
                await group.start()

    def _employ(self, worker: str, duties: Duties) -> Assignment:
        server, rules = self._server, self._rules
        assert server is not None
        assert rules is not None
        return Assignment(
            worker,
            duties,
            server.host,
            server.port,
            rules.secret,
            rules.kdf,
            rules.ttl,
            rules.window,
            rules.limit,
        )

    def _owner_of(self, name: str) -> "_Owner | None":
        found = (group.find(name) for group in self.groups.values())
        worker = next((worker for worker in found if worker is not None), None)
        return None if worker is None else _Owner(worker)

    def drain(self) -> None:
        """Give out nothing more."""
        for group in self.groups.values():
            group.drain()

    async def close(self, seconds: float) -> None:
        """End all; a worker gets so many seconds for what it has in hand."""
        await asyncio.gather(*(group.close(seconds) for group in self.groups.values()))
        self.groups.clear()
        if self._server is not None:
            await self._server.close()
            self._server = None


class _Owner:
    """A worker, as the owner of its link."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.frame = worker.frame

    def ended(self, _: Link, reason: HeadgateError | None) -> None:
        self._worker.ended_link(reason)


class Remote:
    """Runs a node in the workers of a group."""

    def __init__(self, supervisor: Supervisor, group: str, node: str) -> None:
        self._supervisor, self._group, self._node = supervisor, group, node

    async def run(self, stream: str, messages: Sequence[Message[bytes]], *, apart: bool = False) -> Ran:
        group = self._supervisor.groups.get(self._group)
        if group is None:
            raise Draining(f"group {self._group} is not there")
        return await group.run(self._node, stream, messages, apart=apart)
