"""The table: a path, the floor it is held against, and the ratio of their rates."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured path. `ratio` is its rate over the floor's, or the figure itself where there is no floor."""

    path: str
    floor: str
    ratio: float
    note: str = ""


def median_ratio(ours: Callable[[], float], floor: Callable[[], float], rounds: int = 7) -> float:
    """The median of pairwise ratios of interleaved runs; each call gives a rate. The first pair warms up."""
    return median_ratios(ours, [floor], rounds)[0]


def median_ratios(ours: Callable[[], float], floors: Sequence[Callable[[], float]], rounds: int = 7) -> list[float]:
    """The same against several floors, each of which runs once a round."""
    ratios = [_ratios(ours(), floors) for _ in range(rounds + 1)]
    return [statistics.median(of_one) for of_one in zip(*ratios[1:], strict=True)]


def _ratios(rate: float, floors: Sequence[Callable[[], float]]) -> list[float]:
    return [rate / floor() for floor in floors]


def interleaved(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The rates of several runs, each of which runs once a round. The first round warms up."""
    measured = [{name: run() for name, run in runs.items()} for _ in range(rounds + 1)]
    return {name: [of_round[name] for of_round in measured[1:]] for name in runs}


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """The median of the ratios of the rates of each round."""
    return statistics.median(one / other for one, other in zip(ours, floor, strict=True))


def render(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    widths = [max(len(row.path) for row in rows), max(len(row.floor) for row in rows)]
    head = f"{'path':<{widths[0]}}  {'floor':<{widths[1]}}  {'ratio':>8}  note"
    lines = [f"{r.path:<{widths[0]}}  {r.floor:<{widths[1]}}  {r.ratio:>8.2f}  {r.note}" for r in rows]
    return "\n".join([head, "-" * len(head), *lines])
