"""The schema: all that a plan names, as one Strawberry schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import strawberry
from graphql import GraphQLSchema
from strawberry.tools import create_type

from headgate.interface.call.routes import Terms
from headgate.interface.command.office import Office
from headgate.interface.graphql.actions import call_fields, command_fields
from headgate.interface.graphql.fields import CONFIG, Names
from headgate.interface.graphql.shapes import Shapes
from headgate.interface.graphql.streams import Reading, Streams
from headgate.runtime.stream import Stream


@dataclass(frozen=True, slots=True)
class Ground:
    """What a schema is about."""

    streams: Mapping[str, Stream]
    readings: Mapping[str, Reading]  # those streams that can be read
    calls: Sequence[Terms] = ()
    offices: Sequence[Office] = ()


def schema_of(ground: Ground) -> GraphQLSchema:
    """The schema of all that there is."""
    names, taken = Names(), {"publish"}
    streams, shapes = Streams(ground.streams, ground.readings, names), Shapes(names)
    actions = [*call_fields(ground.calls, shapes, taken), *command_fields(ground.offices, shapes, taken)]
    mutations = [*streams.mutations(), *actions]
    subscriptions = streams.subscriptions()
    made = strawberry.Schema(
        create_type("Query", streams.queries()),
        mutation=create_type("Mutation", mutations) if mutations else None,
        subscription=create_type("Subscription", subscriptions) if subscriptions else None,
        config=CONFIG,
    )
    return made._schema  # noqa: SLF001 - Strawberry has no other way to what it made
