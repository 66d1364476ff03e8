"""Interfaces as written: a model for each kind. A new kind is a new model in `InterfaceSpec`, nothing else."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from headgate.spec.values import (
    Dotted,
    EventName,
    Name,
    Names,
    Origin,
    ParameterName,
    Pattern,
    PositiveDuration,
    Route,
    Spec,
    Template,
    part,
)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Bind = Literal["request", "response", "stream", "kv_stream"]
RateLimitKind = Literal[
    "fixed_window",
    "sliding_window_counter",
    "sliding_window_log",
    "token_bucket",
    "leaky_bucket",
    "concurrency",
]


class RateLimitSpec(Spec):
    """How often an interface may be asked."""

    kind: RateLimitKind = Field("fixed_window", description="How requests are counted.")
    limit: int = Field(ge=1, le=1_000_000_000, description="How many requests are let through per window.")
    window: PositiveDuration = Field(60.0, description="How long a window is; `concurrency` has none.")
    per: Literal["client", "identity", "address"] = Field(
        "client",
        description="Whose requests count together: those of a key, or else of an address; those of a key alone,"
        " and nobody else's; those of an address.",
    )
    methods: list[Method] = Field(default_factory=list, description="The methods that count; default: all.")


class PoliciesSpec(Spec):
    """What an interface allows."""

    rate_limit: RateLimitSpec | None = Field(None, description="How often it may be asked.")
    request_size_bytes: int | None = Field(
        None,
        ge=1,
        le=2**40,
        description="The largest request body; default: `service.limits.request_size_bytes`.",
    )
    timeout_ms: int | None = Field(None, ge=1, le=3_600_000, description="How long a request may take.")


class _Common(Spec):
    policies: PoliciesSpec = part("What the interface allows.")


class MessagesSpec(_Common):
    """`GET` gives the messages of a stream, for those who poll."""

    kind: Literal["messages"] = Field(description="Which interface this is.")
    path: Route = Field(description="Where it is served.")
    stream: Name = Field(description="The stream whose messages are given.")


class FilterSpec(Spec):
    """One thing that a client may ask for, by a query parameter of this name."""

    key: Literal[True] | None = Field(None, description="It asks for a message's key.")
    field: Dotted | None = Field(None, description="It asks for a field of the value; dots go into what is nested.")
    header: Name | None = Field(None, description="It asks for a header of the message.")
    required: bool = Field(False, description="A client has to give it.")
    ignore_case: bool = Field(False, description="The field's name may be written in any case.")
    type: Literal["string", "integer", "number", "boolean"] = Field("string", description="What its values are.")
    enum: list[Name] = Field(default_factory=list, description="The only values that may be asked for.")
    pattern: Pattern | None = Field(None, description="What the whole of a value must match.")
    description: str = Field("", max_length=1000, description="What the documentation says of it.")


class _Followed(_Common):
    """How those who follow a stream are served."""

    filter: dict[ParameterName, FilterSpec] = Field(
        default_factory=dict, description="What clients may ask for, by the name of the query parameter."
    )
    origins: list[Origin] = Field(
        default_factory=list, description="Pages of other sites that may connect; those of this host always may."
    )
    stall: PositiveDuration = Field(30.0, description="How long a client may take nothing before it is cut.")
    on_slow: Literal["drop_oldest", "conflate", "disconnect"] = Field(
        "drop_oldest",
        description="A client that falls behind loses the oldest, gets the last of each key, or is cut.",
    )


class _Response(_Followed):
    """How those who follow a stream by a response that goes on are served."""

    event: EventName = Field("message", description="The name of the events.")
    data: Literal["value", "envelope"] = Field(
        "value", description="An event's data: the payload alone, or with its key, headers and time."
    )
    ping: PositiveDuration = Field(15.0, description="How long a client hears nothing before it gets a sign of life.")
    retry: PositiveDuration = Field(2.0, description="How long a client is to wait before it connects again.")
    compress: bool = Field(True, description="Whether a client that asks for gzip gets it.")


class SseSpec(_Response):
    """`GET` follows a stream: Server-Sent Events."""

    kind: Literal["sse"] = Field(description="Which interface this is.")
    path: Route = Field(description="Where it is served.")
    stream: Name = Field(description="The stream that is followed.")


class _Bound(_Common):
    path: Route | None = Field(
        None, description="Where it is served; without one, discovered nodes bring their routes."
    )
    binds: list[Bind] = Field(default_factory=list, description="The ports of nodes that it serves.")
    methods: list[Method] = Field(default_factory=list, description="The HTTP methods that it answers.")
    request: Name | None = Field(None, description="The stream that takes the requests.")
    response: Name | None = Field(None, description="The stream that brings the responses.")
    stream: Name | None = Field(None, description="The stream that is sent to the client.")


class HttpSpec(_Bound):
    """A request, and its response."""

    kind: Literal["http"] = Field(description="Which interface this is.")
    path: Template | None = Field(
        None, description="Where it is served, as /quotes/{item}; without one, discovered nodes bring their routes."
    )


class HttpStreamSpec(_Bound, _Response):
    """A response that goes on. With a path and a stream it is the same as `sse`."""

    kind: Literal["http_stream"] = Field(description="Which interface this is.")


class WebSocketSpec(_Bound, _Followed):
    """Messages in both directions."""

    kind: Literal["websocket"] = Field(description="Which interface this is.")
    publish: Name | None = Field(None, description="The stream that clients may publish to.")
    frame_bytes: int = Field(65_536, ge=1, le=2**24, description="The largest frame that a client may send.")
    rate: float = Field(1000.0, gt=0, le=1_000_000, description="How many frames per second a client may send.")
    cursors: bool = Field(
        False, description="Whether a client may bring a cursor: what it does not acknowledge comes again."
    )


Duplicate = Literal["skip", "error", "update"]


class IngestSpec(_Common):
    """Messages of entities go into the database."""

    kind: Literal["ingest"] = Field(description="Which interface this is.")
    path: Route = Field(description="Where it is served: `/message`, `/batch` and `/stream` stand below it.")
    entities: Names | None = Field(None, description="The entities that it takes; default: all that have a message.")
    mode: Literal["best_effort", "atomic"] = Field(
        "best_effort", description="What becomes of a batch with bad lines, when a client does not say."
    )
    on_duplicate: Duplicate | dict[Name, Duplicate] = Field(
        "skip", description="What becomes of a row whose key is there already; or that for each entity."
    )
    load: Names = Field(default_factory=list, description="Files of messages that are kept at the start.")
    line_bytes: int = Field(65_536, ge=100, le=2**24, description="The longest line.")
    max_errors: int = Field(10_000, ge=0, le=1_000_000, description="How many errors an answer holds.")
    max_batch_items: int | None = Field(
        None, ge=1, le=2**40, description="The most messages in a batch; default: any number."
    )
    uploads: int = Field(16, ge=1, le=1000, description="How many batches and streams may come at once.")
    source: Name | None = Field(
        None, alias="from", description="A stream whose messages are kept, too, each exactly once."
    )
    publish: Name | None = Field(None, description="A stream that gets every record that is kept.")
    dead_letters: Name | None = Field(None, description="A stream that gets every message that is refused.")


class LaneSpec(Spec):
    """Commands of a high priority have a stream of their own."""

    priority: int = Field(ge=1, le=9, description="The lowest priority of those that go there.")
    stream: Name = Field(description="The stream that takes them.")


class CommandSpec(_Common):
    """Commands for devices go to a stream, and what became of them is told."""

    kind: Literal["command"] = Field(description="Which interface this is.")
    path: Route = Field(description="Where it is served: `/batch` and `/{request_id}/status` stand below it.")
    stream: Name = Field(description="The stream that takes the commands.")
    feedback: Name | None = Field(
        None, description="The stream that brings the answers of devices; default: that of the commands."
    )
    lanes: list[LaneSpec] = Field(default_factory=list, description="Streams for commands of a high priority.")
    protocols: Names = Field(default_factory=lambda: ["mqtt", "coap"], description="The protocols of the devices.")
    unknown_types: Literal["allow", "refuse"] = Field(
        "allow", description="What becomes of a command whose type is not described in `commands:`."
    )
    track: bool = Field(True, description="Whether the status of commands is kept in the database.")
    keep: PositiveDuration = Field(604_800.0, description="How long the status of a command is kept.")
    timeout: PositiveDuration = Field(30.0, description="How long a request may wait until its command is published.")
    max_batch: int = Field(1000, ge=1, le=100_000, description="The most commands in a batch.")


class ConfigSpec(_Common):
    """Settings that are changed while the service runs: `GET`, `POST` and `DELETE`."""

    kind: Literal["config"] = Field(description="Which interface this is.")
    path: Route = Field(description="Where it is served.")
    stream: Name = Field(
        "config", description="The stream that brings the settings; `config` is made in memory when it is not declared."
    )
    acks: Name | None = Field(None, description="A stream that gets an acknowledgement of each setting.")


class GraphQLSpec(_Bound):
    """Queries, mutations and subscriptions over all streams, nodes and commands."""

    kind: Literal["graphql"] = Field(description="Which interface this is.")
    filters: dict[Name, dict[ParameterName, FilterSpec]] = Field(
        default_factory=dict, description="What clients may ask for beside keys: arguments, by the name of the stream."
    )
    introspection: bool | None = Field(
        None, description="Whether clients may ask for the schema; default: on a loopback address."
    )
    page: bool | None = Field(
        None, description="Whether browsers get a page to try queries with; default: where there is introspection."
    )
    query_bytes: int = Field(65_536, ge=1, le=2**20, description="The largest query, without its variables.")
    depth: int = Field(10, ge=1, le=50, description="How many levels a query may have.")
    aliases: int = Field(30, ge=0, le=1000, description="How many aliases and repeated fields a query may have.")
    complexity: int = Field(
        10_000, ge=1, le=1_000_000, description="How many fields a query may ask for, counted in each message."
    )
    subscriptions: int = Field(
        100, ge=1, le=10_000, description="How many subscriptions and queries there may be at once on a WebSocket."
    )
    origins: list[Origin] = Field(
        default_factory=list, description="Pages of other sites that may connect; those of this host always may."
    )
    stall: PositiveDuration = Field(30.0, description="How long a client may take nothing before it is cut.")
    on_slow: Literal["drop_oldest", "conflate", "disconnect"] = Field(
        "drop_oldest",
        description="A client that falls behind loses the oldest, gets the last of each key, or is cut.",
    )


InterfaceSpec = Annotated[
    MessagesSpec
    | SseSpec
    | HttpSpec
    | HttpStreamSpec
    | WebSocketSpec
    | IngestSpec
    | CommandSpec
    | ConfigSpec
    | GraphQLSpec,
    Field(discriminator="kind"),
]
BoundSpec = _Bound
FollowedSpec = _Followed
ResponseSpec = _Response

KINDS: dict[str, type[Spec]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(InterfaceSpec)[0])
}
