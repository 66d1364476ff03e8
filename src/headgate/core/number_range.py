"""The range: a regular expression for the integers between two limits, written without sign tricks or zeros before."""

from collections.abc import Iterator


def integers(smallest: int, largest: int) -> str:
    """A pattern for the integers from `smallest` to `largest`, as `str()` writes them, where nothing else follows."""
    assert smallest <= largest
    parts: list[str] = []
    if largest >= 0:
        parts += _naturals(max(smallest, 0), largest)
    if smallest < 0:
        parts.append(f"-(?:{'|'.join(_naturals(max(1, -largest), -smallest))})")
    return f"(?:{'|'.join(parts)})"


def _naturals(low: int, high: int) -> Iterator[str]:
    """Patterns for `low` to `high`, those for the most numbers first."""
    most = len(str(high))
    zero, low = low == 0, max(low, 1)
    if low == 1 and most > 1:  # everything that is shorter than the limit
        yield f"[1-9][0-9]{{0,{most - 2}}}+"
        low = 10 ** (most - 1)
    if zero:
        yield "0"
    for digits in range(len(str(low)), most + 1 if low <= high else 0):
        first, last = max(low, 10 ** (digits - 1)), min(high, 10**digits - 1)
        yield from _same_length(str(first), str(last))


def _same_length(first: str, last: str) -> Iterator[str]:
    """Patterns for the numbers between two of the same length, or for what is left of them after some digits."""
    if set(first[1:]) <= {"0"} and set(last[1:]) <= {"9"}:
        yield _digit(first[0], last[0]) + _any(len(first) - 1)
        return
    if first[0] == last[0]:
        yield from (first[0] + rest for rest in _same_length(first[1:], last[1:]))
        return
    low, high = first[0], last[0]
    if set(first[1:]) != {"0"}:
        yield from (low + rest for rest in _same_length(first[1:], "9" * (len(first) - 1)))
        low = chr(ord(low) + 1)
    if set(last[1:]) != {"9"}:
        yield from (high + rest for rest in _same_length("0" * (len(last) - 1), last[1:]))
        high = chr(ord(high) - 1)
    if low <= high:
        yield _digit(low, high) + _any(len(first) - 1)


def _digit(low: str, high: str) -> str:
    return low if low == high else f"[{low}-{high}]"


def _any(count: int) -> str:
    return f"[0-9]{{{count}}}" if count else ""
