"""Loading: files, overlays, the environment, and what must not be shown."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headgate.errors import ConfigError
from headgate.spec.describe import json_schema
from headgate.spec.plan import Plan
from headgate.spec.resolve import load_plan, plan_text
from tests.faults import spec_campaign
from tests.faults.spec_campaign import HOSTILE

Load = Callable[..., Plan]
FROZEN = """\
runtime:
  platform:
    kv:
      backend: memory
    execution_ipc:
      transport: tcp_local
      bind_host: 127.0.0.1
      bind_port: 0
      auth:
        mode: hmac
        ttl_seconds: 30
        nonce_cache_size: 100000
      max_payload_bytes: 1048576
    process_groups:
      - name: web
      - name: cpu_sync
        stages: [core]
  web:
    interfaces:
      - kind: http
        binds: [request, response]
      - kind: websocket
        binds: [stream]
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write these texts to files, base first, and load them."""

    def load(*texts: str, environ: Mapping[str, str] | None = None, **overrides: object) -> Plan:
        paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return load_plan(
            paths, environ=environ or {}, overrides={k.replace("__", "."): v for k, v in overrides.items()}
        )

    return load


def problems(caught: "pytest.ExceptionInfo[ConfigError]") -> list[str]:
    return [f"{Path(p.file).name}:{p.line}:{p.column}: {p.message}" for p in caught.value.problems]


def test_the_shape_that_was_frozen_is_accepted_as_it_is() -> None:
    plan = plan_text(FROZEN)
    assert [group.name for group in plan.runtime.process_groups] == ["web", "cpu_sync"]
    assert [interface.kind for interface in plan.interfaces] == ["http", "websocket"]
    assert [warning.message for warning in plan.without_routes(())] == [
        'the interface "kind: http" has no path, and no discovered node brings a route for it: it serves nothing',
        'the interface "kind: websocket" has no path, and no discovered node brings a route for it: it serves nothing',
    ]


def test_what_does_nothing_in_this_version_is_warned_of() -> None:
    groups = "[{name: web, workers: 2}, {name: cpu, services: [cache]}]"
    told = [
        warning.message
        for mode in ("inline", "process_supervisor")
        for warning in plan_text(
            f"runtime: {{bootstrap: {{mode: {mode}}}, platform: {{process_groups: {groups}}}}}"
        ).warnings
    ]
    one = "the web has one process in this version, the gate's: run several gates to have more"
    services = "services are accepted, but nothing in this version uses them"
    inline = "process groups are processes with runtime.bootstrap.mode: process_supervisor; without it all runs in one"
    assert told == [inline, one, services, one, services]


def test_an_overlay_changes_what_it_names_and_nothing_else(load: Load) -> None:
    base = "streams:\n  a: {retain: {messages: 5}, delivery: queue}\n  b: {}\n"
    plan = load(base, "streams:\n  a: {transport: log}\n")
    assert (plan.streams["a"].transport, plan.streams["a"].keep_messages) == ("log", 5)
    assert plan.streams["a"].delivery == "queue"
    assert "b" in plan.streams


def test_null_removes_what_it_names(load: Load) -> None:
    plan = load("streams: {a: {}, b: {}}\n", "streams: {b: null}\n")
    assert list(plan.streams) == ["a"]


def test_interfaces_merge_by_path_and_groups_by_name(load: Load) -> None:
    base = """\
streams: {a: {}, b: {}}
runtime:
  platform: {process_groups: [{name: web}, {name: cpu, workers: 2}]}
  web: {interfaces: [{kind: messages, path: /a, stream: a}, {kind: messages, path: /b, stream: b}]}
"""
    over = """\
runtime:
  platform: {process_groups: [{name: cpu, workers: 4}, {name: web, remove: true}]}
  web: {interfaces: [{kind: messages, path: /a, stream: b}, {path: /b, remove: true}]}
