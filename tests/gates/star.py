"""Several services as `headgate up` runs them, and those of examples/live-results."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.services.daemon import free_port, wait_until

LIVE_RESULTS = Path(__file__).parents[2] / "examples" / "live-results"
SERVICES = ("fake_monitors", "monitor_data", "dashboard")


class Star:
    """A running `headgate up`, with all that it has printed in a file."""

    def __init__(self, arguments: list[str], log: Path, environ: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headgate", "up", *arguments],
                cwd=log.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environ},
            )

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def url(self, service: str) -> str:
        """Where a service answers; waits until it does."""
        pattern = re.compile(rf"{service} on (http://\S+)")
        assert wait_until(lambda: pattern.search(self.log()) is not None, within=20), self.log()
        match = pattern.search(self.log())
        assert match is not None
        return match[1]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def star(*arguments: str | Path, folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Star]:
    """Services that run while the block does."""
    started = Star([str(argument) for argument in arguments], folder / "up.log", environ or {})
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            try:
                started.process.wait(30)
            finally:
                started.process.kill()


@contextmanager
def live_results(folder: Path, *arguments: str | Path, **environ: str) -> Iterator[Star]:
    """The example, on ports of its own."""
    ports = {f"{service.upper()}_PORT": str(free_port()) for service in SERVICES}
    with star(LIVE_RESULTS, *arguments, folder=folder, environ={**ports, **environ}) as started:
        yield started
