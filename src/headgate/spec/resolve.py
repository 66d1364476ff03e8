"""Resolving: from files, through the grammar and the rules, to a plan; or to every problem at once."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from headgate.core.api_keys import ApiKey, read_key
from headgate.core.entity import Entity
from headgate.core.scopes import read_scope
from headgate.errors import ConfigError, Problem
from headgate.spec import key_file, load, rules
from headgate.spec.auth import AuthSpec
from headgate.spec.check import MOST_PROBLEMS, Checked, check
from headgate.spec.commands import CommandTypeSpec
from headgate.spec.interfaces import (
    BoundSpec,
    CommandSpec,
    ConfigSpec,
    FilterSpec,
    FollowedSpec,
    GraphQLSpec,
    IngestSpec,
    InterfaceSpec,
    WebSocketSpec,
)
from headgate.spec.load import NOTHING, Source
from headgate.spec.plan import (
    AuthPlan,
    BearerPlan,
    CommandPlan,
    CommandTypePlan,
    ConnectionsPlan,
    CreatePlan,
    DatabasePlan,
    FilterPlan,
    FollowPlan,
    GraphQLPlan,
    HttpPlan,
    IngestPlan,
    InterfacePlan,
    IpcPlan,
    KafkaPlan,
    LimitsPlan,
    LoggingPlan,
    LogPlan,
    NodePlan,
    Plan,
    PoliciesPlan,
    ProcessGroupPlan,
    RateLimitPlan,
    RuntimePlan,
    ServicePlan,
    SocketPlan,
    StreamPlan,
    TlsPlan,
)
from headgate.spec.rules import CODECS, CONFIG, SOURCES, TRANSPORTS, Ground
from headgate.spec.runtime import ExecutionIpcSpec, RuntimeSpec
from headgate.spec.schema import Document, ServiceSpec
from headgate.spec.streams import ConnectionsSpec, StreamSpec
from headgate.spec.tree import Mapping as MappingNode
from headgate.spec.tree import Mark, Node, child, find, key_mark, value_mark

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = TypeVar("P", bound="DataclassInstance")

_INTERFACES = ("runtime", "web", "interfaces")
_KEYS_FILE = ("service", "auth", "keys_file")
_NANOSECONDS = 1_000_000_000


def load_plan(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = NOTHING,
    known_transports: Collection[str] = TRANSPORTS,
    known_codecs: Collection[str] = CODECS,
) -> Plan:
    """The plan of configuration files, later ones laid over earlier ones; a `ConfigError` with all problems.

    `overrides` are values by their dotted path (`{"service.port": 9001}`) and win over all files.
    """
    source = load.load(paths, environ=environ, overrides=overrides)
    return resolve(source, known_transports=known_transports, known_codecs=known_codecs)


def plan_text(
    *texts: str,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = NOTHING,
    known_transports: Collection[str] = TRANSPORTS,
    known_codecs: Collection[str] = CODECS,
) -> Plan:
    """The plan of texts, as `load_plan` makes it of files."""
    source = load.load_text(*texts, environ=environ, overrides=overrides)
    return resolve(source, known_transports=known_transports, known_codecs=known_codecs)


def resolve(source: Source, *, known_transports: Collection[str], known_codecs: Collection[str]) -> Plan:
    """The plan of what was read."""
    if source.tree is None:
        raise _config_error(source, source.problems)
    checked = check(source.tree)
    ground = Ground(checked.tree, _stream_names(source.tree), known_transports, known_codecs)
    broken = islice(rules.problems(checked.document, ground), MOST_PROBLEMS)
    entities, wrong = _entities(checked.document, checked.tree)
    named = rules.entity_problems(checked.document, entities, ground)
    keys = _key_file_problems(checked)
    if found := [*source.problems, *checked.problems, *broken, *wrong, *named, *keys]:
        raise _config_error(source, found, untold=checked.untold)
    return _plan(
        source, checked, entities, _sorted(source, [*source.warnings, *rules.warnings(checked.document, ground)])
    )


def _config_error(source: Source, problems: Iterable[Problem], untold: int = 0) -> ConfigError:
    ordered = _sorted(source, problems)
    told, rest = ordered[:MOST_PROBLEMS], len(ordered[MOST_PROBLEMS:]) + untold
    more = (replace(told[-1], message=f"and {rest:,} more problems"),) if rest else ()
    return ConfigError([*told, *more])


def _sorted(source: Source, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file, in the order in which they were given, then by place. What comes from outside the files goes first."""
    files = [str(path) for path in source.files]

    def order(problem: Problem) -> tuple[int, str, int, int]:
        at = files.index(problem.file) if problem.file in files else -1
        return at, problem.file, problem.line, problem.column

    return tuple(sorted(dict.fromkeys(problems), key=order))


