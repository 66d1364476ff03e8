"""A hundred and more configurations that are wrong: each is told what, where, and what to do."""

import time

import pytest

from headgate.errors import ConfigError
from headgate.spec.resolve import plan_text
from tests.layouts import EXAMPLE

BAD = [
    ("service:\n\tport: 1\n", ["2:1: a tab cannot indent YAML; use spaces"]),
    ("service: {port: 1\n", ['2:1: a "," or a closing brace is missing here (it opens on line 1)']),
    ("streams: [a, b\n", ['2:1: a "," or a closing bracket is missing here (it opens on line 1)']),
    ("service: name: x\n", ['1:14: a ":" is not expected here: check the indentation, or quote the value']),
    ("service:\n  name: 'x\n", ["2:9: the quote that opens here is not closed"]),
    ('service:\n  name: "\\q"\n', ["2:11: this escape is unknown; in single quotes a backslash is a backslash"]),
    ("service:\n  name: @home\n", ["2:9: this character cannot start a value; quote it"]),
    ("service:\n  name: x\n port: 1\n", ["3:2: this does not line up with what is above it: check the indentation"]),
    ("- a\nb: c\n", ["2:1: this does not line up with what is above it: check the indentation"]),
    ("service\nstreams: {}\n", ['2:8: a ":" is not expected here: check the indentation, or quote the value']),
    ("service: {port: ${PORT}}\n", ['1:17: quote "${...}" inside { } and [ ]']),
    ("service: [${PORT}]\n", ['1:11: quote "${...}" inside { } and [ ]']),
    ("service: \x07\n", ["1:10: this character is not allowed in YAML"]),
    ("a: *missing\n", ['1:4: there is no anchor "&missing" before this alias']),
    ("a: &a [*a]\n", ['1:8: the alias "*a" stands inside its own anchor']),
    ("service: {}\n---\nservice: {}\n", ["2:1: a second document starts here; a configuration file holds one"]),
    ("- service\n", ["1:1: a configuration is a mapping, not a list"]),
    ("just text\n", ['1:1: a configuration is a mapping, not "just text"']),
    (
        "service: !!python/object/apply:os.system [ls]\n",
        [
            '1:10: the tag "!!python/object/apply:os.system" is not used here; leave it out',
            "1:10: service must be a mapping, not a list",
        ],
    ),
    ("service: !local {port: 1}\n", ['1:10: the tag "!local" is not used here; leave it out']),
    ("!x!y a: b\n", ["1:1: tags are not used here"]),
    ("service: {}\nservice: {}\n", ['2:1: duplicate key "service": it stands on line 1 already']),
    ("streams:\n  a: {transport: log}\n  b: {}\n  a: {}\n", ['4:3: duplicate key "a": it stands on line 2 already']),
    ("1: x\n", ['1:1: a key must be text, not 1; quote it: "1"']),
    ("true: x\n", ['1:1: a key must be text, not true; quote it: "true"']),
    ("~: x\n", ["1:1: a key must be text, not nothing"]),
    ("? [a, b]\n: c\n", ["1:3: a key must be text, not a list"]),
    (
        "base: &b {port: 1}\nservice:\n  <<: *b\n",
        [
            '1:1: unknown key "base" at the top; known here: commands, connections, entities, nodes, runtime, service, streams',
            '3:3: "<<" is not part of YAML 1.2: write the keys out',
        ],
    ),
    (
        "%YAML 2.0\n---\nservice: {}\n",
        ["1:1: this is not YAML: found incompatible YAML document (version 1.* is required)"],
    ),
    ("sevice: {}\n", ['1:1: unknown key "sevice" at the top; did you mean "service"?']),
    ("stream: {}\n", ['1:1: unknown key "stream" at the top; did you mean "streams"?']),
    ("service: {prot: 1}\n", ['1:11: unknown key "prot" in service; did you mean "port"?']),
    (
        "service:\n  limits: {request_size: 1}\n",
        ['2:12: unknown key "request_size" in service.limits; did you mean "request_size_bytes"?'],
    ),
    ("service:\n  log: {levle: info}\n", ['2:9: unknown key "levle" in service.log; did you mean "level"?']),
    (
        "streams:\n  assets:\n    transprt: kafka\n",
        ['3:5: unknown key "transprt" in streams.assets; did you mean "transport"?'],
    ),
    (
        "streams:\n  assets:\n    retain: {mesages: 1}\n",
        ['3:14: unknown key "mesages" in streams.assets.retain; did you mean "messages"?'],
    ),
    (
        "streams:\n  a: {create: {partition: 3}, transport: kafka}\n",
        ['2:16: unknown key "partition" in streams.a.create; did you mean "partitions"?'],
    ),
    ("connections: {kafak: {}}\n", ['1:15: unknown key "kafak" in connections; did you mean "kafka"?']),
    (
        "connections: {kafka: {bootstrap.servers: x}}\n",
        ['1:23: unknown key "bootstrap.servers" in connections.kafka; did you mean "bootstrap_servers"?'],
    ),
    ("nodes: {a: {inputs: b}}\n", ['1:13: unknown key "inputs" in nodes.a; did you mean "input"?']),
    (
        "runtime: {discovery: [a]}\n",
        ['1:11: unknown key "discovery" in runtime; known here: bootstrap, discovery_modules, platform, web'],
    ),
    (
        "runtime: {platform: {ipc: {}}}\n",
        ['1:22: unknown key "ipc" in runtime.platform; known here: execution_ipc, kv, process_groups'],
    ),
    (
        "runtime: {platform: {execution_ipc: {auth: {ttl: 3}}}}\n",
        [
            '1:45: unknown key "ttl" in runtime.platform.execution_ipc.auth; known here: kdf, mode, nonce_cache_size, secret, secret_mode, ttl_seconds'
        ],
    ),
    (
        "runtime: {platform: {process_groups: [{name: a, worker: 2}]}}\n",
        ['1:49: unknown key "worker" in runtime.platform.process_groups[0]; did you mean "workers"?'],
    ),
    ("runtime: {web: {interface: []}}\n", ['1:17: unknown key "interface" in runtime.web; did you mean "interfaces"?']),
    (
        "runtime:\n  web:\n    interfaces:\n      - {kind: messages, path: /a, stream: a, strem: a}\nstreams: {a: {}}\n",
        ['4:47: unknown key "strem" in runtime.web.interfaces[0]; did you mean "stream"?'],
    ),
    (
        "runtime: {web: {interfaces: [{kind: http, policies: {timeout: 3}}]}}\n",
        ['1:54: unknown key "timeout" in runtime.web.interfaces[0].policies; did you mean "timeout_ms"?'],
    ),
    ("service: []\n", ["1:10: service must be a mapping, not a list"]),
    ("service: 5\n", ["1:10: service must be a mapping, not 5"]),
    ("service: {name: 5}\n", ['1:17: service.name must be text, not 5; quote it: "5"']),
    ("service: {name: true}\n", ['1:17: service.name must be text, not true; quote it: "true"']),
    ('service: {name: ""}\n', ['1:17: service.name must be 1 to 200 printable characters, not ""']),
    ("service: {port: true}\n", ["1:17: service.port must be an integer, not true"]),
    ('service: {port: "8080"}\n', ['1:17: service.port must be an integer, not "8080"']),
    ("service: {port: 80.5}\n", ["1:17: service.port must be an integer, not 80.5"]),
    ("service: {port: [1]}\n", ["1:17: service.port must be an integer, not a list"]),
    ("service: {open: yes}\n", ['1:17: service.open must be true or false, not "yes"']),
    ("service: {open: 1}\n", ["1:17: service.open must be true or false, not 1"]),
    (
        "service: {drain_seconds: soon}\n",
        [
            '1:26: service.drain_seconds must be a duration: a number of seconds, or text such as 500ms, 30s, 5m, 2h, 7d, not "soon"'
        ],
    ),
    ("service: {drain_seconds: -1}\n", ["1:26: service.drain_seconds must be a duration from 0 to 3650d, not -1"]),
    ("service: {drain_seconds: .inf}\n", ["1:26: service.drain_seconds must be a duration from 0 to 3650d, not .inf"]),
    (
        "service: {drain_seconds: true}\n",
        [
            "1:26: service.drain_seconds must be a duration: a number of seconds, or text such as 500ms, 30s, 5m, 2h, 7d, not true"
        ],
    ),
    ("service: {build: 1.10}\n", ['1:18: service.build must be text, not 1.10; quote it: "1.10"']),
    (
        "service: {log: {level: loud}}\n",
        ['1:24: service.log.level: "loud" is not one of debug, info, warning, error, critical'],
    ),
    ("service: {log: {format: xml}}\n", ['1:25: service.log.format: "xml" is not one of console, json']),
    ("streams: [a]\n", ["1:10: streams must be a mapping, not a list"]),
    ("streams: {a: memory}\n", ['1:14: streams.a must be a mapping, not "memory"']),
    (
        "streams:\n  a:\n  b: {}\n",
        ["2:3: streams.a is empty: write {} for the defaults (null removes what an earlier file says)"],
    ),
    (
        "streams: {a: {codec: [json]}}\n",
        ["1:22: streams.a.codec must be the name of a codec, or a mapping with its name and options, not a list"],
    ),
    ("streams: {a: {codec: {delimiter: x}}}\n", ['1:15: streams.a.codec needs the key "name"']),
    (
        'streams: {a: {codec: {name: delimited, delimiter: "||"}}}\n',
        ['1:51: streams.a.codec.delimiter must be one character, not "||"'],
    ),
    ("streams: {a: {codec: {name: delimited, fields: a}}}\n", ['1:48: streams.a.codec.fields must be a list, not "a"']),
    ("streams: {a: {delivery: yes}}\n", ['1:25: streams.a.delivery: "yes" is not one of broadcast, queue']),
    (
        "streams: {a: {overflow: drop_newest}}\n",
        [
            '1:25: streams.a.overflow: "drop_newest" is not one of drop_oldest, block, reject; did you mean "drop_oldest"?'
        ],
    ),
    ("streams: {a: {retain: 5}}\n", ["1:23: streams.a.retain must be a mapping, not 5"]),
    (
        "streams: {a: {retain: {age: 5 minutes}}}\n",
        [
            '1:29: streams.a.retain.age must be a duration: a number of seconds, or text such as 500ms, 30s, 5m, 2h, 7d, not "5 minutes"'
        ],
    ),
    ("streams: {a: {retain: {age: 0}}}\n", ["1:29: streams.a.retain.age must be a duration of 1ms or more, not 0"]),
    ("streams: {a: {options: x}}\n", ['1:24: streams.a.options must be a mapping, not "x"']),
    (
        "connections: {kafka: {options: {a: [b]}}}\n",
        ["1:36: connections.kafka.options.a must be text, a number, true or false, not a list"],
    ),
    (
        "connections: {log: {durability: most}}\n",
        ['1:33: connections.log.durability: "most" is not one of full, relaxed'],
    ),
    ("nodes: {a: {input: 5}}\n", ["1:20: nodes.a.input must be a name, or a list of names, not 5"]),
    ("nodes: {a: {input: [a, 5]}}\nstreams: {a: {}}\n", ['1:24: nodes.a.input[1] must be text, not 5; quote it: "5"']),
    ("entities: {a: b}\n", ["1:11: entities must be a name, or a list of names, not a mapping"]),
    (
        "runtime: {discovery_modules: plant.nodes}\n",
        ['1:30: runtime.discovery_modules must be a list, not "plant.nodes"'],
    ),
    (
        "runtime: {discovery_modules: [plant/nodes.py]}\n",
        [
            '1:31: runtime.discovery_modules[0] must be the dotted name of a module, such as plant.nodes, not "plant/nodes.py"'
        ],
    ),
    (
        "runtime: {bootstrap: {mode: forked}}\n",
        ['1:29: runtime.bootstrap.mode: "forked" is not one of inline, process_supervisor'],
    ),
    (
        "runtime: {platform: {kv: {backend: redis}}}\n",
        ['1:36: runtime.platform.kv.backend: "redis" is not one of memory'],
    ),
    (
        "runtime: {platform: {process_groups: [web]}}\n",
        ['1:39: runtime.platform.process_groups[0] must be a mapping, not "web"'],
    ),
    (
        "runtime: {platform: {process_groups: [{workers: 2}]}}\n",
        ['1:39: runtime.platform.process_groups[0] needs the key "name"'],
    ),
    ("runtime: {web: {interfaces: {}}}\n", ["1:29: runtime.web.interfaces must be a list, not a mapping"]),
    (
        "runtime: {web: {interfaces: [messages]}}\n",
        ['1:30: runtime.web.interfaces[0] must be a mapping, not "messages"'],
    ),
    ("runtime: {web: {interfaces: [{path: /a}]}}\n", ['1:30: runtime.web.interfaces[0] needs the key "kind"']),
    (
        (
            "streams: {c: {delivery: queue}, d: {codec: text}}\nruntime:\n  web:\n    interfaces:\n"
            "      - {kind: config, path: /a, stream: c}\n      - {kind: config, path: /b, acks: d}\n"
        ),
        [
            '5:9: stream "c" has queue delivery: settings are for everybody',
            '6:9: acks "d" has the codec text: settings are json',
            "6:16: a service has one interface of kind config",
        ],
    ),
    (
        "streams: {config: {retain: {age: 1h}}}\nruntime: {web: {interfaces: [{kind: config, path: /a}]}}\n",
        ["1:20: settings count until others take their place: leave out retain.age"],
    ),
    (
        "runtime: {web: {interfaces: [{kind: config, path: /a, stream: settings}]}}\n",
        ['1:63: stream: there is no stream "settings"'],
    ),
    (
        "runtime: {web: {interfaces: [{kind: ingest, path: /a}]}}\n",
        ["1:31: an ingest interface needs entities: name their folder with `entities:`"],
    ),
    (
        f"entities: {EXAMPLE}\nruntime: {{web: {{interfaces: [{{kind: ingest, path: /a, entities: [Ordr]}}]}}}}\n",
        ['2:66: there is no entity "Ordr"; did you mean "Order"?'],
    ),
    (
        f"entities: {EXAMPLE}\nruntime: {{web: {{interfaces: [{{kind: ingest, path: /a, on_duplicate: {{X: skip}}}}]}}}}\n",
        ['2:73: there is no entity "X"'],
    ),
    (
        (
            f"entities: {EXAMPLE}\nstreams: {{q: {{delivery: queue}}, t: {{codec: text}}}}\n"
            "runtime: {web: {interfaces: [{kind: ingest, path: /a, from: q, publish: t, dead_letters: z}]}}\n"
        ),
        [
            '3:61: "q" has queue delivery: what is kept exactly once is read from a place, so use broadcast',
            '3:73: "t" has the codec text: records are published as json',
            '3:90: dead_letters: there is no stream "z"',
        ],
    ),
    (
        (
            "streams: {a: {}, b-c: {}, q: {delivery: queue}}\nruntime: {web: {interfaces: [{kind: graphql, path: /g, filters: {\n"
            "  a: {key: {key: true}, ok: {key: true}, a-b: {key: true}, none: {}, two: {key: true, field: x}},\n"
            "  z: {},\n  b-c: {},\n  q: {}}}]}}\n"
        ),
        [
            '3:7: "key" is an argument of its own; give the filter another name',
            '3:42: "a-b" is no name in a schema; give the filter another name',
            "3:60: runtime.web.interfaces[0].filters.a.none needs one of key: true, field or header",
            "3:70: runtime.web.interfaces[0].filters.a.two needs one of key: true, field or header",
            '4:3: there is no stream "z"',
            '5:3: "b-c" is no name in a schema: its messages are asked for by key alone',
            '6:3: "q" has queue delivery: it is published to, and not read',
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: mesages}]}}\n",
        [
            '1:37: runtime.web.interfaces[0].kind: "mesages" is not one of messages, sse, http, http_stream, websocket, ingest, command, config, graphql; did you mean "messages"?'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: /a}]}}\n",
        ['1:30: runtime.web.interfaces[0] needs the key "stream"'],
    ),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: a, stream: a}]}}\nstreams: {a: {}}\n",
        [
            '1:53: runtime.web.interfaces[0].path must be a path such as /results/latest: letters, digits and . _ ~ - between single slashes, not "a"'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: http, binds: [requests]}]}}\n",
        [
            '1:51: runtime.web.interfaces[0].binds[0]: "requests" is not one of request, response, stream, kv_stream; did you mean "request"?'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: http, methods: [FETCH]}]}}\n",
        [
            '1:53: runtime.web.interfaces[0].methods[0]: "FETCH" is not one of GET, POST, PUT, PATCH, DELETE; did you mean "PATCH"?'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: http, policies: {rate_limit: {kind: window, limit: 1}}}]}}\n",
        [
            '1:73: runtime.web.interfaces[0].policies.rate_limit.kind: "window" is not one of fixed_window, sliding_window_counter, sliding_window_log, token_bucket, leaky_bucket, concurrency; did you mean "fixed_window"?'
        ],
    ),
    ("service: {port: 65536}\n", ["1:17: service.port must be at most 65535, not 65536"]),
    ("service: {port: -1}\n", ["1:17: service.port must be at least 0, not -1"]),
    ("service: {limits: {connections: 0}}\n", ["1:33: service.limits.connections must be at least 1, not 0"]),
    ("streams: {a: {retain: {messages: 0}}}\n", ["1:34: streams.a.retain.messages must be at least 1, not 0"]),
    (
        "runtime: {platform: {execution_ipc: {bind_port: 70000}}}\n",
        ["1:49: runtime.platform.execution_ipc.bind_port must be at most 65535, not 70000"],
    ),
    (
        "runtime: {platform: {execution_ipc: {bind_host: 0.0.0.0}}}\n",
        ['1:49: runtime.platform.execution_ipc.bind_host must be a loopback address, such as 127.0.0.1, not "0.0.0.0"'],
    ),
    (
        "runtime: {platform: {execution_ipc: {auth: {ttl_seconds: 0}}}}\n",
        ["1:58: runtime.platform.execution_ipc.auth.ttl_seconds must be at least 1, not 0"],
    ),
    (
        "runtime: {platform: {process_groups: [{name: a, workers: -1}]}}\n",
        ["1:58: runtime.platform.process_groups[0].workers must be at least 0, not -1"],
    ),
    (
        "service: {host: 0.0.0.0}\n",
        [
            '1:17: service.host: "0.0.0.0" can be reached by others, and nothing asks them who they are; set service.auth.keys, listen on 127.0.0.1, or say that it may be with service.open: true'
        ],
    ),
    (
        "service: {host: example.org}\n",
        [
            '1:17: service.host: "example.org" can be reached by others, and nothing asks them who they are; set service.auth.keys, listen on 127.0.0.1, or say that it may be with service.open: true'
        ],
    ),
    (
        "service: {host: '::'}\n",
        [
            '1:17: service.host: "::" can be reached by others, and nothing asks them who they are; set service.auth.keys, listen on 127.0.0.1, or say that it may be with service.open: true'
        ],
    ),
    (
        "streams: {a b: {}}\n",
        ['1:11: "a b" is no name for a stream: a letter or _, then letters, digits, _ . or -, up to 200'],
    ),
    (
        "streams: {9lives: {}}\n",
        ['1:11: "9lives" is no name for a stream: a letter or _, then letters, digits, _ . or -, up to 200'],
    ),
    (
        "streams: {a: {transport: kafak}}\n",
        ['1:26: streams.a.transport: "kafak" is not one of http, kafka, log, memory; did you mean "kafka"?'],
    ),
    ("streams: {a: {transport: http}}\n", ["1:26: streams.a has transport http and needs a url"]),
    (
        "streams: {a: {transport: http, url: 'ftp://x'}}\n",
        ["1:37: streams.a.url must be a URL that starts with http:// or https:// and names a host"],
    ),
    (
        "streams: {a: {transport: http, url: 'http://'}}\n",
        ["1:37: streams.a.url must be a URL that starts with http:// or https:// and names a host"],
    ),
    (
        "streams: {a: {url: 'http://x'}}\n",
        ["1:15: url is for streams with transport http; streams.a has transport memory"],
    ),
    ("streams: {a: {topic: t}}\n", ["1:15: topic is for streams with transport kafka; streams.a has transport memory"]),
    (
        "streams: {a: {transport: log, create: {}}}\n",
        ["1:31: create is for streams with transport kafka; streams.a has transport log"],
    ),
    ("streams: {a: {options: {x: 1}}}\n", ["1:15: options are for plug-ins; streams.a has transport memory"]),
    (
        "streams: {a: {transport: kafka, overflow: block}}\n",
        ["1:43: streams.a.overflow: over kafka only drop_oldest is possible"],
    ),
    (
        "streams: {a: {transport: http, url: 'http://x', overflow: reject}}\n",
        ["1:59: streams.a.overflow: over http only drop_oldest is possible"],
    ),
    (
        "streams: {a: {transport: kafka, topic: a/b}}\n",
        ['1:40: streams.a.topic must be a topic\'s name (letters, digits, . _ -, up to 249), not "a/b"'],
    ),
    (
        "streams: {a: {codec: jsn}}\n",
        [
            '1:22: streams.a.codec: "jsn" is not one of da00, delimited, f144, json, msgpack, raw, text, x5f2; did you mean "json"?'
        ],
    ),
    (
        "streams: {a: {codec: {name: json, fields: [a]}}}\n",
        ['1:35: unknown key "fields" in streams.a.codec with the codec json'],
    ),
    (
        "streams: {a: {codec: {name: delimited, field: [a]}}}\n",
        ['1:40: unknown key "field" in streams.a.codec with the codec delimited; did you mean "fields"?'],
    ),
    (
        "connections: {database: {url: 'mysql://x'}}\n",
        ["1:31: connections.database.url must be a URL such as sqlite:///headgate.db or postgresql://host/name"],
    ),
    (
        "streams: {assets: {}}\nnodes: {a: {input: asset}}\n",
        ['2:20: nodes.a.input: there is no stream "asset"; did you mean "assets"?'],
    ),
    ("nodes: {a: {output: [b]}}\n", ['1:22: nodes.a.output[0]: there is no stream "b"']),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: /a, stream: b}]}}\n",
        ['1:65: stream: there is no stream "b"'],
    ),
    ("runtime: {web: {interfaces: [{kind: http, request: b}]}}\n", ['1:52: request: there is no stream "b"']),
    (
        "streams: {a: {}}\nruntime:\n  web:\n    interfaces:\n      - {kind: messages, path: /a, stream: a}\n      - {kind: messages, path: /a, stream: a}\n",
        ['6:32: "/a" is served by the interface on line 5 already'],
    ),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: /health, stream: a}]}}\nstreams: {a: {}}\n",
        [
            '1:53: "/health" is taken: the gate serves /streams, /health, /ready, /info, /metrics, /stats, /docs, /openapi.json, /tokens itself'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: /streams/a, stream: a}]}}\nstreams: {a: {}}\n",
        [
            '1:53: "/streams/a" is taken: the gate serves /streams, /health, /ready, /info, /metrics, /stats, /docs, /openapi.json, /tokens itself'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: http, path: /quotes}]}}\n",
        [
            '1:49: "kind: http" with a path needs the key "request", a stream',
            '1:49: "kind: http" with a path needs the key "response", a stream',
        ],
    ),
    (
        "runtime: {platform: {process_groups: [{name: a}, {name: a}]}}\n",
        ['1:57: "a" is the name of the group on line 1 already'],
    ),
    (
        "streams: {lost: {}}\nnodes: {alarm: {dead_letters: lots}}\n",
        ['2:31: nodes.alarm.dead_letters: there is no stream "lots"; did you mean "lost"?'],
    ),
    (
        "streams: {a: {}}\nnodes: {alarm: {input: a, dead_letters: a}}\n",
        ['2:41: nodes.alarm.dead_letters: the node reads "a"; use another stream'],
    ),
    ("nodes: {alarm: {retries: -1}}\n", ["1:26: nodes.alarm.retries must be at least 0, not -1"]),
    (
        "nodes: {alarm: {order: newest}}\n",
        ['1:24: nodes.alarm.order: "newest" is not one of stream, key, none'],
    ),
    (
        "runtime: {platform: {execution_ipc: {auth: {secret_mode: static}}}}\n",
        ["1:58: runtime.platform.execution_ipc.auth with secret_mode static needs a secret"],
    ),
    (
        "runtime: {platform: {execution_ipc: {auth: {secret: 0123456789abcdefg}}}}\n",
        ["1:45: runtime.platform.execution_ipc.auth.secret is used with secret_mode: static only"],
    ),
    ("service: {name: '${NOT_SET}'}\n", ["1:17: ${NOT_SET} is not set; set it, or write ${NOT_SET:-default}"]),
    (
        "service: {name: '${not valid}'}\n",
        [
            '1:17: this "${...}" is no interpolation: write ${NAME}, ${NAME:-default}, ${file:/path}, or $${ for a plain ${'
        ],
    ),
    (
        "service: {name: '${OPEN'}\n",
        [
            '1:17: this "${...}" is no interpolation: write ${NAME}, ${NAME:-default}, ${file:/path}, or $${ for a plain ${'
        ],
    ),
    ("service:\n  port: ${file:nowhere}\n", ["2:9: ${file:nowhere}: No such file or directory"]),
    ("service:\n  port: ${PORT:-http}\n", ["2:9: service.port must be an integer, which the value of ${PORT} is not"]),
    (
        "service: {port: '${PORT:-80}'}\n",
        [
            "1:17: service.port must be an integer, which the value of ${PORT} is not; write it on a line of its own, without quotes"
        ],
    ),
    ("streams: {a: {kind: ''}}\n", ['1:21: streams.a.kind must be 1 to 200 printable characters, not ""']),
    (
        "streams: {a: {transport: http, url: 'http://host:port/'}}\n",
        ["1:37: streams.a.url must be a URL that starts with http:// or https:// and names a host"],
    ),
    (
        "connections: {kafka: {send_timeout: 0}}\n",
        ["1:37: connections.kafka.send_timeout must be a duration of 1ms or more, not 0"],
    ),
    (
        "runtime: {web: {interfaces: [{kind: websocket, path: /ws}]}}\n",
        [
            '1:54: this version does not serve "kind: websocket" with a path yet; leave the path out, and discovered nodes bring their routes'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: /a/, stream: a}]}}\nstreams: {a: {}}\n",
        [
            '1:53: runtime.web.interfaces[0].path must be a path such as /results/latest: letters, digits and . _ ~ - between single slashes, not "/a/"'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: messages, path: /a/../b, stream: a}]}}\nstreams: {a: {}}\n",
        [
            '1:53: runtime.web.interfaces[0].path must be a path such as /results/latest: letters, digits and . _ ~ - between single slashes, not "/a/../b"'
        ],
    ),
    (
        "runtime: {web: {interfaces: [{kind: websocket, path: /w, publish: a, cursors: true}]}}\nstreams: {a: {}}\n",
        ["1:70: cursors are for those who follow: there is no stream here"],
    ),
    (
        "streams: {a: {}}\nruntime: {web: {interfaces: [{kind: websocket, path: /w, stream: a, cursors: true, filter: {cursor: {key: true}}}]}}\n",
        ['2:93: the parameter "cursor" says where to start; give the filter another name'],
    ),
    (
        "service: {host: 'a b'}\n",
        ['1:17: service.host must be an address or a host name, such as 127.0.0.1, not "a b"'],
    ),
]


@pytest.mark.parametrize(("text", "problems"), BAD)
def test_a_bad_configuration_is_told_what_and_where(text: str, problems: list[str]) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        plan_text(text)
    assert [str(problem) for problem in caught.value.problems] == [f"headgate.yaml:{told}" for told in problems]
    assert time.perf_counter() - started < 1


def test_there_are_a_hundred_of_them() -> None:
    assert len({text for text, _ in BAD}) >= 100
