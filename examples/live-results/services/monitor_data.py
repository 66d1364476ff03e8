"""Histograms of what beam monitors say, published a few times a second."""

import time
from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Any

import msgspec

from headgate import Config, Message, StreamId, node


class Workflow(msgspec.Struct, frozen=True):
    """What may be set while it runs, for all monitors or for one."""

    bins: Annotated[int, msgspec.Meta(ge=1, le=1000, description="how many")] = 50
    low: Annotated[float, msgspec.Meta(description="milliseconds where the first bin begins")] = 0.0
    high: Annotated[float, msgspec.Meta(description="milliseconds where the last bin ends")] = 100.0
    interval: Annotated[float, msgspec.Meta(ge=0.05, le=60, description="seconds between two results")] = 0.5
    run: Annotated[int, msgspec.Meta(description="another number begins anew")] = 0

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError("low must be below high")


class Histogram:
    """The counts of one monitor, under one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        width = (workflow.high - workflow.low) / workflow.bins
        self.edges = [workflow.low + at * width for at in range(workflow.bins)] + [workflow.high]
        self.counts = [0] * workflow.bins
        self.told = 0.0

    def add(self, times: list[float]) -> None:
        """Count these; what lies outside is left out."""
        for moment in times:
            if self.workflow.low <= moment < self.workflow.high:
                self.counts[bisect_right(self.edges, moment) - 1] += 1

    def is_due(self, now: float) -> bool:
        """Whether it is time for a result."""
        return now - self.told >= self.workflow.interval

    def result(self, name: str) -> dict[str, Any]:
        """What is published: the form is that of da00, whichever codec writes it."""
        signal = {"name": "signal", "axes": ["time"], "unit": "counts", "dtype": "int64", "data": self.counts}
        middles = [(low + high) / 2 for low, high in pairwise(self.edges)]
        axis = {"name": "time", "axes": ["time"], "unit": "ms", "dtype": "float64", "data": middles}
        return {"source_name": name, "timestamp_ns": time.time_ns(), "data": [signal, axis]}


histograms: dict[str, Histogram] = {}


@node(input="monitor_events", output="results")
def monitor_data(events: list[Message[list[float]]], config: Config[Workflow]) -> list[Message[Any]]:
    """Add a batch of events to the histograms, and publish those that are due."""
    now = time.monotonic()
    for event in events:
        histogram_of(event.stream.name, config(event.stream.name)).add(event.value)
    due = {name: histogram for name, histogram in histograms.items() if histogram.is_due(now)}
    for histogram in due.values():
        histogram.told = now
    return [
        Message(value=histogram.result(name), key=name.encode(), stream=StreamId("monitor_counts", name))
        for name, histogram in due.items()
    ]


def histogram_of(name: str, workflow: Workflow) -> Histogram:
    """The histogram of a monitor; a new one when the workflow is another."""
    if name not in histograms or histograms[name].workflow != workflow:
        histograms[name] = Histogram(workflow)
    return histograms[name]
