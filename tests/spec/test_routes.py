"""The transport file: where streams live by their kind, and streams that move from one transport to another."""

import pytest

from headgate.errors import ConfigError
from headgate.spec.plan import Plan
from headgate.spec.resolve import plan_text

BASE = """\
streams:
  monitor_counts: {kind: counts}
  detector_counts: {kind: counts, retain: {messages: 7}}
  results: {kind: results, transport: http, url: "http://a:1/messages"}
  notes: {}
"""


def places(plan: Plan) -> dict[str, tuple[str, str]]:
    return {name: (stream.transport, stream.url or stream.topic) for name, stream in plan.streams.items()}


def test_a_route_moves_the_streams_of_its_kind_and_leaves_the_others() -> None:
    routes = """\
streams:
  - {kind: counts, transport: kafka}
  - {kind: results, transport: http, url: "http://b:2/messages"}
  - {kind: frames, transport: kafka}
"""
    plan = plan_text(BASE, routes)
    assert places(plan) == {
        "monitor_counts": ("kafka", "monitor_counts"),
        "detector_counts": ("kafka", "detector_counts"),
        "results": ("http", "http://b:2/messages"),
        "notes": ("memory", ""),
    }
    assert plan.streams["detector_counts"].keep_messages == 7
    [warning] = plan.warnings
    assert str(warning) == (
        'headgate.yaml:5:3: no route of overlay1.yaml is for streams.notes, of kind "stream": it stays where it is'
    )


def test_a_route_with_a_name_is_for_one_stream_of_its_kind() -> None:
    routes = """\
streams:
  - {kind: counts, transport: log}
  - {kind: counts, name: monitor_counts, transport: kafka, topic: monitors}
  - {kind: results, transport: memory}
  - {kind: stream, transport: memory}
"""
    plan = plan_text(BASE, routes)
    assert places(plan) == {
        "monitor_counts": ("kafka", "monitors"),
        "detector_counts": ("log", ""),
        "results": ("memory", ""),
        "notes": ("memory", ""),
    }
    assert not plan.warnings


def test_a_stream_stays_in_the_service_that_its_url_leads_to() -> None:
    routes = "streams: [{kind: counts, transport: http, url: 'http://localhost:8011/messages'}]"
    streams = "streams: {counts: {kind: counts}}"
    assert places(plan_text(f"service: {{port: 8011}}\n{streams}", routes))["counts"] == ("memory", "")
    assert places(plan_text(f"service: {{port: 8012}}\n{streams}", routes))["counts"][0] == "http"
    assert places(plan_text(streams, routes))["counts"][0] == "http"


@pytest.mark.parametrize("moved", ["memory", "log", "kafka", "http"])
def test_an_overlay_moves_one_stream_by_one_line(moved: str) -> None:
    for base in ("memory", "log", "kafka, topic: t, create: {partitions: 2}", "http, url: 'http://a/messages'"):
        url = ", url: 'http://b/messages'" if moved == "http" else ""
        plan = plan_text(
            f"streams: {{results: {{transport: {base}}}}}", f"streams: {{results: {{transport: {moved}{url}}}}}"
        )
        assert plan.streams["results"].transport == moved


def test_an_overlay_that_stays_with_the_transport_leaves_its_settings() -> None:
    plan = plan_text(BASE, "streams: {results: {transport: http, retain: {messages: 3}}}")
    assert places(plan)["results"] == ("http", "http://a:1/messages")


@pytest.mark.parametrize(
    ("routes", "problems"),
    [
        ("streams: [{kind: counts, transport: http}]", ["1:11: a route with transport http needs a url"]),
        ("streams: [{kind: frames, transport: http}]", ["1:11: a route with transport http needs a url"]),
        ("streams: [counts]", ['1:11: a route is a mapping with kind and transport, not "counts"']),
        ("streams: [{kind: counts}]", ["1:11: a route needs a transport"]),
        (
            "streams: [{kind: counts, transprt: kafka, transport: log}]",
            ['1:26: unknown key "transprt" in a route; did you mean "transport"?'],
        ),
        (
            "streams:\n- {kind: counts, transport: log}\n- {kind: counts, transport: kafka}",
            ['3:3: there is a route for "counts" on line 2 already'],
        ),
    ],
)
def test_what_is_wrong_in_a_route_is_told_with_its_place(routes: str, problems: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_text(BASE, routes)
    assert [str(problem) for problem in caught.value.problems] == [f"overlay1.yaml:{told}" for told in problems]


def test_a_transport_that_is_unknown_is_told_at_the_route() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_text("streams: {a: {kind: counts}}", "streams:\n- {kind: counts, transport: kafak}")
    assert str(caught.value.problems[0]).startswith("overlay1.yaml:2:29: streams.a.transport: ")


def test_a_list_of_routes_alone_is_no_configuration() -> None:
    with pytest.raises(ConfigError):
        plan_text("streams: [{kind: counts, transport: kafka}]")
