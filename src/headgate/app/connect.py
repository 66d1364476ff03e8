"""The one table between the plan and the transports: what a connection's settings are called below."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from headgate.app.plugins import make_codec, transport_class
from headgate.core.message import StreamId
from headgate.errors import HeadgateError
from headgate.runtime.stream import Stream
from headgate.spec.plan import ConnectionsPlan, Plan, StreamPlan
from headgate.transport.base import Ability, Delivery, Overflow, StreamSettings, Transport


def stream_settings(plan: StreamPlan) -> StreamSettings:
    """What a transport needs to know of a stream."""
    options: dict[str, Any] = dict(plan.options)
    if plan.create is not None:
        options["create"] = asdict(plan.create)
    return StreamSettings(
        name=plan.name,
        id=StreamId(plan.kind, plan.name),
        topic=plan.topic,
        url=plan.url,
        delivery=Delivery(plan.delivery),
        keep_messages=plan.keep_messages,
        keep_age=plan.keep_age,
        overflow=Overflow(plan.overflow),
        options=options,
    )


def _memory(_: ConnectionsPlan) -> dict[str, Any]:
    return {}


def _log(connections: ConnectionsPlan) -> dict[str, Any]:
    return {"path": connections.log.path, "durability": connections.log.durability}


def _kafka(connections: ConnectionsPlan) -> dict[str, Any]:
    kafka = connections.kafka
    return {
        "bootstrap_servers": kafka.bootstrap_servers,
        "group_id": kafka.group_id,
        "options": kafka.options,
        "send_timeout": kafka.send_timeout,
    }


def _http(connections: ConnectionsPlan) -> dict[str, Any]:
    http = connections.http
    return {
        "timeout": http.timeout,
        "compress": http.compress,
        "answer_bytes": http.answer_bytes,
        "headers": {name: str(value) for name, value in http.headers.items()},
        "networks": http.networks,
    }


_ARGUMENTS: Mapping[str, Callable[[ConnectionsPlan], dict[str, Any]]] = {
    "memory": _memory,
    "log": _log,
    "kafka": _kafka,
    "http": _http,
}


def transport_arguments(name: str, connections: ConnectionsPlan) -> dict[str, Any]:
    """What a transport is made with. A plug-in gets no arguments: its options stand on its streams."""
    return _ARGUMENTS.get(name, _memory)(connections)


def missing_abilities(settings: StreamSettings, abilities: frozenset[Ability]) -> list[str]:
    """What a stream asks of its transport that it cannot do."""
    wanted = {
        Ability.QUEUE: settings.delivery is Delivery.QUEUE,
        Ability.OVERFLOW: settings.overflow is not Overflow.DROP_OLDEST,
    }
    words = {Ability.QUEUE: "delivery: queue", Ability.OVERFLOW: f"overflow: {settings.overflow}"}
    return [words[ability] for ability, asked in wanted.items() if asked and ability not in abilities]


class Connections:
    """The transports in use, each made when its first stream is."""

    def __init__(self) -> None:
        self._transports: dict[str, tuple[dict[str, Any], Transport]] = {}

    @property
    def transports(self) -> list[tuple[str, Transport]]:
        """The transports by name."""
        return [(name, transport) for name, (_, transport) in self._transports.items()]

    def stream(self, plan: StreamPlan, connections: ConnectionsPlan) -> Stream:
        """A stream over its transport, not open yet. May raise a `HeadgateError`: the transport cannot do it."""
        transport = self._transport(plan.transport, transport_arguments(plan.transport, connections))
        settings = stream_settings(plan)
        if missing := missing_abilities(settings, transport.abilities):
            raise HeadgateError(f"stream {plan.name!r}: {plan.transport} cannot do {', '.join(missing)}")
        codec = make_codec(plan.codec, plan.codec_options)
        return Stream(settings, codec, transport, transport_name=plan.transport)

    def _transport(self, name: str, arguments: dict[str, Any]) -> Transport:
        if name not in self._transports:
            self._transports[name] = (arguments, transport_class(name)(**arguments))
        return self._transports[name][1]

    def outdated(self, plan: Plan) -> set[str]:
        """The transports whose settings are others now, or that no stream needs any more."""
        needed = {stream.transport for stream in plan.streams.values()}
        return {
            name
            for name, (arguments, _) in self._transports.items()
            if name not in needed or arguments != transport_arguments(name, plan.connections)
        }

    async def close_outdated(self, plan: Plan) -> None:
        """Close those; their streams were closed before."""
        for name in self.outdated(plan):
            _, transport = self._transports.pop(name)
            await transport.close()

    def troubles(self) -> list[str]:
        """What is wrong with the transports, each with its name."""
        found = ((name, transport.trouble()) for name, transport in self.transports)
        return [f"{name}: {trouble}" for name, trouble in found if trouble]

    async def close(self) -> None:
        """Close them all."""
        for _, transport in self.transports:
            await transport.close()
        self._transports.clear()
