"""The servers that the ingest bench asks: the gate, the usual design, and one that does nothing."""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import httpx2
from tests.services.daemon import ServiceError, free_port, wait_until

from bench.flood import pour, send_file
from bench.ingest_data import EXAMPLE
from bench.sse_servers import running
from headgate.core.table import Dialect
from headgate.generate.manifest import write
from headgate.generate.server import server_files
from headgate.spec.entities.resolve import load_entities
from headgate.spec.tree import Mark

_CHUNK = 256 * 1024
_LINE_ITEM = EXAMPLE / "entities" / "order-line-item.yaml"


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def batch(self, file: Path, parameters: str = "") -> bytes:
        """Have the messages of a file kept; the answer, with its head."""
        answer = send_file(self.port, f"/ingest/batch{parameters}", file)
        if answer[:12] not in (b"HTTP/1.1 200", b"HTTP/1.1 207"):
            raise RuntimeError(answer[:2000].decode(errors="replace"))
        return answer

    def pour(self, path: str, chunks: Iterable[bytes]) -> None:
        """Have all messages of a body kept that is sent while the answer comes."""
        end = pour(self.port, path, chunks)
        if not re.search(rb'"failed": ?0\b', end):
            raise RuntimeError(end.decode(errors="replace"))

    def stream(self, file: Path) -> None:
        """Have the messages of a file kept as they come, with an event for each."""
        with file.open("rb") as body:
            self.pour("/ingest/stream", iter(lambda: body.read(_CHUNK), b""))

    def peak_megabytes(self) -> float:
        """The most memory that it ever had."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024


@contextmanager
def gate(parent: Path, database: str, *, foreign_keys: bool) -> Iterator[Server]:
    """Ours, as `headgate run` starts it: with all tables and their keys, or with the lines of orders alone."""
    folder = Path(mkdtemp(dir=parent))
    entities = EXAMPLE / "entities" if foreign_keys else _lines_alone(folder)
    (folder / "headgate.yaml").write_text(_GATE.format(database=database, entities=entities))
    port = free_port()
    with running([sys.executable, "-m", "headgate", "run", "headgate.yaml", "--port", str(port)], folder, port) as pid:
        if not wait_until(lambda: _is_ready(port), within=20):  # it listens before its tables are there
            raise ServiceError("the gate did not become ready")
        yield Server(port, pid)


def _lines_alone(folder: Path) -> Path:
    """The entity of the lines of orders without its foreign keys."""
    entities = folder / "entities"
    entities.mkdir()
    (entities / _LINE_ITEM.name).write_text(_LINE_ITEM.read_text().partition("      foreign_keys:")[0])
    return entities


@contextmanager
def generated(parent: Path, database: str) -> Iterator[Server]:
    """What `headgate generate-ingestion` writes for the lines of orders, as one process like the gate."""
    folder = Path(mkdtemp(dir=parent))
    found, _ = load_entities([(_lines_alone(folder), Mark("bench"))])
    dialect = Dialect.SQLITE if database.startswith("sqlite") else Dialect.POSTGRESQL
    write(folder, server_files(found, dialect, 8080), force=False)
    port = free_port()
    environ = [f"DATABASE_URL={database}", "HOST=127.0.0.1", f"PORT={port}", "WORKERS=1", "MAX_BATCH_ITEMS=1000000"]
    with running(["env", *environ, sys.executable, "main.py"], folder, port) as pid:
        yield Server(port, pid)


@contextmanager
def usual(parent: Path, database: str) -> Iterator[Server]:
    """FastAPI, pydantic and SQLAlchemy, behind the same server, loop and parser as ours."""
    url = database.replace("postgresql://", "postgresql+psycopg://")
    with _uvicorn(parent, "ingest_seed:app", f"DATABASE_URL={url}") as server:
        yield server


@contextmanager
def nothing(parent: Path) -> Iterator[Server]:
    """An ASGI app that reads and answers."""
    with _uvicorn(parent, "ingest_nothing:app") as server:
        yield server


@contextmanager
def _uvicorn(parent: Path, app: str, *environ: str) -> Iterator[Server]:
    folder = Path(mkdtemp(dir=parent))
    port = free_port()
    serve = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--log-level", "warning", "--no-access-log", "--port", str(port), "--app-dir", str(Path(__file__).parent)]
    with running(["env", *environ, *serve, *quiet, app], folder, port) as pid:
        yield Server(port, pid)


def _is_ready(port: int) -> bool:
    return httpx2.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 200


_GATE = """
connections: {{database: {{url: "{database}"}}}}
entities: {entities}
runtime: {{web: {{interfaces: [{{kind: ingest, path: /ingest}}]}}}}
"""
