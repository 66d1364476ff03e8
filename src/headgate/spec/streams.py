"""Streams as written: where each lives, how it reads and what it keeps; and the connections they use."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from headgate.spec.values import (
    Character,
    DatabaseUrl,
    HeaderName,
    HttpUrl,
    Name,
    NetworkText,
    Option,
    PositiveDuration,
    Spec,
    expected,
    part,
)


class RetainSpec(Spec):
    """How much of a stream is kept."""

    messages: int = Field(10_000, ge=1, le=100_000_000, description="How many of the newest messages are kept.")
    age: PositiveDuration | None = Field(None, description="How long a message is kept at most, by its own timestamp.")


class CreateSpec(Spec):
    """How a topic is made when it is missing."""

    partitions: int = Field(1, ge=1, le=10_000, description="How many partitions the new topic gets.")
    replication: int = Field(1, ge=1, le=100, description="How many brokers keep each partition.")
    compact: bool = Field(False, description="Whether the brokers keep the last message of each key for good.")


class CodecSpec(Spec):
    """A codec with its options. Those of a plug-in are its own affair."""

    model_config = ConfigDict(extra="allow")

    name: Name = Field(
        description="`json`, `text`, `raw`, `msgpack`, `delimited`, `da00`, `f144`, `x5f2` or a plug-in."
    )
    delimiter: Character | None = Field(None, description="What stands between two fields (`delimited` only).")
    fields: list[Name] | None = Field(None, description="The names of the fields, in order (`delimited` only).")


def _named(value: object) -> object:
    if not isinstance(value, str | dict):
        raise expected("the name of a codec, or a mapping with its name and options")
    return {"name": value} if isinstance(value, str) else value


class StreamSpec(Spec):
    """A named sequence of messages."""

    transport: Name = Field(
        "memory", description="Where the stream lives: `memory`, `log`, `http`, `kafka` or a plug-in."
    )
    topic: Name | None = Field(None, description="The topic's name over there (`kafka` only); default: the stream's.")
    url: HttpUrl | None = Field(
        None, repr=False, description="Where the other service has it (`http` only, needed there)."
    )
    kind: Name = Field("stream", description="The kind of data that its messages name on the wire.")
    codec: Annotated[CodecSpec, BeforeValidator(_named, json_schema_input_type=Name | CodecSpec)] = part(
        "How bytes become values: a name, or a name with options.", default="json"
    )
    delivery: Literal["broadcast", "queue"] = Field(
        "broadcast", description="Every reader gets every message, or each message goes to one reader."
    )
    retain: RetainSpec = part("How much is kept.")
    overflow: Literal["drop_oldest", "block", "reject"] = Field(
        "drop_oldest",
        description="What happens when it is full: the oldest goes, the sender waits, or is refused.",
    )
    create: CreateSpec | None = Field(None, description="Make the topic when it is missing (`kafka` only).")
    options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="Settings that are passed to a plug-in transport."
    )


class KafkaSpec(Spec):
    """The connection to Kafka."""

    bootstrap_servers: Name = Field("localhost:9092", description="The brokers to ask first, as `host:port,host:port`.")
    group_id: Name = Field("headgate", description="The consumer group of this service.")
    options: dict[str, Option] = Field(
        default_factory=dict, repr=False, description="Settings of librdkafka, by its own names."
    )
    send_timeout: PositiveDuration = Field(30.0, description="How long a message may wait for its acknowledgement.")


class HttpConnectionSpec(Spec):
    """How other services are asked for their streams."""

    timeout: PositiveDuration = Field(5.0, description="How long a service may take to answer.")
    compress: bool = Field(False, description="Whether answers may come compressed.")
    answer_bytes: int = Field(67_108_864, ge=1024, le=2**32, description="The largest answer.")
    headers: dict[HeaderName, Option] = Field(
        default_factory=dict, repr=False, description="What each request carries; write secrets as `${file:...}`."
    )
    networks: list[NetworkText] = Field(
        default_factory=list,
        description="The only networks to connect to; default: all but link-local, metadata and multicast addresses.",
    )


class LogSpec(Spec):
    """The embedded log."""

    path: Name = Field("headgate-data/log.db", description="The file; it is made where the service is started.")
    durability: Literal["full", "relaxed"] = Field(
        "full", description="Acknowledged means: survives a power cut, or survives a crash of the process."
    )


class DatabaseSpec(Spec):
    """The database that records go into."""

    url: DatabaseUrl = Field(
        "sqlite:///headgate-data/headgate.db",
        repr=False,
        description="`sqlite:///file.db` or `postgresql://user@host/name`.",
    )


class ConnectionsSpec(Spec):
    """What streams and interfaces connect to."""

    kafka: KafkaSpec = part("Used by streams with `transport: kafka`.")
    http: HttpConnectionSpec = part("Used by streams with `transport: http`.")
    log: LogSpec = part("Used by streams with `transport: log`.")
    database: DatabaseSpec = part("Used by interfaces of kind `ingest`.")
