"""Requests and replies: through nodes in the gate and in other processes, beside FastAPI that calls the function."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services.daemon import free_port

from bench.flood import flood
from bench.ingest_measure import measured_row
from bench.sse_servers import running
from bench.table import Row, interleaved

JSON, PATH = "application/json", "/quotes"
BODY = b'{"item":"bolt","quantity":3}'
COUNT, HEAVY_COUNT, IN_FLIGHT, ROUNDS = 6000, 300, 64, 3
HEAVY = 8000  # rounds of a hash: about ten milliseconds
_NODE = """
import hashlib
import msgspec
from headgate import node

class Inquiry(msgspec.Struct):
    item: str
    quantity: int = 1

class Quote(msgspec.Struct):
    item: str
    quantity: int
    price: float

@node(input="asked", output="told", stage="pricing")
{how} quote(inquiry: Inquiry) -> Quote:
    if {rounds}:
        hashlib.pbkdf2_hmac("sha256", inquiry.item.encode(), b"market", {rounds})
    return Quote(inquiry.item, inquiry.quantity, 0.12 * inquiry.quantity)
"""
_GATE = """
service: {{log: {{level: warning}}}}
streams: {{asked: {{}}, told: {{}}}}
runtime:
  discovery_modules: [pricing]
  bootstrap: {{mode: {mode}}}
  platform: {{process_groups: [{{name: pricing, stages: [pricing], workers: {workers}}}]}}
  web: {{interfaces: [{{kind: http, path: /quotes, request: asked, response: told}}]}}
"""


def rows() -> list[Row]:
    """A cheap function, and one that keeps a processor busy."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)

        def gate(label: str, mode: str, workers: int, how: str, rounds: int) -> int:
            return stack.enter_context(_gate(folder / label, mode, workers, how, rounds))

        def usual(*environ: str) -> int:
            return stack.enter_context(_usual(folder, environ))

        inline, across = gate("inline", "inline", 1, "async def", 0), gate("across", "process_supervisor", 1, "def", 0)
        one, two = (gate(f"heavy{n}", "process_supervisor", n, "def", HEAVY) for n in (1, 2))
        plain, pool, heavy_pool = usual(), usual("POOL=1"), usual("POOL=1", f"ROUNDS={HEAVY}")
        runs: dict[str, Callable[[], float]] = {
            "in the gate": lambda: _asked(inline),
            "in another process": lambda: _asked(across),
            "FastAPI": lambda: _asked(plain),
            "FastAPI and a pool": lambda: _asked(pool),
            "heavy, one worker": lambda: _asked(one, HEAVY_COUNT),
            "heavy, two workers": lambda: _asked(two, HEAVY_COUNT),
            "heavy, FastAPI and a pool": lambda: _asked(heavy_pool, HEAVY_COUNT),
        }
        rates = interleaved(runs, ROUNDS)
    return [
        measured_row("calls, node in the gate", "in the gate", "FastAPI", rates, "aim 3"),
        measured_row("calls, node in a worker", "in another process", "in the gate", rates, "aim 0.6"),
        measured_row("calls, node in a worker", "in another process", "FastAPI and a pool", rates, "aim 1"),
        measured_row("calls, 10 ms of work, two workers", "heavy, two workers", "heavy, one worker", rates, "aim 1.8"),
        measured_row("calls, 10 ms, one worker", "heavy, one worker", "heavy, FastAPI and a pool", rates, "aim 1"),
    ]


def _asked(port: int, count: int = COUNT) -> float:
    return flood(port, PATH, [BODY] * count, IN_FLIGHT, JSON)


@contextmanager
def _gate(folder: Path, mode: str, workers: int, how: str, rounds: int) -> Iterator[int]:
    folder.mkdir()
    (folder / "gate.yaml").write_text(_GATE.format(mode=mode, workers=workers))
    (folder / "pricing.py").write_text(_NODE.format(how=how, rounds=rounds))
    port = free_port()
    with running([sys.executable, "-m", "headgate", "run", "gate.yaml", "--port", str(port)], folder, port):
        yield port


@contextmanager
def _usual(folder: Path, environ: tuple[str, ...]) -> Iterator[int]:
    port, here = free_port(), Path(__file__).parent
    serve = ["uvicorn", "calls_usual:app", "--app-dir", str(here), "--port", str(port), "--log-level", "warning"]
    with running(["env", *environ, sys.executable, "-m", *serve], folder, port):
        yield port