"""
    plan = load(base, over)
    assert [(group.name, group.workers) for group in plan.runtime.process_groups] == [("cpu", 4)]
    assert [(interface.path, interface.stream) for interface in plan.interfaces] == [("/a", "b")]


def test_lists_are_replaced(load: Load) -> None:
    plan = load("runtime: {discovery_modules: [one, two]}\n", "runtime: {discovery_modules: []}\n")
    assert plan.runtime.discovery_modules == ()


def test_a_mistake_in_an_overlay_names_the_overlay(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("streams: {a: {}}\n", "streams:\n  a: {transprt: log}\n")
    assert problems(caught) == ['1.yaml:2:7: unknown key "transprt" in streams.a; did you mean "transport"?']


def test_all_mistakes_of_all_files_are_told_at_once(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("service: {port: true}\nstreams: {a: {transport: http}}\n", "service: {nmae: x}\n")
    assert [told.split(": ")[0] for told in problems(caught)] == ["0.yaml:1:17", "0.yaml:2:26", "1.yaml:1:11"]


def test_a_variable_is_read_for_its_type(load: Load) -> None:
    plan = load("service:\n  port: ${PORT:-9000}\n  name: ${NAME}\n", environ={"NAME": "line", "PORT": "9001"})
    assert (plan.service.port, plan.service.name) == (9001, "line")
    assert load("service:\n  port: ${PORT:-9000}\n").service.port == 9000


def test_an_unset_variable_is_named_with_its_place(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("service:\n  name: ${NAME}\n")
    [told] = problems(caught)
    assert told.startswith("0.yaml:2:9: ")
    assert "NAME" in told


def test_a_doubled_dollar_is_a_dollar(load: Load) -> None:
    assert load("service: {build: '$${NOT}'}\n").service.build == "${NOT}"


def test_an_environment_file_beside_the_configuration_is_read_and_the_real_one_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# names\nexport NAME='from file'\nBUILD=\"7\"\n\n")
    text = "service: {name: '${NAME}', build: '${BUILD}'}\n"
    plan = load(text, environ={"NAME": "real"})
    assert (plan.service.name, plan.service.build) == ("real", "7")


def test_a_secret_comes_from_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    plan = load("connections:\n  kafka:\n    options:\n      sasl.password: ${file:password}\n")
    assert plan.connections.kafka.options["sasl.password"] == "hunter2"
    assert "hunter2" not in repr(plan) + json.dumps(plan.summary(), default=str)


def test_what_the_environment_gave_is_not_shown_in_messages(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("service:\n  port: ${PORT}\n  host: ${HOST}\n", environ={"PORT": "hunter2", "HOST": "planted secret"})
    told = "".join(problems(caught))
    assert "hunter2" not in told
    assert "planted" not in told


def test_the_log_level_of_the_environment_counts_where_no_file_gives_one(load: Load) -> None:
    assert load("{}\n", environ={"LOG_LEVEL": "DEBUG"}).service.log.level == "debug"
    assert load("service: {log: {level: error}}\n", environ={"LOG_LEVEL": "DEBUG"}).service.log.level == "error"
    with pytest.raises(ConfigError, match="LOG_LEVEL"):
        load("{}\n", environ={"LOG_LEVEL": "loud"})


def test_the_command_line_wins_over_all_files(load: Load) -> None:
    assert load("service: {port: 1}\n", "service: {port: 2}\n", service__port=3).service.port == 3


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_plan([tmp_path / "nowhere.yaml"], environ={})


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_with_a_place(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_text(text)
    assert all(problem.line >= 1 for problem in caught.value.problems)


def test_mutated_files_raise_nothing_but_their_mistakes() -> None:
    result = spec_campaign.row_29(0.05)
    assert " 0 without a place" in result.figures


def test_the_schema_knows_every_section() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == {
        "service",
        "streams",
        "connections",
        "nodes",
        "commands",
        "entities",
        "runtime",
    }
    undescribed = [
        f"{name}.{key}"
        for name, model in schema["$defs"].items()
        for key, field in model.get("properties", {}).items()
        if "description" not in field and "$ref" not in field
    ]
    assert not undescribed
