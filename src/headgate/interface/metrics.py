"""The counters in Prometheus form. Labels come from the plan alone, so their number is bounded."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from headgate.interface.visitors import Visitors
from headgate.runtime.groups.supervisor import Supervisor
from headgate.runtime.hub import Hub
from headgate.runtime.replies import Replies
from headgate.runtime.runner import Node
from headgate.runtime.stats import DURATIONS, CommandStats, ConfigStats, Durations, IngestStats, WebStats
from headgate.runtime.stream import Stream


def expose(
    streams: Mapping[str, Stream],
    nodes: Mapping[str, Node],
    supervisor: Supervisor,
    hubs: Mapping[str, Hub],
    visitors: Visitors,
    web: WebStats,
    ingest: IngestStats,
    config: ConfigStats,
    commands: Mapping[str, CommandStats],
    replies: Mapping[str, Replies],
    dropped: Mapping[str, int],
    *,
    ready: bool,
) -> bytes:
    """All counters, as text."""
    registry = CollectorRegistry()
    metrics = [*_metrics(streams, nodes, web, dropped, ready), *_visitor_metrics(hubs, visitors)]
    registry.register(
        _Snapshot(
            [
                *metrics,
                *_group_metrics(supervisor),
                *_ingest_metrics(ingest),
                *_config_metrics(config),
                *_command_metrics(commands),
                *_reply_metrics(replies),
            ],
        )
    )
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return generate_latest(registry)


class _Snapshot(Collector):
    """Metrics that were already read."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _metrics(
    streams: Mapping[str, Stream],
    nodes: Mapping[str, Node],
    web: WebStats,
    dropped: Mapping[str, int],
    ready: bool,
) -> Iterator[Metric]:
    yield GaugeMetricFamily("headgate_ready", "1 when /ready says so", value=int(ready))
    by_stream = [(name, stream.stats) for name, stream in streams.items()]
    for fact, help_text in _STREAM_FACTS.items():
        counts = {(name,): getattr(stats, fact) for name, stats in by_stream}
        yield _counter(f"headgate_stream_{fact}", help_text, ["stream"], counts)
    drops = {(name,): count for name, count in dropped.items()}
    yield _counter("headgate_stream_dropped", "messages a full queue let go of", ["stream"], drops)
    readers = GaugeMetricFamily("headgate_stream_readers", "readers just now", labels=["stream"])
    for name, stream in streams.items():
        readers.add_metric([name], stream.readers)
    yield readers
    for fact, help_text in _NODE_FACTS.items():
        counts = {(name,): getattr(node.stats, fact) for name, node in nodes.items()}
        yield _counter(f"headgate_node_{fact}", help_text, ["node"], counts)
    yield from _web_metrics(web)


def _group_metrics(supervisor: Supervisor) -> Iterator[Metric]:
    groups = supervisor.groups
    for fact, help_text in _GROUP_GAUGES.items():
        gauge = GaugeMetricFamily(f"headgate_group_{fact}", help_text, labels=["group"])
        for name, group in groups.items():
            gauge.add_metric([name], getattr(group.statistics(), fact))
        yield gauge
    for fact, help_text in _GROUP_COUNTERS.items():
        counts = {(name,): getattr(group.stats, fact) for name, group in groups.items()}
        yield _counter(f"headgate_group_workers_{fact}", help_text, ["group"], counts)
    cpu = {(name,): group.statistics().cpu_seconds for name, group in groups.items()}
    yield _counter("headgate_group_cpu_seconds", "processor time of its workers", ["group"], cpu)
    refused = {(code,): count for code, count in supervisor.refused.items()}
    yield _counter("headgate_ipc_refused", "links between processes that were ended, and why", ["code"], refused)


def _visitor_metrics(hubs: Mapping[str, Hub], visitors: Visitors) -> Iterator[Metric]:
    followers = GaugeMetricFamily("headgate_stream_followers", "clients that follow it just now", labels=["stream"])
    for name, hub in hubs.items():
        followers.add_metric([name], hub.lanes.followers)
    yield followers
    yield _counter("headgate_visitors_opened", "clients that began to follow", [], {(): visitors.stats.opened})
    yield _counter(
        "headgate_visitors_cut", "clients that were cut because they were too slow", [], {(): visitors.stats.cut}
    )


