"""Totals and rates of the results that arrive."""

from typing import Any

from headgate import Message, node

before: dict[str, tuple[int, int]] = {}  # of each monitor, when its last result was made and its total then


@node(input="results", output="totals")
def totals(result: Message[Any]) -> Message[Any]:
    """How much a monitor has counted, and how fast."""
    name, made, total = facts(result.value)
    earlier, count = before.get(name, (made, total))
    before[name] = made, total
    rate = (total - count) / (made - earlier) * 1e9 if made > earlier and total >= count else 0.0
    return Message(key=name.encode(), value={"monitor": name, "total": total, "per_second": round(rate, 1)})


def facts(result: Any) -> tuple[str, int, int]:
    """Name, time and total of a result: JSON is a mapping, da00 what its library makes of it."""
    if isinstance(result, dict):
        return result["source_name"], result["timestamp_ns"], sum(result["data"][0]["data"])
    return result.source_name, result.timestamp_ns, int(result.data[0].data.sum())
