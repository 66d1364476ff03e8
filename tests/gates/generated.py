"""A generated server as a process: written for the entities of TPC-H, started as its documentation says."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from headgate.core.table import Dialect
from headgate.generate.manifest import write
from headgate.generate.server import server_files
from tests.layouts import TPCH
from tests.services.daemon import free_port, wait_until


@dataclass(frozen=True)
class GeneratedServer:
    """A server that answers."""

    url: str
    pid: int


def written(folder: Path, dialect: Dialect) -> Path:
    """The folder of a server for this database."""
    write(folder, server_files(list(TPCH.values()), dialect, 8080), force=False)
    return folder


@contextmanager
def running(folder: Path, database: str, **environ: str) -> Iterator[GeneratedServer]:
    """`python main.py` with one worker, unless its environment says otherwise."""
    port = free_port()
    given = {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": "1", "DATABASE_URL": database, **environ}
    process = subprocess.Popen([sys.executable, "main.py"], cwd=folder, env={**os.environ, **given})
    address = f"http://127.0.0.1:{port}"
    try:
        assert wait_until(lambda: _answers(address) or process.poll() is not None, within=20)
        assert process.poll() is None
        yield GeneratedServer(address, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/health", trust_env=False, timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
