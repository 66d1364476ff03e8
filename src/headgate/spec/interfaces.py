"""Interfaces as written: a model for each kind. A new kind is a new model in `InterfaceSpec`, nothing else."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from headgate.spec.values import Name, PositiveDuration, Route, Spec, part

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


class HttpStreamSpec(_Bound):
    """A response that goes on."""

    kind: Literal["http_stream"] = Field(description="Which interface this is.")


class WebSocketSpec(_Bound):
    """Messages in both directions."""

    kind: Literal["websocket"] = Field(description="Which interface this is.")


class GraphQLSpec(_Bound):
    """Queries and subscriptions."""

    kind: Literal["graphql"] = Field(description="Which interface this is.")


InterfaceSpec = Annotated[
    MessagesSpec | HttpSpec | HttpStreamSpec | WebSocketSpec | GraphQLSpec, Field(discriminator="kind")
]
BoundSpec = _Bound

KINDS: dict[str, type[Spec]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(InterfaceSpec)[0])
}
