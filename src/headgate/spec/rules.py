"""Rules: what no single key can tell. Names that must exist, keys that exclude others, paths that clash."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from headgate.core.api_keys import SHORTEST_SAFE, is_guessable
from headgate.core.entity import Entity
from headgate.core.json_schema import BadSchema, compile_schema
from headgate.core.nearest import nearest
from headgate.errors import Problem
from headgate.spec.auth import AuthSpec
from headgate.spec.interfaces import (
    BoundSpec,
    CommandSpec,
    ConfigSpec,
    FollowedSpec,
    HttpSpec,
    HttpStreamSpec,
    IngestSpec,
    InterfaceSpec,
    WebSocketSpec,
)
from headgate.spec.schema import Document
from headgate.spec.streams import CodecSpec, StreamSpec
from headgate.spec.tree import Mark, Node, Path, Scalar, dotted, find, key_mark, quoted, show, value_mark
from headgate.spec.values import is_loopback
from headgate.spec.words import not_one_of

TRANSPORTS = frozenset({"memory", "log", "http", "kafka"})
CODECS = frozenset({"json", "text", "raw", "msgpack", "delimited", "da00", "f144", "x5f2"})
CONFIG = "config"  # the stream of settings that is made when none is declared
SOURCES = ("key", "field", "header")  # what a filter asks of a message
PLACES = ("after", "from")  # query parameters that are not free for filters
RESERVED = ("/streams", "/health", "/ready", "/info", "/metrics", "/stats", "/docs", "/openapi.json", "/tokens")

MOST_LOGGED = 10_000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_INTERFACES = ("runtime", "web", "interfaces")
WEB = "web"  # the group of those who answer requests: nodes that it names run in the gate
_GROUPS = ("runtime", "platform", "process_groups")
_AUTH = ("runtime", "platform", "execution_ipc", "auth")


@dataclass(frozen=True, slots=True)
class Ground:
    """What the rules stand on: the tree that was read, and the names that count."""

    tree: Node
    streams: Collection[str]  # also those with a mistake in them: they are declared
    transports: Collection[str]
    codecs: Collection[str]

    def at_value(self, path: Sequence[str | int], message: str) -> Problem:
        return value_mark(self.tree, path).problem(message)

    def at_key(self, path: Sequence[str | int], message: str) -> Problem:
        return key_mark(self.tree, path).problem(message)

    def show(self, path: Sequence[str | int]) -> str:
        return show(find(self.tree, path))


def problems(document: Document, ground: Ground) -> Iterator[Problem]:
    """Everything that the rules have against a document."""
    yield from _service(document, ground)
    for name, stream in document.streams.items():
        yield from _stream(name, stream, ground)
    yield from _nodes(document, ground)
    for at, interface in enumerate(document.runtime.web.interfaces):
        yield from _interface(interface, (*_INTERFACES, at), document, ground)
    yield from _command_types(document, ground)
    yield from _paths(document.runtime.web.interfaces, ground)
    yield from _groups(document, ground)
    yield from _auth(document, ground)


def warnings(document: Document, ground: Ground) -> Iterator[Problem]:
    """What is accepted, but does nothing in this version."""
    groups = document.runtime.platform.process_groups
    if groups and document.runtime.bootstrap.mode == "inline":
        words = (
            "process groups are processes with runtime.bootstrap.mode: process_supervisor; without it all runs in one"
        )
        yield ground.at_key(_GROUPS, words)
    for at, group in enumerate(groups):
        for key in ("runners", "services"):
            if getattr(group, key):
                yield ground.at_key((*_GROUPS, at, key), f"{key} are accepted, but nothing in this version uses them")
        if group.name == WEB and group.workers != 1:
            words = "the web has one process in this version, the gate's: run several gates to have more"
            yield ground.at_value((*_GROUPS, at, "workers"), words)
    yield from _auth_warnings(document, ground)


def _auth_warnings(document: Document, ground: Ground) -> Iterator[Problem]:
    service, auth = document.service, ("service", "auth")
    if has_keys(service.auth) and not asks(service.auth):
        yield ground.at_key((*auth, "enabled"), "there are keys, but service.auth.enabled is false: nobody is asked")
    elif not is_loopback(service.host) and any(map(is_guessable, service.auth.keys)):
        words = f"a key has less than {SHORTEST_SAFE} characters and can be guessed; make one with `headgate keys new`"
        yield ground.at_key((*auth, "keys"), words)


def entity_problems(document: Document, entities: Sequence[Entity], ground: Ground) -> Iterator[Problem]:
    """What ingest interfaces say of entities that are not there, or cannot be kept."""
    known = {entity.name: entity for entity in entities}
    for at, interface in enumerate(document.runtime.web.interfaces):
        if isinstance(interface, IngestSpec) and known:
            path = (*_INTERFACES, at)
            for name, place in _entity_names(interface, path, ground):
                if name not in known:
                    yield ground.at_value(place, f"there is no entity {quoted(name)}{nearest(name, known)}")
                elif known[name].storage is None:
                    words = f"the entity {quoted(name)} has no table: give it a persistence, or leave it out here"
                    yield ground.at_value(place, words)


def _entity_names(interface: IngestSpec, path: Path, ground: Ground) -> Iterator[tuple[str, Path]]:
    for at, name in enumerate(interface.entities or ()):
        listed = (*path, "entities")
        yield name, listed if isinstance(find(ground.tree, listed), Scalar) else (*listed, at)
    if isinstance(interface.on_duplicate, dict):
        yield from ((name, (*path, "on_duplicate", name)) for name in interface.on_duplicate)


def _service(document: Document, ground: Ground) -> Iterator[Problem]:
    auth, audit = document.service.auth, document.streams.get(document.service.audit or "")
    yield from _declared(("service", "audit"), document.service.audit, "service.audit", ground)
    if audit is not None and audit.codec.name != "json":
        words = f"has the codec {audit.codec.name}: what it is told is json"
        yield ground.at_value(("service", "audit"), f"{ground.show(('service', 'audit'))} {words}")
    tls = document.service.tls
    if auth.certificates and (tls is None or tls.client_ca is None):
        place = ("service", "auth", "certificates")
        yield ground.at_key(place, f"{dotted(place)}: nothing says who signs them; set service.tls.client_ca")
    if auth.enabled and not has_keys(auth):
        place = ("service", "auth", "enabled")
        yield ground.at_value(place, f"{dotted(place)} is true, and there are no keys: nobody could come in")
    if document.service.open or is_loopback(document.service.host) or asks(auth):
        return
    path = ("service", "host")
    yield ground.at_value(
        path,
        f"{dotted(path)}: {ground.show(path)} can be reached by others, and nothing asks them who they are;"
        " set service.auth.keys, listen on 127.0.0.1, or say that it may be with service.open: true",
    )


def has_keys(auth: AuthSpec) -> bool:
    """Whether anybody can say who they are."""
    return bool(auth.keys or auth.certificates) or auth.keys_file is not None or auth.bearer is not None


def asks(auth: AuthSpec) -> bool:
    """Whether clients are asked who they are."""
    return has_keys(auth) and auth.enabled is not False


def _stream(name: str, stream: StreamSpec, ground: Ground) -> Iterator[Problem]:
    path = ("streams", name)
    if not _NAME.fullmatch(name):
        words = "a letter or _, then letters, digits, _ . or -, up to 200"
        yield ground.at_key(path, f"{quoted(name)} is no name for a stream: {words}")
    if stream.transport not in ground.transports:
        yield _not_known((*path, "transport"), ground.transports, ground)
    else:
        yield from _settings(path, stream, ground)
    yield from _codec((*path, "codec"), stream.codec, ground)


def _settings(path: Path, stream: StreamSpec, ground: Ground) -> Iterator[Problem]:
    """Settings that this stream's transport does not have. A plug-in's are its own affair."""
    transport = stream.transport
    if transport == "http" and stream.url is None:
        yield ground.at_value((*path, "transport"), f"{dotted(path)} has transport http and needs a url")
    if transport in TRANSPORTS:
        for key, owner in (("url", "http"), ("topic", "kafka"), ("create", "kafka")):
            if getattr(stream, key) is not None and transport != owner:
                yield _belongs(path, key, owner, transport, ground)
        if stream.options:
            yield ground.at_key((*path, "options"), f"options are for plug-ins; {_is(path, transport)}")
    if transport in ("http", "kafka") and stream.overflow != "drop_oldest":
        place = (*path, "overflow")
        yield ground.at_value(place, f"{dotted(place)}: over {transport} only drop_oldest is possible")
    if transport == "kafka" and stream.topic is not None and not _TOPIC.fullmatch(stream.topic):
        words = "must be a topic's name (letters, digits, . _ -, up to 249)"
        yield ground.at_value(
            (*path, "topic"), f"{dotted((*path, 'topic'))} {words}, not {ground.show((*path, 'topic'))}"
        )


def _belongs(path: Path, key: str, owner: str, transport: str, ground: Ground) -> Problem:
    return ground.at_key((*path, key), f"{key} is for streams with transport {owner}; {_is(path, transport)}")


def _is(path: Path, transport: str) -> str:
    # The transport is a known word here: showing it gives nothing away.
    return f"{dotted(path)} has transport {transport}"


def _codec(path: Path, codec: CodecSpec, ground: Ground) -> Iterator[Problem]:
    if codec.name not in ground.codecs:
        place = path if isinstance(find(ground.tree, path), Scalar) else (*path, "name")
        yield _not_known(place, ground.codecs, ground)
    elif codec.name in CODECS:
        known = {"name", *(("delimiter", "fields") if codec.name == "delimited" else ())}
        for key in sorted(codec.model_fields_set | set(codec.model_extra or ())):
            if key not in known:
                message = f"unknown key {quoted(key)} in {dotted(path)}"
                yield ground.at_key((*path, key), f"{message} with the codec {codec.name}{nearest(key, known)}")


def _not_known(path: Path, known: Collection[str], ground: Ground) -> Problem:
    return ground.at_value(path, f"{dotted(path)}: {not_one_of(find(ground.tree, path), sorted(known))}")


def _nodes(document: Document, ground: Ground) -> Iterator[Problem]:
    for name, node in document.nodes.items():
        for key, names in (("input", node.input), ("output", node.output)):
            for at, stream in enumerate(names or ()):
                path: Path = ("nodes", name, key)
                path = path if isinstance(find(ground.tree, path), Scalar) else (*path, at)
                yield from _declared(path, stream, dotted(path), ground)
        place: Path = ("nodes", name, "dead_letters")
        yield from _declared(place, node.dead_letters, dotted(place), ground)
        if node.dead_letters is not None and node.dead_letters in (node.input or ()):
            yield ground.at_value(place, f"{dotted(place)}: the node reads {ground.show(place)}; use another stream")


def _declared(path: Path, stream: str | None, where: str, ground: Ground) -> Iterator[Problem]:
    if stream is None or stream in ground.streams:
        return
    node = find(ground.tree, path)
    hint = nearest(stream, ground.streams) if isinstance(node, Scalar) and not node.sources else ""
    yield ground.at_value(path, f"{where}: there is no stream {show(node)}{hint}")


def _interface(interface: InterfaceSpec, path: Path, document: Document, ground: Ground) -> Iterator[Problem]:
    for key in ("stream", "publish", "request", "response", "dead_letters", "acks"):
        if not (isinstance(interface, ConfigSpec) and key == "stream" and interface.stream == CONFIG):
            yield from _declared((*path, key), getattr(interface, key, None), key, ground)
    if isinstance(interface, ConfigSpec):
        yield from _config(interface, path, document, ground)
    if isinstance(interface, IngestSpec):
        yield from _declared((*path, "from"), interface.source, "from", ground)
        yield from _ingest(interface, path, document, ground)
    if isinstance(interface, CommandSpec):
        yield from _command(interface, path, document, ground)
    if isinstance(interface, FollowedSpec):
        yield from _followed(interface, path, document, ground)
    if isinstance(interface, HttpSpec) and interface.path is not None:
        yield from _call(interface, path, document, ground)
    elif isinstance(interface, BoundSpec) and interface.path is not None and not _follows(interface):
        yield ground.at_value(
            (*path, "path"),
            f'this version does not serve "kind: {interface.kind}" with a path yet;'
            " leave the path out, and discovered nodes bring their routes",
        )
    yield from _rate_limit(interface, (*path, "policies", "rate_limit"), ground)
    if interface.path is not None and _is_reserved(interface.path):
        shown = ground.show((*path, "path"))
        yield ground.at_value((*path, "path"), f"{shown} is taken: the gate serves {', '.join(RESERVED)} itself")


def _config(interface: ConfigSpec, path: Path, document: Document, ground: Ground) -> Iterator[Problem]:
    others = [i for i in document.runtime.web.interfaces if isinstance(i, ConfigSpec)]
    if interface is not others[0]:
        yield ground.at_value((*path, "kind"), "a service has one interface of kind config")
    for name, streams in (("stream", interface.stream), ("acks", interface.acks)):
        stream = document.streams.get(streams or "")
        if stream is not None and stream.codec.name != "json":
            words = f"{name} {quoted(streams or '')} has the codec {stream.codec.name}: settings are json"
            yield ground.at_key(path, words)
    stream = document.streams.get(interface.stream)
    if stream is not None and stream.delivery == "queue":
        yield ground.at_key(path, f"stream {quoted(interface.stream)} has queue delivery: settings are for everybody")
    if stream is not None and stream.retain.age is not None:
        words = "settings count until others take their place: leave out retain.age"
        yield ground.at_key(("streams", interface.stream, "retain"), words)


def _rate_limit(interface: InterfaceSpec, path: Path, ground: Ground) -> Iterator[Problem]:
    rate = interface.policies.rate_limit
    if rate is None:
        return
    if interface.path is None:
        yield ground.at_key(
            path, f"{dotted(path)}: without a path there is nothing here whose requests could be counted"
        )
    if rate.kind == "sliding_window_log" and rate.limit > MOST_LOGGED:
        words = f"keeps the time of every request: up to {MOST_LOGGED:,}; sliding_window_counter has no such limit"
        yield ground.at_value((*path, "limit"), f"{dotted(path)}: sliding_window_log {words}")


def _ingest(interface: IngestSpec, path: Path, document: Document, ground: Ground) -> Iterator[Problem]:
    if not document.entities:
        yield ground.at_key((*path, "kind"), "an ingest interface needs entities: name their folder with `entities:`")
    source = document.streams.get(interface.source or "")
    if source is not None and source.delivery == "queue":
        words = "has queue delivery: what is kept exactly once is read from a place, so use broadcast"
        yield ground.at_value((*path, "from"), f"{ground.show((*path, 'from'))} {words}")
    target = document.streams.get(interface.publish or "")
    if target is not None and target.codec.name != "json":
        words = f"has the codec {target.codec.name}: records are published as json"
        yield ground.at_value((*path, "publish"), f"{ground.show((*path, 'publish'))} {words}")


def _command(interface: CommandSpec, path: Path, document: Document, ground: Ground) -> Iterator[Problem]:
    yield from _declared((*path, "feedback"), interface.feedback, "feedback", ground)
    named = [((*path, "stream"), interface.stream), ((*path, "feedback"), interface.feedback)]
    for at, lane in enumerate(interface.lanes):
        place = (*path, "lanes", at, "stream")
        yield from _declared(place, lane.stream, "lanes", ground)
        named.append((place, lane.stream))
    for place, name in named:
        stream = document.streams.get(name or "")
        if stream is not None and stream.delivery == "queue":
            words = "has queue delivery: commands are read by the devices' connectors and by the gate, so use broadcast"
            yield ground.at_value(place, f"{ground.show(place)} {words}")
        if stream is not None and stream.codec.name != "json":
            words = f"has the codec {stream.codec.name}: commands are published as json"
            yield ground.at_value(place, f"{ground.show(place)} {words}")
    if "/" not in interface.path.strip("/"):
        words = "needs a folder before its last part, such as /api/commands: /health and /status stand beside it"
        yield ground.at_value((*path, "path"), f"{ground.show((*path, 'path'))} {words}")


def _command_types(document: Document, ground: Ground) -> Iterator[Problem]:
    for name, kind in document.commands.items():
        if kind.payload is not None:
            try:
                compile_schema(kind.payload, "payload")
            except BadSchema as error:
                path = ("commands", name, "payload")
                yield ground.at_key(path, f"{dotted(path)} is no JSON Schema: {error}")


def _call(interface: HttpSpec, path: Path, document: Document, ground: Ground) -> Iterator[Problem]:
    for key in ("request", "response"):
        name = getattr(interface, key)
        if name is None:
            yield ground.at_value((*path, "path"), f'"kind: http" with a path needs the key "{key}", a stream')
    stream = document.streams.get(interface.response or "")
    if stream is not None and stream.delivery == "queue":
        words = "has queue delivery: each gate looks for its own replies, so use broadcast"
        yield ground.at_value((*path, "response"), f"{ground.show((*path, 'response'))} {words}")


def _follows(interface: BoundSpec) -> bool:
    """Whether it is about streams alone, and needs no node."""
    if interface.request or interface.response:
        return False
    if isinstance(interface, WebSocketSpec):
        return interface.stream is not None or interface.publish is not None
    return isinstance(interface, HttpStreamSpec) and interface.stream is not None


def _followed(interface: FollowedSpec, path: Path, document: Document, ground: Ground) -> Iterator[Problem]:
    stream = document.streams.get(getattr(interface, "stream", None) or "")
    if stream is not None and stream.delivery == "queue":
        words = "has queue delivery: each message goes to one reader; use broadcast, or an interface of kind messages"
        yield ground.at_value((*path, "stream"), f"{ground.show((*path, 'stream'))} {words}")
    has_cursors = isinstance(interface, WebSocketSpec) and interface.cursors
    if has_cursors and interface.stream is None:  # type: ignore[attr-defined]
        yield ground.at_key((*path, "cursors"), "cursors are for those who follow: there is no stream here")
    places = (*PLACES, "cursor") if has_cursors else PLACES
    for name, item in interface.filter.items():
        place = (*path, "filter", name)
        if name in places:
            yield ground.at_key(
                place, f"the parameter {quoted(name)} says where to start; give the filter another name"
            )
        given = [source for source in SOURCES if getattr(item, source) is not None]
        if len(given) != 1:
            yield ground.at_key(place, f"{dotted(place)} needs one of key: true, field or header")
        elif item.type != "string" and given != ["field"]:
            yield ground.at_key((*place, "type"), f"{dotted(place)}: a {given[0]} is text; only a field has a type")
        if item.type != "string" and (item.enum or item.pattern):
            word = "enum" if item.enum else "pattern"
            yield ground.at_key((*place, word), f"{dotted(place)}: {word} is for filters of type string")


def _is_reserved(path: str) -> bool:
    return any(path == reserved or path.startswith(f"{reserved}/") for reserved in RESERVED)


def _paths(interfaces: Sequence[InterfaceSpec], ground: Ground) -> Iterator[Problem]:
    placed = [(i.path, (*_INTERFACES, at, "path")) for at, i in enumerate(interfaces) if i.path is not None]
    yield from _once(placed, "is served by the interface", ground)
    beside = [
        (i.path.rpartition("/")[0], (*_INTERFACES, at, "path"))
        for at, i in enumerate(interfaces)
        if isinstance(i, CommandSpec)
    ]
    followed = [
        (i.stream, (*_INTERFACES, at, "stream"))
        for at, i in enumerate(interfaces)
        if isinstance(i, CommandSpec) and i.track
    ]
    yield from _once(followed, "has its commands in the book of the interface", ground)
    yield from _once(beside, "has its /health and /status where the command interface has them", ground)


def _groups(document: Document, ground: Ground) -> Iterator[Problem]:
    groups = document.runtime.platform.process_groups
    yield from _once(
        [(group.name, (*_GROUPS, at, "name")) for at, group in enumerate(groups)], "is the name of the group", ground
    )


def _once(named: Iterable[tuple[str, Path]], what: str, ground: Ground) -> Iterator[Problem]:
    first: dict[str, Mark] = {}
    for name, path in named:
        mark = value_mark(ground.tree, path)
        if name in first:
            yield mark.problem(f"{ground.show(path)} {what} on {_place(first[name], mark)} already")
        first.setdefault(name, mark)


def _place(mark: Mark, seen_from: Mark) -> str:
    return f"line {mark.line}" if mark.file == seen_from.file else f"line {mark.line} of {mark.file}"


def _auth(document: Document, ground: Ground) -> Iterator[Problem]:
    auth = document.runtime.platform.execution_ipc.auth
    mode = auth.secret_mode
    if mode == "static" and auth.secret is None:
        yield ground.at_value((*_AUTH, "secret_mode"), f"{dotted(_AUTH)} with secret_mode static needs a secret")
    if mode == "generated" and auth.secret is not None:
        yield ground.at_key((*_AUTH, "secret"), f"{dotted((*_AUTH, 'secret'))} is used with secret_mode: static only")
