"""A gate as a process: started by the command line, stopped by signals, killed without warning."""

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx2

from tests.services.daemon import wait_until

_ADDRESS = re.compile(r"on (https?://\S+)")


class GateProcess:
    """`headgate run CONFIG --port PORT` in a folder of the test's."""

    def __init__(
        self,
        config: Path,
        *,
        port: int = 0,
        environ: Mapping[str, str] | None = None,
        overlays: Sequence[Path] = (),
        module: str = "headgate",
        arguments: Sequence[str] = (),
        log: str = "gate.log",
        trust: str | None = None,
    ) -> None:
        self.config = config
        self._trust = ssl.create_default_context(cafile=trust) if trust else True
        self._arguments = arguments
        self._overlays = [option for overlay in overlays for option in ("-c", str(overlay))]
        self.port = port
        self._module = module
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = config.parent / log
        self.url = ""

    def start(self) -> Self:
        """Start it, and return when it answers."""
        command = [sys.executable, "-m", self._module, "run", str(self.config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._overlays, "--port", str(self.port), *self._arguments],
                cwd=self.config.parent,
                stderr=log,
                env=self._environ,
            )
        assert wait_until(self._answers, within=20), self.log()
        self.port = int(self.url.rpartition(":")[2])
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the gate ended: {self.log()}"
        if match := _ADDRESS.search(self.log()):
            self.url = match[1]
            return self.get("/health") == 200
        return False

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> int | None:
        """The status of a GET; None when nobody answers."""
        try:
            url = self.url if self._trust is True else self.url.replace("127.0.0.1", "localhost")
            given = {"headers": headers, "timeout": 2, "trust_env": False, "verify": self._trust}
            return httpx2.get(f"{url}{path}", **given).status_code  # type: ignore[arg-type]
        except httpx2.HTTPError:
            return None

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut of the process would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and give its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def gate_process(config: str, folder: Path, **options: object) -> Iterator[GateProcess]:
    """A started gate with this configuration; it is gone when the block is left."""
    path = folder / "headgate.yaml"
    path.write_text(config)
    gate = GateProcess(path, **options)  # type: ignore[arg-type]
    try:
        yield gate.start()
    finally:
        gate.close()


def headgate(
    *arguments: str,
    stdin: bytes = b"",
    cwd: Path | None = None,
    timeout: float = 60,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "headgate", *arguments]
    env = {**os.environ, **(environ or {})}
    return subprocess.run(command, check=False, input=stdin, capture_output=True, cwd=cwd, timeout=timeout, env=env)
