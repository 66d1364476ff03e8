"""Start-up: what importing costs, when a gate is ready to serve, and what it weighs when idle."""

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.table import Row

ROUNDS = 5


def rows() -> list[Row]:
    """Seconds and megabytes, each beside a bare interpreter's."""
    bare = _median_seconds("pass")
    imported = _median_seconds("import headgate")
    runs = [_gate() for _ in range(ROUNDS)]
    ready, weight = (statistics.median(values) for values in zip(*runs, strict=True))
    return [
        Row("import headgate, s", "aim 0.4", imported - bare, f"beside a bare interpreter's {bare:.3f} s"),
        Row("headgate run until /health, s", "aim 1.0", ready, "one memory stream"),
        Row("idle gate, MB resident", "aim 80", weight, "one memory stream"),
    ]


def _median_seconds(code: str) -> float:
    return statistics.median(_seconds(code) for _ in range(ROUNDS))


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def _gate() -> tuple[float, float]:
    """Seconds until it answers, and its resident megabytes then."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "headgate.yaml"
        config.write_text("streams: {assets: {}}\n")
        began = time.perf_counter()
        gate = subprocess.Popen(
            [sys.executable, "-m", "headgate", "run", str(config), "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        try:
            url = _announced(gate)
            _await_health(url)
            return time.perf_counter() - began, resident(gate.pid)
        finally:
            gate.terminate()
            gate.communicate()


def _announced(gate: "subprocess.Popen[str]") -> str:
    assert gate.stderr is not None
    for line in gate.stderr:
        if " on http://" in line:
            return line.split(" on ")[1].strip()
    raise RuntimeError("the gate did not start")


def _await_health(url: str) -> None:
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except urllib.error.URLError:
            continue


def resident(pid: int) -> float:
    """The resident megabytes of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
