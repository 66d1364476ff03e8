"""Progress: a bar where a person watches, nothing where a script does, or a line now and then if it wants one."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Progress:
    """Counts what is done. Draws one line on a terminal's standard error, at most ten times a second.

    With `every`, and no terminal, it prints a line that often.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        every: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self.bad = 0
        self.share: float | None = None  # of all there is to do, where that is known in other terms than `total`
        self._what = what
        self._total = total
        self._bar = sys.stderr.isatty()
        self._every = 0.1 if self._bar else every
        self._clock = clock
        self._began = self._drawn = clock()
        self._began_at = 0.0

    def __enter__(self) -> Self:
        return self

    def begin_at(self, share: float | None) -> None:
        """So much was done before."""
        self.share, self._began_at = share, share or 0.0

    def add(self, count: int, bad: int = 0) -> None:
        """So many more are done."""
        self.done += count
        self.bad += bad
        now = self._clock()
        if self._every is not None and now - self._drawn > self._every:
            self._drawn = now
            self._draw(now, "")

    def say(self, text: str) -> None:
        """Say something beside it."""
        print(f"\r{text}\x1b[K" if self._bar else text, file=sys.stderr, flush=True)

    def line(self, now: float) -> str:
        """What the bar says."""
        seconds = max(now - self._began, 1e-9)
        words = [f"{self.done:,} {self._what}", f"{self.done / seconds:,.0f}/s"]
        if self.bad:
            words.append(f"{self.bad:,} bad")
        share = self.share if self.share is not None else self.done / self._total if self._total else None
        if share is None:
            return "  ".join(words)
        if self._began_at < share < 1:
            words.append(f"{_duration(seconds * (1 - share) / (share - self._began_at))} left")
        bar = f"{'█' * round(min(1.0, share) * 30):<30} " if self._bar else ""
        return "  ".join([f"{bar}{min(1.0, share):>4.0%}", *words])

    def _draw(self, now: float, end: str) -> None:
        if self._bar:
            print(f"\r{self.line(now)}\x1b[K", end=end, file=sys.stderr, flush=True)
        else:
            print(self.line(now).lstrip(), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._draw(self._clock(), "\n")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
