"""The actions: what is asked of nodes, and commands for devices, as mutations."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from graphql import GraphQLError

from headgate.core.codec import decode_json, encode_json
from headgate.core.reply import failed
from headgate.core.scopes import WRITE
from headgate.interface.call.routes import Terms, ask
from headgate.interface.command.answers import told_of
from headgate.interface.command.office import Office
from headgate.interface.command.push import hand_in
from headgate.interface.command.routes import command_schema
from headgate.interface.graphql.context import Context
from headgate.interface.graphql.fields import JSON, Argument, field, maybe, plain, record
from headgate.interface.graphql.shapes import NAME, Shapes
from headgate.interface.idempotency import checked

_PUSHED = record(
    "Pushed",
    {"request_id": (str, "What it is known by."), "message": (str, ""), "timestamp": (str, ""), "success": (bool, "")},
)
_KEY = Argument("idempotency_key", maybe(str), "The same key gets the same answer.", None)


def call_fields(calls: Sequence[Terms], shapes: Shapes, taken: set[str]) -> list[Any]:
    """A mutation for each two streams that bring a request and its reply, named after the path that does the same."""
    fields, served = [], set()
    for terms in calls:
        pair = terms.requests.name, terms.replies.stream.name
        if pair in served:
            continue
        served.add(pair)
        name = name_of(terms.path, taken)
        takes = shapes.given(terms.contract.request_schema(), name)
        gives = shapes.shown(terms.contract.response_schema(), f"{name}_reply")
        told = f"Ask {terms.requests.name}, as {terms.path} does, and wait for the reply."
        fields.append(field(name, gives, _caller(terms, typed=gives is not JSON), [Argument("input", takes)], told))
    return fields


def _caller(terms: Terms, *, typed: bool) -> Any:
    async def call(_: object, context: Context, given: Mapping[str, Any]) -> Any:
        context.permit(WRITE, terms.path)
        value = terms.contract.body(encode_json(plain(given["input"])), {})
        reply = await ask(terms, value, context.trace)
        error = failed(reply)
        if error is not None:
            raise GraphQLError(error.error, extensions={"code": error.type, "status": error.status})
        text = terms.replies.stream.codec.to_json(reply.value)
        return decode_json(text) if typed else msgspec.Raw(text)

    return call


def command_fields(offices: Sequence[Office], shapes: Shapes, taken: set[str]) -> list[Any]:
    """A mutation for each command interface, named after its path."""
    fields = []
    for office in offices:
        name = name_of(office.path, taken)
        takes = shapes.given(command_schema(office.catalog), f"{name}_command")
        told = f"Send a command, as {office.path} does."
        fields.append(field(name, _PUSHED, _sender(office), [Argument("command", takes), _KEY], told))
    return fields


def _sender(office: Office) -> Any:
    async def send(_: object, context: Context, given: Mapping[str, Any]) -> Any:
        context.permit(WRITE, office.path)

        async def asked() -> tuple[bytes, str | None]:
            return encode_json(plain(given["command"])), checked(given.get("idempotency_key"))

        told = told_of(await hand_in(asked(), office))
        return told | {"timestamp": told["timestamp"].isoformat()}

    return send


def name_of(path: str, taken: set[str]) -> str:
    """What a path is called in a schema: its segments, but for those that stand for values."""
    parts = [part for part in path.strip("/").split("/") if part and part[:1] != "{"]
    name = re.sub(r"[^A-Za-z0-9_]+", "_", "_".join(parts)).strip("_") or "call"
    name = name if NAME.fullmatch(name) else f"call_{name}"
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