def _stream_names(tree: Node) -> Collection[str]:
    streams = child(tree, "streams")
    return streams.entries.keys() if isinstance(streams, MappingNode) else ()


def _plan(source: Source, checked: Checked, entities: tuple[Entity, ...], warnings: tuple[Problem, ...]) -> Plan:
    document, tree = checked.document, checked.tree
    return Plan(
        service=_service(document.service, _keys_file(checked), _tls(checked)),
        streams={name: _stream(name, spec, tree) for name, spec in (_implied(document) | document.streams).items()},
        connections=_connections(document.connections),
        nodes={name: _node(name, document, tree) for name in document.nodes},
        interfaces=tuple(
            _interface(
                spec, _mark(tree, at), _ingest(spec, at, entities, tree) if isinstance(spec, IngestSpec) else None
            )
            for at, spec in enumerate(document.runtime.web.interfaces)
        ),
        entities=entities,
        commands=tuple(_command_type(name, spec) for name, spec in document.commands.items()),
        runtime=_runtime(document.runtime),
        folders=tuple(dict.fromkeys(path.resolve().parent for path in source.files)),
        sources=source.files,
        warnings=warnings,
    )


def _same(plan: type[P], spec: BaseModel, **given: Any) -> P:
    """A plan whose fields are those of the specification, but for the given ones. Lists become tuples."""
    shared = {name for name in plan.__dataclass_fields__ if name not in given and hasattr(spec, name)}
    copied = {name: getattr(spec, name) for name in shared}
    return plan(**{name: tuple(v) if isinstance(v, list) else v for name, v in copied.items()}, **given)


def _service(spec: ServiceSpec, keys_file: Path | None, tls: TlsPlan | None) -> ServicePlan:
    auth = _same(
        AuthPlan,
        spec.auth,
        enabled=rules.asks(spec.auth),
        keys=_keys(spec.auth),
        keys_file=keys_file,
        bearer=spec.auth.bearer and _same(BearerPlan, spec.auth.bearer),
        certificates={name: tuple(map(read_scope, texts)) for name, texts in spec.auth.certificates.items()},
    )
    return _same(
        ServicePlan, spec, auth=auth, tls=tls, log=_same(LoggingPlan, spec.log), limits=_same(LimitsPlan, spec.limits)
    )


def _keys(spec: AuthSpec) -> tuple[ApiKey, ...]:
    return tuple(read_key(text, f"key-{number}") for number, text in enumerate(spec.keys, 1))


def _keys_file(checked: Checked) -> Path | None:
    name = checked.document.service.auth.keys_file
    return None if name is None else _from_its_file(name, _KEYS_FILE, checked.tree)


def _tls(checked: Checked) -> TlsPlan | None:
    spec = checked.document.service.tls
    if spec is None:
        return None
    given = ((name, getattr(spec, name)) for name in ("certificate", "key", "client_ca"))
    files = {name: file and _from_its_file(file, ("service", "tls", name), checked.tree) for name, file in given}
    return TlsPlan(**files)


def _key_file_problems(checked: Checked) -> Iterator[Problem]:
    path = _keys_file(checked)
    if path is not None:
        yield from key_file.problems(path, value_mark(checked.tree, _KEYS_FILE))


def _stream(name: str, spec: StreamSpec, tree: Node) -> StreamPlan:
    options = {key: value for key, value in spec.codec.model_dump(exclude={"name"}).items() if value is not None}
    return _same(
        StreamPlan,
        spec,
        name=name,
        topic=spec.topic or (name if spec.transport == "kafka" else ""),
        url=spec.url or "",
        codec=spec.codec.name,
        codec_options=options,
        keep_messages=spec.retain.messages,
        keep_age=None if spec.retain.age is None else round(spec.retain.age * _NANOSECONDS),
        create=spec.create and _same(CreatePlan, spec.create),
        mark=key_mark(tree, ("streams", name)),
    )


def _implied(document: Document) -> dict[str, StreamSpec]:
    """The streams that interfaces name without anybody declaring them."""
    named = [i.stream for i in document.runtime.web.interfaces if isinstance(i, ConfigSpec)]
    return {name: StreamSpec.model_validate({"kind": name}) for name in named if name == CONFIG}


def _connections(spec: ConnectionsSpec) -> ConnectionsPlan:
    return ConnectionsPlan(
        kafka=_same(KafkaPlan, spec.kafka),
        http=_same(HttpPlan, spec.http),
        log=_same(LogPlan, spec.log, path=Path(spec.log.path)),
        database=_same(DatabasePlan, spec.database),
    )


