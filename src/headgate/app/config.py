"""Settings, wired: the channel of a plan's config interface, and the views that its nodes read."""

import logging
from collections.abc import Mapping
from typing import Any

from headgate.interface.config import config_routes
from headgate.interface.poll import Drained
from headgate.interface.route import Route
from headgate.runtime.config.channel import Channel
from headgate.runtime.config.view import Config, Declared
from headgate.runtime.stats import ConfigStats
from headgate.runtime.stream import Stream
from headgate.runtime.tasks import Tasks
from headgate.spec.plan import InterfacePlan, Plan

logger = logging.getLogger("headgate.config")
PATIENCE = 3.0  # seconds that nodes wait for their settings before they begin with the defaults


class Configuring:
    """The settings of a gate."""

    def __init__(self, tasks: Tasks, service: str) -> None:
        self.stats = ConfigStats()
        self.channel: Channel | None = None
        self._declared = Declared(service)
        self._path = ""
        self._tasks = tasks

    def __repr__(self) -> str:
        return f"<Configuring: {self.channel!r}>"

    def view(self, declared: type[Any]) -> Config[Any]:
        """The live view of these settings."""
        return self._declared.of(declared)

    async def become(self, plan: Plan, streams: Mapping[str, Stream]) -> None:
        """Read what this plan says, and return when it was read as far as it goes, or cannot be just now."""
        await self.close()
        interface = next((interface for interface in plan.interfaces if interface.kind == "config"), None)
        if interface is None:
            return
        self.channel = self._channel(interface, streams)
        self._path = interface.path or ""
        self.channel.start(self._tasks)
        if not await self.channel.caught_up(PATIENCE):
            logger.warning("settings are not read yet; nodes begin with their defaults")

    def _channel(self, interface: InterfacePlan, streams: Mapping[str, Stream]) -> Channel:
        stream = streams[interface.stream or ""]
        acks = None if interface.acks is None else streams[interface.acks]
        return Channel(stream, self._declared, acks, repeats=stream.transport_name != "http", stats=self.stats)

    def routes(self, drained: Drained) -> list[Route]:
        """What the interface serves."""
        return [] if self.channel is None else config_routes(self._path, self.channel, drained)

    def troubles(self) -> list[str]:
        """Why settings do not arrive just now."""
        return [self.channel.trouble] if self.channel is not None and self.channel.trouble else []

    async def close(self) -> None:
        """Read no longer."""
        if self.channel is not None:
            channel, self.channel = self.channel, None
            await channel.stop()
