"""The document as written: the root of the public grammar."""

from typing import Annotated, Literal

from pydantic import Field

from headgate.spec.auth import AuthSpec
from headgate.spec.commands import CommandTypeSpec
from headgate.spec.runtime import RuntimeSpec
from headgate.spec.streams import ConnectionsSpec, StreamSpec
from headgate.spec.values import Duration, Host, Lower, Name, Names, Origin, PositiveDuration, Spec, part

LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], Lower]


class LoggingSpec(Spec):
    """What the service tells of its work."""

    level: LogLevel = Field("info", description="The least that is logged; default: `LOG_LEVEL` of the environment.")
    format: Literal["console", "json"] = Field("console", description="For people, or one JSON object per line.")


class LimitsSpec(Spec):
    """What the service takes from its clients."""

    request_size_bytes: int = Field(1_048_576, ge=1, le=2**40, description="The largest request body.")
    pending_requests: int = Field(
        1000, ge=1, le=1_000_000, description="How many requests with a body are dealt with at once; more get a 503."
    )
    pending_bytes: int = Field(
        67_108_864, ge=1, le=2**40, description="How many bytes of bodies are held at once; more get a 503."
    )
    connections: int = Field(10_000, ge=1, le=1_000_000, description="How many clients may be connected at once.")
    keep_alive_seconds: PositiveDuration = Field(15.0, description="How long an idle connection stays open.")
    header_bytes: int = Field(32_768, ge=1024, le=2**20, description="The largest head of a request; more is a 431.")
    headers: int = Field(100, ge=10, le=10_000, description="How many headers a request may have; more is a 431.")
    patience: PositiveDuration = Field(
        10.0,
        description="How long a client may take for the head of a request, or send less than 100 bytes a second of a"
        " body; then 408.",
    )


class TlsSpec(Spec):
    """Certificates. They are read again on SIGHUP."""

    certificate: Name = Field(description="The file of its certificate, with those that lead to a known one (PEM).")
    key: Name = Field(description="The file of its private key (PEM).")
    client_ca: Name | None = Field(
        None, description="The file of who signs certificates of clients, for `service.auth.certificates` (PEM)."
    )


class ServiceSpec(Spec):
    """The service itself."""

    name: Name = Field("headgate", description="What the service is called.")
    host: Host = Field("127.0.0.1", description="Where it listens. Beyond this machine only with keys or `open: true`.")
    port: int = Field(8080, ge=0, le=65_535, description="Its port; 0 takes a free one.")
    open: bool = Field(False, description="Whether others may reach it although nobody has to say who they are.")
    auth: AuthSpec = part("Who may come in.")
    tls: TlsSpec | None = Field(None, description="Certificates; default: it speaks plain HTTP.")
    audit: Name | None = Field(None, description="The stream that is told who changed something, and who was refused.")
    hosts: Names = Field(
        default_factory=list,
        description="The names that it is asked by, without ports; default: any, but on loopback without keys only"
        " numbers and names without dots.",
    )
    origins: list[Origin] = Field(
        default_factory=list, description="Pages of other sites that may ask it, and read what it answers."
    )
    drain_seconds: Duration = Field(10.0, description="How long requests in flight may take when it stops.")
    log: LoggingSpec = part("What it tells of its work.")
    limits: LimitsSpec = part("What it takes from its clients.")
    build: str = Field("", description="Free text that `/info` shows.")
    title: str = Field("", max_length=200, description="What its documentation is called; default: its name.")
    version: str = Field("", max_length=200, description="Of your service, for its documentation; default: Headgate's.")


class NodeSpec(Spec):
    """What a file says about a function that `@node` declares."""

    input: Names | None = Field(None, description="The stream or streams that it reads.")
    output: Names | None = Field(None, description="The stream or streams that it may publish to.")
    stage: Name | None = Field(None, description="Its stage; groups may be made of stages.")
    tags: Names | None = Field(None, description="Its tags; groups may be made of tags, too.")
    group: Name | None = Field(None, description="The process group that it runs in.")
    concurrency: int | None = Field(
        None, ge=1, le=10_000, description="How many calls at once; default: 1, or as many as its group has workers."
    )
    batch: int | None = Field(
        None, ge=1, le=100_000, description="The most messages that a function of batches gets at once; default: 1000."
    )
    order: Literal["stream", "key", "none"] | None = Field(
        None, description="Which messages are dealt with one after the other; default: `key`, those of one key."
    )
    retries: int | None = Field(
        None, ge=0, le=1_000_000, description="How often a message is tried again when the function fails; default: 0."
    )
    retry_delay: Duration | None = Field(
        None, description="Before the first retry; twice as long before each further one, 30s at most; default: 100ms."
    )
    timeout: PositiveDuration | None = Field(None, description="How long a call may take.")
    dead_letters: Name | None = Field(None, description="The stream for messages that are not handled.")


class Document(Spec):
    """A whole configuration."""

    service: ServiceSpec = part("The service itself.")
    streams: dict[str, StreamSpec] = Field(default_factory=dict, description="Your streams, by name.")
    connections: ConnectionsSpec = part("What they connect to.")
    nodes: dict[str, NodeSpec] = Field(default_factory=dict, description="Overrides of your functions, by name.")
    commands: dict[Name, CommandTypeSpec] = Field(
        default_factory=dict, description="Types of commands, by name; or files of them, or folders of such files."
    )
    entities: Names = Field(default_factory=list, description="Files of record layouts, or folders of such files.")
    runtime: RuntimeSpec = part("What runs your functions and serves them.")