def _node(name: str, document: Document, tree: Node) -> NodePlan:
    spec = document.nodes[name]
    given = spec.model_dump(exclude={"input", "output"}, exclude_none=True)
    manners = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return _same(NodePlan, spec, name=name, manners=manners, mark=key_mark(tree, ("nodes", name)))


def _mark(tree: Node, at: int) -> Mark:
    return value_mark(tree, (*_INTERFACES, at))


def _interface(spec: InterfaceSpec, mark: Mark, ingest: IngestPlan | None) -> InterfacePlan:
    limit = spec.policies.rate_limit
    policies = _same(PoliciesPlan, spec.policies, rate_limit=limit and _same(RateLimitPlan, limit))
    waits = isinstance(spec, BoundSpec) and spec.path is None
    follow = _follow(spec) if isinstance(spec, FollowedSpec) else None
    socket = _same(SocketPlan, spec) if isinstance(spec, WebSocketSpec) else None
    return _same(
        InterfacePlan,
        spec,
        command=_command(spec) if isinstance(spec, CommandSpec) else None,
        graphql=_graphql(spec) if isinstance(spec, GraphQLSpec) else None,
        policies=policies,
        follow=follow,
        socket=socket,
        ingest=ingest,
        routes_from_discovery=waits,
        mark=mark,
    )


def _follow(spec: FollowedSpec) -> FollowPlan:
    return _same(FollowPlan, spec, filters=tuple(_filter(name, item) for name, item in spec.filter.items()))


def _graphql(spec: GraphQLSpec) -> GraphQLPlan:
    filters = {stream: tuple(_filter(*item) for item in asked.items()) for stream, asked in spec.filters.items()}
    return _same(GraphQLPlan, spec, filters=filters)


def _ingest(spec: IngestSpec, at: int, entities: Sequence[Entity], tree: Node) -> IngestPlan:
    taken = spec.entities or [entity.name for entity in entities if entity.storage]
    policy = spec.on_duplicate
    duplicates = {name: policy if isinstance(policy, str) else policy.get(name, "skip") for name in taken}
    files = (_from_its_file(name, (*_INTERFACES, at, "load", index), tree) for index, name in enumerate(spec.load))
    return _same(IngestPlan, spec, entities=tuple(taken), duplicates=duplicates, load=tuple(files))


def _command(spec: CommandSpec) -> CommandPlan:
    lanes = {lane.priority: lane.stream for lane in spec.lanes}
    return _same(CommandPlan, spec, lanes=lanes, protocols=tuple(word.lower() for word in spec.protocols))


def _command_type(name: str, spec: CommandTypeSpec) -> CommandTypePlan:
    defaults = {protocol: item.model_dump(exclude_none=True) for protocol, item in spec.defaults.items()}
    protocols = tuple(word.lower() for word in spec.protocols or ())
    return _same(CommandTypePlan, spec, name=name, protocols=protocols, defaults=defaults)


def _from_its_file(name: str, path: Sequence[str | int], tree: Node) -> Path:
    # A path counts from the folder of the file that names it; an overlay may be elsewhere.
    node = find(tree, path) or find(tree, path[:-1])
    assert node is not None
    return Path(node.mark.file).parent / name


def _filter(name: str, spec: FilterSpec) -> FilterPlan:
    source = next(source for source in SOURCES if getattr(spec, source) is not None)
    path = {"key": (), "field": tuple((spec.field or "").split(".")), "header": (spec.header or "",)}[source]
    return _same(FilterPlan, spec, name=name, source=source, path=path)


def _entities(document: Document, tree: Node) -> tuple[tuple[Entity, ...], tuple[Problem, ...]]:
    if not document.entities:
        return (), ()
    # Their grammar is loaded by those who have some.
    from headgate.spec.entities.resolve import load_entities

    return load_entities(_entity_files(document, tree))


def _entity_files(document: Document, tree: Node) -> Iterator[tuple[Path, Mark]]:
    for at, name in enumerate(document.entities):
        node = find(tree, ("entities", at)) or find(tree, ("entities",))
        assert node is not None
        yield _from_its_file(name, ("entities", at), tree), node.mark


def _runtime(spec: RuntimeSpec) -> RuntimePlan:
    return RuntimePlan(
        discovery_modules=tuple(spec.discovery_modules),
        mode=spec.bootstrap.mode,
        kv_backend=spec.platform.kv.backend,
        ipc=_ipc(spec.platform.execution_ipc),
        process_groups=tuple(_same(ProcessGroupPlan, group) for group in spec.platform.process_groups),
    )


def _ipc(spec: ExecutionIpcSpec) -> IpcPlan:
    auth = spec.auth.model_dump()
    return _same(IpcPlan, spec, auth_mode=auth.pop("mode"), **auth)
