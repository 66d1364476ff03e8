"""The runtime block as written: what is discovered, which processes run it, and how they talk."""

from typing import Literal

from pydantic import Field

from headgate.spec.interfaces import InterfaceSpec
from headgate.spec.values import LoopbackHost, Module, Name, PositiveDuration, Secret, Spec, part


class BootstrapSpec(Spec):
    """How the service is started."""

    mode: Literal["inline", "process_supervisor"] = Field(
        "inline", description="Everything in one process, or each process group in its own."
    )


class KvSpec(Spec):
    """The key-value store of nodes."""

    backend: Literal["memory"] = Field("memory", description="Where it keeps its values.")


class AuthSpec(Spec):
    """How the frames between processes are signed."""

    mode: Literal["hmac"] = Field("hmac", description="The kind of signature.")
    secret_mode: Literal["static", "generated"] = Field(
        "generated", description="A secret made at each start, or the one in `secret`."
    )
    secret: Secret | None = Field(
        None, repr=False, description="The secret of `secret_mode: static`; write `${file:...}`."
    )
    kdf: Literal["none", "hkdf_sha256"] = Field("none", description="How the signing key is derived from the secret.")
    ttl_seconds: int = Field(30, ge=1, le=86_400, description="How old a frame may be.")
    nonce_cache_size: int = Field(
        100_000, ge=1, le=10_000_000, description="How many frames are remembered against replay."
    )


class ExecutionIpcSpec(Spec):
    """How the processes of one service talk."""

    transport: Literal["tcp_local"] = Field("tcp_local", description="What carries the frames.")
    bind_host: LoopbackHost = Field("127.0.0.1", description="Where the supervisor listens; a loopback address.")
    bind_port: int = Field(0, ge=0, le=65_535, description="Its port; 0 takes a free one.")
    auth: AuthSpec = part("How frames are signed.")
    max_payload_bytes: int = Field(1_048_576, ge=1, le=2**30, description="The largest frame.")


class ProcessGroupSpec(Spec):
    """A group of nodes that share their processes."""

    name: Name = Field(description="The group's name.")
    stages: list[Name] = Field(default_factory=list, description="The stages whose nodes it runs.")
    tags: list[Name] = Field(default_factory=list, description="The tags whose nodes it runs.")
    runners: list[Name] = Field(default_factory=list, description="The runners that it has.")
    nodes: list[Name] = Field(default_factory=list, description="The nodes that it runs, by name.")
    workers: int = Field(1, ge=0, le=256, description="How many processes it has here; 0 when it runs elsewhere.")
    runner_profile: Literal["sync", "async"] = Field(
        "sync", description="One call at a time in the main thread, or many in a loop."
    )
    services: list[Name] = Field(default_factory=list, description="The services that its nodes need.")
    heartbeat_seconds: PositiveDuration = Field(5.0, description="How often a worker says that it is alive.")
    start_timeout_seconds: PositiveDuration = Field(30.0, description="How long a worker may take to start.")
    stop_timeout_seconds: PositiveDuration = Field(30.0, description="How long a worker may take to stop.")


class PlatformSpec(Spec):
    """What nodes run on."""

    kv: KvSpec = part("The key-value store.")
    execution_ipc: ExecutionIpcSpec = part("How processes talk.")
    process_groups: list[ProcessGroupSpec] = Field(default_factory=list, description="The groups, each once.")


class WebSpec(Spec):
    """What the web sees."""

    interfaces: list[InterfaceSpec] = Field(default_factory=list, description="The ways in and out.")


class RuntimeSpec(Spec):
    """Where your functions are, what runs them and what serves them."""

    discovery_modules: list[Module] = Field(
        default_factory=list, description="The modules where `@node` functions are found."
    )
    bootstrap: BootstrapSpec = part("How the service is started.")
    platform: PlatformSpec = part("What nodes run on.")
    web: WebSpec = part("What the web sees.")
