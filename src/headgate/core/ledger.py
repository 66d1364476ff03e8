"""The ledger of a queue: which messages wait, which are out and with whom, which came back."""

from collections import deque


class Ledger:
    """Hands out every offset once; what a reader gives back is handed out again, first of all."""

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._returned: deque[range] = deque()
        self._out: dict[int, list[range]] = {}  # each reader's in the order in which it took them
        self.dropped = 0

    def __repr__(self) -> str:
        out = sum(map(len, self._ranges_out()))
        return f"<Ledger: next {self._next}, {out} out, {sum(map(len, self._returned))} returned>"

    def take(self, reader: int, *, newest: int, limit: int) -> range:
        """Up to `limit` offsets for this reader, in one run; empty when nothing waits."""
        taken = self._take_returned(limit) or self._take_next(newest, limit)
        if taken:
            self._out.setdefault(reader, []).append(taken)
        return taken

    def _take_returned(self, limit: int) -> range:
        if not self._returned:
            return range(0)
        run = self._returned.popleft()
        if run[limit:]:
            self._returned.appendleft(run[limit:])
        return run[:limit]

    def _take_next(self, newest: int, limit: int) -> range:
        taken = range(self._next, min(newest, self._next + limit))
        self._next += len(taken)
        return taken

    def done(self, reader: int, before: int) -> None:
        """This reader is finished with what it took up to the message before that offset.

        What it took later it still has, also where that came back from another reader and has lower offsets.
        """
        runs = self._out.get(reader, [])
        for place, run in enumerate(runs):
            if run.start < before <= run.stop:
                rest = range(before, run.stop)
                self._out[reader] = [rest, *runs[place + 1 :]] if rest else runs[place + 1 :]
                return

    def give_back(self, reader: int) -> None:
        """This reader is gone: what it had out is handed out again, in order."""
        runs = [*self._returned, *self._out.pop(reader, ())]
        self._returned = deque(sorted(runs, key=lambda run: run.start))

    def drop_before(self, oldest: int) -> int:
        """The stream keeps nothing before `oldest`; tells how many were lost that nobody had."""
        lost = max(0, oldest - self._next)
        self._next += lost
        kept = [range(max(run.start, oldest), run.stop) for run in self._returned]
        lost += sum(map(len, self._returned)) - sum(map(len, kept))
        self._returned = deque(run for run in kept if run)
        self.dropped += lost
        return lost

    def waiting(self, newest: int) -> int:
        """How many are there to be taken."""
        return newest - self._next + sum(map(len, self._returned))

    def floor(self) -> int:
        """The lowest offset that somebody still needs."""
        starts = [run.start for run in (*self._returned, *self._ranges_out())]
        return min([self._next, *starts])

    def _ranges_out(self) -> list[range]:
        return [run for runs in self._out.values() for run in runs]
