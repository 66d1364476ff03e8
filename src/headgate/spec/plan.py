"""The plan: a configuration with every default filled in and every name resolved. Frozen, without pydantic.

Fields that may carry a password stay out of `repr` and `summary`; the place of a thing (`mark`) is no part
of what it is, so a plan that was only moved around in its file is the same plan.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from headgate.core.addresses import redacted
from headgate.core.api_keys import ApiKey
from headgate.core.entity import Entity
from headgate.core.scopes import Scope
from headgate.errors import Problem
from headgate.spec.tree import Mark

_NOWHERE = Mark("configuration")
_URL = {"summary": "url"}


@dataclass(frozen=True, slots=True)
class LoggingPlan:
    """What the service tells of its work."""

    level: str = "info"  # debug, info, warning, error, critical
    format: str = "console"  # console, json


@dataclass(frozen=True, slots=True)
class LimitsPlan:
    """What the service takes from its clients."""

    request_size_bytes: int = 1_048_576
    pending_requests: int = 1000
    pending_bytes: int = 67_108_864
    connections: int = 10_000
    keep_alive_seconds: float = 15.0
    header_bytes: int = 32_768
    headers: int = 100
    patience: float = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class BearerPlan:
    """Tokens of an issuer."""

    issuer: str
    audience: str
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    scopes_claim: str = "scope"
    name_claim: str = "sub"
    leeway: float = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class AuthPlan:
    """Who may come in."""

    enabled: bool = False
    header: str = "X-API-Key"
    keys: tuple[ApiKey, ...] = field(default=(), repr=False)
    keys_file: Path | None = None
    bearer: BearerPlan | None = None
    certificates: Mapping[str, tuple[Scope, ...]] = field(default_factory=dict)
    ticket_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """Certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """The service itself."""

    name: str = "headgate"
    host: str = "127.0.0.1"
    port: int = 8080
    open: bool = False
    auth: AuthPlan = field(default_factory=AuthPlan)
    tls: TlsPlan | None = None
    audit: str | None = None  # a stream
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    drain_seconds: float = 10.0
    log: LoggingPlan = LoggingPlan()
    limits: LimitsPlan = LimitsPlan()
    build: str = ""
    title: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class CreatePlan:
    """A topic that is made when it is missing."""

    partitions: int = 1
    replication: int = 1
    compact: bool = False


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream."""

    name: str
    transport: str = "memory"
    topic: str = ""  # kafka: never empty; a plug-in: as written
    url: str = field(default="", repr=False, metadata=_URL)
    kind: str = "stream"
    codec: str = "json"
    codec_options: Mapping[str, object] = field(default_factory=dict)
    delivery: str = "broadcast"  # broadcast, queue
    keep_messages: int = 10_000
    keep_age: int | None = None  # nanoseconds
    overflow: str = "drop_oldest"  # drop_oldest, block, reject
    create: CreatePlan | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    mark: Mark = field(default=_NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class KafkaPlan:
    """The connection to Kafka."""

    bootstrap_servers: str = "localhost:9092"
    group_id: str = "headgate"
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict, repr=False)
    send_timeout: float = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """How other services are asked for their streams."""

    timeout: float = 5.0
    compress: bool = False
    answer_bytes: int = 67_108_864
    headers: Mapping[str, str | int | float | bool] = field(default_factory=dict, repr=False)
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogPlan:
    """The embedded log. Its path counts from the working directory."""

    path: Path = Path("headgate-data/log.db")
    durability: str = "full"  # full, relaxed


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """The database."""

    url: str = field(default="sqlite:///headgate-data/headgate.db", repr=False, metadata=_URL)


@dataclass(frozen=True, slots=True)
class ConnectionsPlan:
    """What streams and interfaces connect to."""

    kafka: KafkaPlan = field(default_factory=KafkaPlan)
    http: HttpPlan = field(default_factory=HttpPlan)
    log: LogPlan = LogPlan()
    database: DatabasePlan = field(default_factory=DatabasePlan)


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What the file says about a node; None where it says nothing."""

    name: str
    input: tuple[str, ...] | None = None
    output: tuple[str, ...] | None = None
    manners: Mapping[str, object] = field(default_factory=dict)  # what it says of the others, by name
    mark: Mark = field(default=_NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RateLimitPlan:
    """How often an interface may be asked."""

    kind: str
    limit: int
    window: float = 60.0  # seconds
    per: str = "client"  # client, identity, address
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoliciesPlan:
    """What an interface allows; None where the service's limit counts."""

    rate_limit: RateLimitPlan | None = None
    request_size_bytes: int | None = None
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """One thing that a client may ask for."""

    name: str
    source: str  # key, field, header
    path: tuple[str, ...] = ()
    required: bool = False
    ignore_case: bool = False
    type: str = "string"  # string, integer, number, boolean
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class FollowPlan:
    """How those who follow a stream are served."""

    event: str = "message"
    data: str = "value"  # value, envelope
    filters: tuple[FilterPlan, ...] = ()
    ping: float = 15.0  # seconds, like the next two
    retry: float = 2.0
    stall: float = 30.0
    on_slow: str = "drop_oldest"  # drop_oldest, conflate, disconnect
    compress: bool = True
    origins: tuple[str, ...] = ()  # of other sites' pages that may connect


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """What a WebSocket interface offers beside following."""

    publish: str | None = None
    frame_bytes: int = 65_536
    rate: float = 1000.0  # frames per second
    cursors: bool = False


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What an ingest interface takes, and how."""

    entities: tuple[str, ...] = ()
    mode: str = "best_effort"  # best_effort, atomic
    duplicates: Mapping[str, str] = field(default_factory=dict)  # entity -> skip, error, update
    load: tuple[Path, ...] = ()
    line_bytes: int = 65_536
    max_errors: int = 10_000
    max_batch_items: int | None = None
    uploads: int = 16
    source: str | None = None  # streams, as the next two
    publish: str | None = None
    dead_letters: str | None = None


@dataclass(frozen=True, slots=True)
class CommandTypePlan:
    """What is allowed of one type of commands."""

    name: str
    description: str = ""
    payload: Mapping[str, Any] | None = None
    protocols: tuple[str, ...] = ()
    expires: float | None = None  # seconds
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by protocol


@dataclass(frozen=True, slots=True)
class CommandPlan:
    """What a command interface takes, and how."""

    feedback: str | None = None
    lanes: Mapping[int, str] = field(default_factory=dict)  # lowest priority -> stream
    protocols: tuple[str, ...] = ()
    unknown_types: str = "allow"  # allow, refuse
    track: bool = True
    keep: float = 604_800.0  # seconds, like the next
    timeout: float = 30.0
    max_batch: int = 1000


@dataclass(frozen=True, slots=True)
class GraphQLPlan:
    """What a graphql interface offers, and how large a query may be."""

    filters: Mapping[str, tuple[FilterPlan, ...]] = field(default_factory=dict)  # stream -> what may be asked for
    introspection: bool | None = None  # None: on a loopback address
    page: bool | None = None  # None: where there is introspection
    query_bytes: int = 65_536
    depth: int = 10
    aliases: int = 30
    complexity: int = 10_000
    subscriptions: int = 100
    origins: tuple[str, ...] = ()
    stall: float = 30.0  # seconds
    on_slow: str = "drop_oldest"  # drop_oldest, conflate, disconnect


@dataclass(frozen=True, slots=True)
class InterfacePlan:
    """A way in or out for the web."""

    kind: str
    path: str | None = None
    stream: str | None = None
    request: str | None = None
    response: str | None = None
    binds: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    policies: PoliciesPlan = PoliciesPlan()
    follow: FollowPlan | None = None
    socket: SocketPlan | None = None
    ingest: IngestPlan | None = None
    command: CommandPlan | None = None
    graphql: GraphQLPlan | None = None
    acks: str | None = None  # the stream that a config interface acknowledges settings to
    routes_from_discovery: bool = False
    mark: Mark = field(default=_NOWHERE, repr=False, compare=False)

    @property
    def is_call(self) -> bool:
        """Whether a request waits for its reply there."""
        return self.kind == "http" and self.path is not None

    @property
    def has_its_own_routes(self) -> bool:
        """Whether its stream is not simply followed or polled at its path."""
        return self.socket is not None or self.command is not None or self.kind in ("config", "graphql")


@dataclass(frozen=True, slots=True)
class IpcPlan:
    """How the processes of one service talk."""

    transport: str = "tcp_local"
    bind_host: str = "127.0.0.1"
    bind_port: int = 0
    max_payload_bytes: int = 1_048_576
    auth_mode: str = "hmac"
    secret_mode: str = "generated"  # noqa: S105 - a mode, no secret
    secret: str | None = field(default=None, repr=False)
    kdf: str = "none"  # none, hkdf_sha256
    ttl_seconds: int = 30
    nonce_cache_size: int = 100_000


@dataclass(frozen=True, slots=True)
class ProcessGroupPlan:
    """A group of nodes that share their processes."""

    name: str
    stages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    workers: int = 1
    runner_profile: str = "sync"  # sync, async
    services: tuple[str, ...] = ()
    heartbeat_seconds: float = 5.0
    start_timeout_seconds: float = 30.0
    stop_timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class RuntimePlan:
    """Where functions are found and what runs them."""

    discovery_modules: tuple[str, ...] = ()
    mode: str = "inline"  # inline, process_supervisor
    kv_backend: str = "memory"
    ipc: IpcPlan = IpcPlan()
    process_groups: tuple[ProcessGroupPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the gate needs to know to come alive."""

    service: ServicePlan = ServicePlan()
    streams: Mapping[str, StreamPlan] = field(default_factory=dict)
    connections: ConnectionsPlan = field(default_factory=ConnectionsPlan)
    nodes: Mapping[str, NodePlan] = field(default_factory=dict)
    interfaces: tuple[InterfacePlan, ...] = ()
    entities: tuple[Entity, ...] = ()
    commands: tuple[CommandTypePlan, ...] = ()
    runtime: RuntimePlan = RuntimePlan()
    alone: str | None = None  # the one group that this process runs, if it serves nobody
    folders: tuple[Path, ...] = ()  # of the files, absolute, each once: they go on the import path
    sources: tuple[Path, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The plan as plain data, without what may be a secret and without what is empty."""
        shown: dict[str, Any] = _summary(self)
        return shown

    def without_routes(self, served: Collection[str]) -> tuple[Problem, ...]:
        """A warning for each interface whose kind discovery brought no route for."""
        waiting = (i for i in self.interfaces if i.routes_from_discovery and i.kind not in served)
        words = "has no path, and no discovered node brings a route for it: it serves nothing"
        return tuple(i.mark.problem(f'the interface "kind: {i.kind}" {words}') for i in waiting)


def _summary(value: Any) -> Any:
    if isinstance(value, Entity):
        prefixes = [layout.prefix for layout in value.layouts]
        return {"name": value.name, "prefixes": prefixes, "table": value.storage and value.storage.table}
    if is_dataclass(value) and not isinstance(value, type | Problem):
        shown = {f.name: _field(getattr(value, f.name), f.metadata) for f in fields(value) if f.repr or f.metadata}
        return {name: part for name, part in shown.items() if part not in (None, "", [], {})}
    if isinstance(value, Mapping):
        return {key: _summary(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_summary(part) for part in value]
    return str(value) if isinstance(value, Path | Problem) else value


def _field(value: Any, metadata: Mapping[str, str]) -> Any:
    return redacted(value) if metadata.get("summary") == "url" else _summary(value)
