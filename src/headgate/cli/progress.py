"""Progress: a bar where a person watches, nothing where a script does."""

import sys
import time
from types import TracebackType
from typing import Self


class Progress:
    """Counts what is done. Draws one line on a terminal's standard error, at most ten times a second."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self.done = 0
        self._what = what
        self._total = total
        self._shown = sys.stderr.isatty()
        self._began = time.monotonic()
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def add(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        now = time.monotonic()
        if self._shown and now - self._drawn > 0.1:
            self._drawn = now
            print(f"\r{self.line(now)}\x1b[K", end="", file=sys.stderr, flush=True)

    def line(self, now: float) -> str:
        """What the bar says."""
        rate = self.done / max(now - self._began, 1e-9)
        if not self._total:
            return f"{self.done:,} {self._what}  {rate:,.0f}/s"
        share = min(1.0, self.done / self._total)
        bar = "█" * round(share * 30)
        return f"{bar:<30} {share:>4.0%}  {self.done:,} {self._what}  {rate:,.0f}/s"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            print(f"\r{self.line(time.monotonic())}\x1b[K", file=sys.stderr)