def _web_metrics(web: WebStats) -> Iterator[Metric]:
    requests = {(route, method, str(status)): count for (route, method, status), count in web.requests.items()}
    yield _counter("headgate_http_requests", "requests answered", ["route", "method", "status"], requests)
    seconds = {(route,): spent for route, spent in web.seconds.items()}
    yield _counter("headgate_http_request_seconds", "time spent on requests", ["route"], seconds)
    errors = {(code,): count for code, count in web.errors.items()}
    yield _counter("headgate_http_errors", "requests that ended in an error", ["code"], errors)
    yield GaugeMetricFamily("headgate_http_requests_in_flight", "requests just now", value=web.in_flight)


def _ingest_metrics(ingest: IngestStats) -> Iterator[Metric]:
    # These names are those of the systems that an ingest interface takes the place of.
    yield _counter("ingestion_messages", "Total messages processed", ["entity", "status"], ingest.messages)
    duration = HistogramMetricFamily("ingestion_duration_seconds", "Time that ingest requests took")
    _add(duration, [], ingest.durations)
    yield duration


def _config_metrics(config: ConfigStats) -> Iterator[Metric]:
    counts = {("applied",): config.applied, ("refused",): config.refused}
    yield _counter("headgate_settings", "settings that this service was told", ["status"], counts)


def _command_metrics(commands: Mapping[str, CommandStats]) -> Iterator[Metric]:
    # These names, too, are those of the systems that a command interface takes the place of.
    counts = {(path, "success"): stats.sent for path, stats in commands.items()}
    counts |= {(path, "error"): stats.failed for path, stats in commands.items()}
    yield _counter("commands", "Total commands processed", ["path", "status"], counts)
    duration = HistogramMetricFamily("command_duration_seconds", "Time that command requests took", labels=["path"])
    for path, stats in commands.items():
        _add(duration, [path], stats.durations)
    yield duration


def _reply_metrics(replies: Mapping[str, Replies]) -> Iterator[Metric]:
    for fact, help_text in _REPLY_FACTS.items():
        yield _counter(
            f"headgate_replies_{fact}",
            help_text,
            ["stream"],
            {(name,): getattr(its.stats, fact) for name, its in replies.items()},
        )
    waiting = GaugeMetricFamily("headgate_replies_in_flight", "requests that wait for a reply", labels=["stream"])
    for name, its in replies.items():
        waiting.add_metric([name], its.in_flight)
    yield waiting


def _add(family: HistogramMetricFamily, labels: list[str], durations: Durations) -> None:
    total, buckets = 0, []
    for bound, count in zip([*DURATIONS, inf], durations.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == inf else str(bound), float(total)))
    family.add_metric(labels, buckets, durations.seconds)


def _counter(name: str, help_text: str, labels: list[str], counts: Mapping[Any, float]) -> Metric:
    metric = CounterMetricFamily(name, help_text, labels=labels)
    for values, count in counts.items():
        metric.add_metric(list(values), count)
    return metric


_STREAM_FACTS = {
    "published": "messages acknowledged",
    "published_bytes": "bytes acknowledged",
    "refused": "messages whose batch the transport did not keep",
    "delivered": "messages given to readers",
    "missed": "messages that readers were too late for",
}
_REPLY_FACTS = {
    "registered": "requests that waited for a reply",
    "completed": "requests that got one",
    "cancelled": "requests whose client went first",
    "expired": "requests that got none in time",
    "duplicate_terminal": "second replies to a request",
    "late_reply_drop": "replies to requests that nobody waited for any longer",
}
_NODE_FACTS = {
    "handled": "messages handled",
    "emitted": "messages made",
    "failed": "messages or runs that failed",
    "retried": "messages that were tried again",
    "dead_letters": "messages that were not handled and are kept",
    "restarts": "times it was started again",
}
_GROUP_GAUGES = {
    "workers": "workers that take messages just now",
    "portions": "portions of messages that its workers have in hand",
    "resident_bytes": "memory of its workers",
}
_GROUP_COUNTERS = {"started": "processes started", "lost": "processes that ended by themselves"}
