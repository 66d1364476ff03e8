"""Ingesting, wired: the database of a plan, and an intake for each of its ingest interfaces."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headgate.core.entity import Entity
from headgate.errors import HeadgateError, Unavailable
from headgate.interface.exchange import Request, Response, json
from headgate.interface.ingest.load import load_file
from headgate.interface.ingest.routes import ingest_routes
from headgate.interface.route import Answer, Route
from headgate.runtime.ingest.database import Database
from headgate.runtime.ingest.dead_letters import DeadLetters
from headgate.runtime.ingest.feed import Feed
from headgate.runtime.ingest.intake import Intake, Terms
from headgate.runtime.ingest.relay import Relay
from headgate.runtime.stats import IngestStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks, backoff, cancel
from headgate.spec.plan import IngestPlan, InterfacePlan, Plan
from headgate.store import open_store
from headgate.store.base import Duplicates

logger = logging.getLogger("headgate.ingest")
_FORGET_EVERY = 3600.0


class Ingest:
    """The ingest interfaces of a gate, and the database that they share."""

    def __init__(self, tasks: Tasks) -> None:
        self.stats = IngestStats()
        self.database: Database | None = None
        self.intakes: list[Intake] = []
        self._tasks = tasks
        self._url = ""
        self._began = time.monotonic()
        self._working: list[asyncio.Task[Any]] = []
        self._loading: list[Path] = []

    def __repr__(self) -> str:
        return f"<Ingest: {len(self.intakes)} interfaces, {self.database!r}>"

    async def become(self, plan: Plan, streams: Mapping[str, Stream]) -> None:
        """Serve what this plan says. Raises a `HeadgateError` when the tables cannot follow it."""
        await self._stop()
        served = [interface for interface in plan.interfaces if interface.ingest is not None]
        if not served:
            await self.close()
            return
        entities = _kept(plan.entities, served)
        if self.database is not None and self._url == plan.connections.database.url:
            await self.database.follow(entities)
        else:
            await self.close()
            self._url = plan.connections.database.url
            self.database = Database(open_store(self._url), entities)
            await self.database.open(self._tasks)
        self.intakes = []
        relays = self._relays(served, streams, self.database)
        for interface in served:
            assert interface.ingest is not None
            assert interface.path is not None
            intake = self._intake(interface.path, interface, plan.entities, self.database, relays, streams)
            self.intakes.append(intake)
            if interface.ingest.source is not None:
                self._start_feed(intake, streams[interface.ingest.source], self.database)
            if interface.ingest.load:
                self._loading += interface.ingest.load
                self._working.append(
                    self._tasks.start(f"load {intake.path}", self._load(intake, interface.ingest.load))
                )

        self._working.append(self._tasks.start("forget old answers", self._forget(self.database)))

    async def _forget(self, database: Database) -> None:
        """Let go of answers that nobody will ask for again."""
        while True:
            await asyncio.sleep(_FORGET_EVERY)
            try:
                async with database.session() as session:
                    for intake in self.intakes:
                        await database.run(intake.memory.forget, session)
                    await database.run(session.commit)
            except HeadgateError as error:
                logger.warning("old answers stay for now", extra={"reason": str(error)})

    def _intake(
        self,
        path: str,
        interface: InterfacePlan,
        entities: Sequence[Entity],
        database: Database,
        relays: Mapping[str, Relay],
        streams: Mapping[str, Stream],
    ) -> Intake:
        plan = interface.ingest
        assert plan is not None
        return Intake(
            path,
            [entity for entity in entities if entity.name in plan.entities],
            _terms(interface, plan),
            database,
            self.stats,
            self._tasks,
            relay=relays.get(plan.publish or ""),
            dead_letters=None if plan.dead_letters is None else DeadLetters(streams[plan.dead_letters], path),
        )

    def _relays(
        self, served: Sequence[InterfacePlan], streams: Mapping[str, Stream], database: Database
    ) -> dict[str, Relay]:
        """One for each stream that gets what is kept."""
        names = {interface.ingest.publish for interface in served if interface.ingest and interface.ingest.publish}
        relays = {name: Relay(streams[name], database) for name in names}
        for name, relay in relays.items():
            self._working.append(self._tasks.start(f"relay to {name}", relay.run()))
        return relays

    def _start_feed(self, intake: Intake, stream: Stream, database: Database) -> None:
        is_json = stream.codec.content_type == "application/json"
        read = intake.objects.read if is_json else intake.lines.read
        feed = Feed(intake.path, stream, database, read, intake.keeping(None), intake.bury, intake.kept)
        self._working.append(self._tasks.start(repr(feed), feed.run()))

    async def _stop(self) -> None:
        for task in self._working:
            await cancel(task)
        self._working.clear()
        self._loading.clear()

    async def _load(self, intake: Intake, files: Sequence[Path]) -> None:
        """Keep the messages of files, once the database is there. Those that it has already are passed over."""
        await intake.database.ready()
        for path in files:
            await self._load_one(path, intake)
            self._loading.remove(path)

    async def _load_one(self, path: Path, intake: Intake) -> None:
        attempt = 0
        while True:
            try:
                report = await load_file(path, intake)
            except Unavailable:
                attempt += 1
                await asyncio.sleep(backoff(attempt, most=5.0))
                continue
            except HeadgateError as error:
                logger.error("a file could not be loaded", extra={"file": str(path), "reason": str(error)})
                return
            told = {"file": str(path), "inserted": report.inserted, "failed": report.failed}
            logger.log(logging.WARNING if report.failed else logging.INFO, "loaded a file", extra=told)
            return

    def routes(self) -> list[Route]:
        """What the interfaces serve, and the counters of all of them."""
        if not self.intakes:
            return []
        stats = Route(
            "GET",
            "/stats",
            self._stats,
            "What was ingested",
            "ingest",
            answers=[Answer(200, "Counts since the start", {"application/json": {"type": "object"}})],
            open_while_draining=True,
        )
        return [stats, *(route for intake in self.intakes for route in ingest_routes(intake))]

    async def _stats(self, _: Request) -> Response:
        now, messages = time.monotonic(), self.stats.messages
        entities: dict[str, int] = {}
        for (entity, status), count in messages.items():
            if status != "error":
                entities[entity] = entities.get(entity, 0) + count
        answer = {
            "total_messages_processed": sum(entities.values()),
            "messages_by_entity": entities,
            "errors": sum(count for (_, status), count in messages.items() if status == "error"),
            "uptime_seconds": int(now - self._began),
            "requests_per_second": self.stats.requests_per_second(now, self._began),
        }
        return json(answer)

    async def health(self) -> dict[str, Any]:
        """What `/health` tells of it."""
        if self.database is None:
            return {}
        names = dict.fromkeys(entity.name for intake in self.intakes for entity in intake.entities)
        trouble = await self.database.probe()
        return {"database": "disconnected" if trouble else "connected", "entities": list(names)}

    def troubles(self) -> list[str]:
        """Why records cannot be kept just now."""
        trouble = self.database.trouble if self.database is not None else None
        loading = [f"{path} is being loaded" for path in self._loading]
        return [f"database: {trouble}", *loading] if trouble else loading

    async def close(self) -> None:
        """Let go of the database."""
        await self._stop()
        if self.database is not None:
            database, self.database, self.intakes = self.database, None, []
            await database.close()


def _kept(entities: Sequence[Entity], served: Sequence[InterfacePlan]) -> list[Entity]:
    """The entities that an interface takes, and those whose tables they refer to."""
    names = {name for interface in served if interface.ingest for name in interface.ingest.entities}
    tables = {entity.storage.table: entity for entity in entities if entity.storage}
    wanted = [entity for entity in entities if entity.name in names and entity.storage]
    found: dict[str, Entity] = {}
    while wanted:
        entity = wanted.pop()
        if entity.name not in found:
            found[entity.name] = entity
            keys = entity.storage.foreign_keys if entity.storage else ()
            wanted += [tables[key.table] for key in keys if key.table in tables]
    return [entity for entity in entities if entity.name in found]


def _terms(interface: InterfacePlan, plan: IngestPlan) -> Terms:
    return Terms(
        atomic=plan.mode == "atomic",
        duplicates={entity: Duplicates(policy) for entity, policy in plan.duplicates.items()},
        line_bytes=plan.line_bytes,
        most_errors=plan.max_errors,
        most_items=plan.max_batch_items,
        most_bytes=interface.policies.request_size_bytes,
        most_uploads=plan.uploads,
    )
