"""The command interfaces of a gate: from the plan to desks, books, bookkeepers and routes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from headgate import __version__
from headgate.core.command import Catalog, CommandType
from headgate.core.json_schema import compile_schema
from headgate.interface.command.office import Office
from headgate.interface.command.routes import command_routes
from headgate.interface.route import Route
from headgate.runtime.command.book import Book
from headgate.runtime.command.bookkeeper import Bookkeeper, Terms
from headgate.runtime.command.desk import Desk
from headgate.runtime.command.lanes import Lanes
from headgate.runtime.ingest.database import Database
from headgate.runtime.stats import CommandStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks, cancel
from headgate.spec.plan import CommandPlan, CommandTypePlan, InterfacePlan, Plan
from headgate.store import open_store


class Commands:
    """All command interfaces of a gate, and the database that keeps their books."""

    def __init__(self, tasks: Tasks, drained: Callable[[], Awaitable[object]]) -> None:
        self.stats: dict[str, CommandStats] = {}
        self.offices: list[Office] = []
        self._tasks, self._drained = tasks, drained
        self._database: Database | None = None
        self._url = ""
        self._began = time.monotonic()
        self._working: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return f"<Commands: {len(self.offices)} interfaces, {self._database!r}>"

    async def become(self, plan: Plan, streams: Mapping[str, Stream]) -> None:
        """Serve what this plan says. Raises a `HeadgateError`."""
        served = [interface for interface in plan.interfaces if interface.command is not None]
        url = plan.connections.database.url if any(_tracks(interface) for interface in served) else ""
        database = await self._opened(url)  # before anything that is there is stopped: it may raise
        await self._stop()
        await self._use(url, database)
        for path in set(self.stats) - {interface.path for interface in served}:
            del self.stats[path]
        self.offices = [self._office(interface, plan, streams) for interface in served]

    async def _opened(self, url: str) -> Database | None:
        """The database at a URL: the one that is used already, or another one."""
        if url == self._url or not url:
            return self._database if url else None
        database = Database(open_store(url), ())
        await database.open(self._tasks)
        return database

    async def _use(self, url: str, database: Database | None) -> None:
        if database is not self._database:
            await self._let_go()
        self._database, self._url = database, url

    def _office(self, interface: InterfacePlan, plan: Plan, streams: Mapping[str, Stream]) -> Office:
        command, path = interface.command, interface.path
        assert command is not None
        assert path is not None
        lanes = Lanes(streams[interface.stream or ""], {low: streams[name] for low, name in command.lanes.items()})
        scope = f"{plan.service.name} {path}"
        stats = self.stats.setdefault(path, CommandStats())
        book = self._book(scope, command, lanes, streams, _landing(lanes, plan))
        return Office(
            path,
            plan.service.name,
            plan.service.version or __version__,
            _catalog(command, plan.commands),
            Desk(scope, lanes, book, stats, command.timeout),
            command.max_batch,
            lambda: time.monotonic() - self._began,
            lambda: _troubles(lanes.streams.values()),
            self._drained,
        )

    def _book(
        self, scope: str, command: CommandPlan, lanes: Lanes, streams: Mapping[str, Stream], landing: float
    ) -> Book | None:
        if not command.track:
            return None
        assert self._database is not None
        book = Book(scope, self._database, self._tasks)
        answers = [] if command.feedback is None else [streams[command.feedback]]
        terms = Terms(scope, command.keep, landing)
        book.bookkeeper = Bookkeeper(terms, self._database, lanes, answers, book.news, book.lease)
        self._working.append(self._tasks.start(repr(book.bookkeeper), book.bookkeeper.run()))
        return book

    def routes(self) -> list[Route]:
        """What the interfaces serve."""
        return [route for office in self.offices for route in command_routes(office)]

    async def _stop(self) -> None:
        for task in self._working:
            await cancel(task)
        self._working.clear()

    async def _let_go(self) -> None:
        if self._database is not None:
            database, self._database, self._url = self._database, None, ""
            await database.close()

    async def close(self) -> None:
        """Let go of the database."""
        await self._stop()
        await self._let_go()


def _tracks(interface: InterfacePlan) -> bool:
    return interface.command is not None and interface.command.track


def _landing(lanes: Lanes, plan: Plan) -> float:
    """How long what was handed over may take to get there, or to fail for good."""
    remote = {stream.transport_name for stream in lanes.streams.values()} - {"memory", "log"}
    return plan.connections.kafka.send_timeout + 5 if remote else 1.0


def _troubles(streams: Iterable[Stream]) -> list[str]:
    return [trouble for stream in streams if (trouble := stream.transport.trouble()) is not None]


def _catalog(command: CommandPlan, types: Sequence[CommandTypePlan]) -> Catalog:
    return Catalog(
        [_command_type(kind) for kind in types],
        closed=command.unknown_types == "refuse",
        protocols=command.protocols,
    )


def _command_type(plan: CommandTypePlan) -> CommandType:
    return CommandType(
        plan.name,
        plan.description,
        plan.payload,
        None if plan.payload is None else compile_schema(plan.payload, "payload"),
        plan.protocols,
        plan.expires,
        plan.defaults,
    )
