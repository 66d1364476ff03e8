"""The start-up budget, without a clock: what is heavy is not imported before somebody needs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("pydantic", "fastapi", "starlette", "uvicorn", "httpx2", "confluent_kafka", "psycopg", "prometheus_client")
IMPORTED = "import json, sys; print(json.dumps(sorted(sys.modules)))"
SERVED = """
import asyncio, json, sys, threading, urllib.request
from headgate.app.serve import run
from headgate.spec.resolve import plan_text

def ready(gate, url):
    threading.Thread(target=ask, args=(url,)).start()

def ask(url):
    path = f"{url}/streams/notes/messages"
    urllib.request.urlopen(urllib.request.Request(path, b"1", {"Content-Type": "application/json"})).read()
    for place in (path, f"{path}?wait=1", f"{url}/health", f"{url}/ready", f"{url}/info", f"{url}/streams"):
        assert urllib.request.urlopen(place).status == 200, place
    print(json.dumps(sorted(sys.modules)), flush=True)
    import os, signal
    os.kill(os.getpid(), signal.SIGTERM)

run(lambda: plan_text("{service: {port: 0}, streams: {notes: {}}}"), ready)
"""


def modules(code: str) -> set[str]:
    """What a fresh interpreter has imported when the code is done."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=30)
    return {name.partition(".")[0] for name in json.loads(done.stdout)} | set(json.loads(done.stdout))


def test_importing_headgate_imports_nothing_heavy() -> None:
    imported = modules(f"import headgate; {IMPORTED}")
    assert "headgate" in imported
    assert imported.isdisjoint(HEAVY)
    assert "headgate.app.gate" not in imported


def test_a_module_of_nodes_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "from headgate import Message, node\n@node(input='a')\ndef f(x): pass\n"
    assert modules(f"{code}\n{IMPORTED}").isdisjoint(HEAVY)


def test_the_command_line_imports_nothing_heavy_before_it_knows_the_command() -> None:
    assert modules(f"import headgate.cli; {IMPORTED}").isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["headgate.client", "headgate.testing"])
def test_a_part_brings_no_server(module: str) -> None:
    assert modules(f"import {module}; {IMPORTED}").isdisjoint({"fastapi", "uvicorn", "pydantic"})


def test_a_gate_that_served_its_streams_has_not_imported_fastapi() -> None:
    imported = modules(SERVED)
    assert "uvicorn" in imported
    assert imported.isdisjoint({"fastapi", "starlette", "confluent_kafka", "psycopg", "prometheus_client", "httpx2"})
