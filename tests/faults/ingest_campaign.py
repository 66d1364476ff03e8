"""Rows 6, 14 and 24: gates killed while they keep a stream, a database killed in a batch, and bad bodies."""

import gzip
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg

from tests.faults.gate_campaign import resident
from tests.faults.result import Result
from tests.gates.ingest import BASE, config, order
from tests.gates.process import GateProcess, gate_process
from tests.services.daemon import wait_until
from tests.services.postgres import PostgresCluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "tpch-ingest"
NOTE = """\
entity:
  name: Note
  fields: [{name: number, type: Integer}]
  persistence:
    database: {conformant_table: notes}
    primary_key: {name: id, type: Integer, autogenerate: true}
"""
FEED = """\
service: {log: {level: error}}
connections: {database: {url: "sqlite:///notes.db"}}
entities: note.yaml
streams: {raw: {transport: log, codec: text}}
runtime: {web: {interfaces: [{kind: ingest, path: /ingest, from: raw}]}}
"""


def row_6(factor: float) -> Result:
    """Gates killed between the database and the stream: a table without any key of its own has each message once."""
    kills, dice, published = max(5, round(200 * factor)), random.Random(6), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "note.yaml").write_text(NOTE)
        for _ in range(kills):
            with gate_process(FEED, folder) as gate, client_of(gate) as client:
                for _ in range(dice.randint(1, 4)):
                    lines = "\n".join(f"N|{number}" for number in range(published, published + 500))
                    answer = client.post("/streams/raw/messages", content=lines, headers={"Content-Type": "text/plain"})
                    published += answer.json()["published"]
                before = count(folder / "notes.db")
                wait_until(lambda before=before: count(folder / "notes.db") > before, within=5)
                time.sleep(dice.random() * 0.05)
                gate.kill()
        with gate_process(FEED, folder):
            wait_until(lambda: count(folder / "notes.db") >= published, within=30)
        with closing(sqlite3.connect(folder / "notes.db")) as file:
            [(rows, distinct)] = file.execute("SELECT count(*), count(DISTINCT number) FROM notes").fetchall()
    figures = f"{kills} kills, {published} published, {published - distinct} lost, {rows - distinct} doubled"
    return Result(6, "ingest from a stream", figures, passed=published == rows == distinct)


def count(path: Path) -> int:
    """How many notes there are so far."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=10)) as file:
        try:
            return int(file.execute("SELECT count(*) FROM notes").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def client_of(gate: GateProcess) -> httpx2.Client:
    return httpx2.Client(base_url=gate.url, trust_env=False, timeout=600)


def row_14(factor: float) -> Result:
    """A large batch with one line in a hundred bad, and a database that is killed in its midst."""
    with tempfile.TemporaryDirectory() as name, PostgresCluster(controllable=True) as cluster:
        folder, url = Path(name), cluster.create_database()
        body, bad, total = messages(folder, factor)
        limits = ", on_duplicate: error, max_errors: 1000000"
        with gate_process(config(url, interface=limits), folder) as gate, client_of(gate) as client:
            killed = client.post("/ingest/batch", content=cut(body, cluster), headers={"Idempotency-Key": "k"})
            cluster.start()
            wait_until(lambda: client.post("/ingest/message", content="#").status_code == 400, within=30)
            atomic = client.post("/ingest/batch?mode=atomic", content=body.read_bytes())
            none = rows(url)
            answer = client.post("/ingest/batch", content=body.read_bytes(), headers={"Idempotency-Key": "k"}).json()
        kept = rows(url)
    lines = [error["line_number"] for error in answer["errors"]]
    wrong = len(set(lines) ^ bad.keys()) + abs(kept - (total - len(bad)))
    figures = (
        f"{total} lines, {len(bad)} bad, killed: {killed.status_code}, atomic: {atomic.status_code} with {none} rows,"
    )
    passed = (killed.status_code, atomic.status_code, none, wrong) == (503, 400, 0, 0)
    return Result(14, "batch and a killed database", f"{figures} then {kept} rows, {wrong} wrong", passed=passed)


def messages(folder: Path, factor: float) -> tuple[Path, dict[int, str], int]:
    """Up to a million messages, one in a hundred bad: the file, what is wrong by line, and how many there are."""
    body, told = folder / "messages.txt", folder / "bad.txt"
    with body.open("wb") as out:
        script = [sys.executable, str(EXAMPLE / "make_messages.py"), "--scale", f"{0.12 * factor:.4f}", "--bad", "1"]
        subprocess.run([*script, "--bad-to", str(told)], check=True, stdout=out)
    bad = dict(line.split("\t") for line in told.read_text().splitlines())
    return body, {int(number): why for number, why in bad.items()}, body.read_bytes().count(b"\n")


def cut(body: Path, cluster: PostgresCluster) -> Iterator[bytes]:
    """A body in whose middle the database is killed."""
    data = body.read_bytes()
    middle = len(data) // 2
    yield data[:middle]
    cluster.kill()
    yield data[middle:]


def rows(url: str) -> int:
    """How many rows the tables have together."""
    tables = ["regions", "nations", "suppliers", "customers", "parts", "part_suppliers", "orders", "order_line_items"]
    with psycopg.connect(url) as connection:
        found = (connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() for table in tables)
        return sum(row[0] for row in found if row)


def row_24(factor: float) -> Result:
    """Bodies that nobody should take: refused soon, with little memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = config("sqlite:///store.db", interface=", policies: {request_size_bytes: 50000000}")
        with gate_process(text, folder) as gate, client_of(gate) as client:
            client.post("/ingest/batch", content=BASE)
            before, slowest, wrong = resident(gate.process.pid), 0.0, []
            for what, path, body, headers in bodies(bomb(factor)):
                took, status = sent(client, path, body, headers)
                slowest = max(slowest, took if what != "chunked" else 0)  # that is the time of sending it
                if not 400 <= status < 500:
                    wrong.append(f"{what}: {status}")
            grown = (resident(gate.process.pid) - before) / 1e6
            alive = client.post("/ingest/message", content=order(1)).status_code == 200
    figures = f"{grown:+.0f} MB, slowest {slowest * 1000:.0f} ms, {', '.join(wrong) or 'all refused'}"
    return Result(24, "bad bodies", figures, passed=alive and not wrong and grown < 20 and slowest < 0.2)


def bomb(factor: float) -> bytes:
    """Ten megabytes that unpack to a thousand times as much."""
    return gzip.compress(b"\n" * (round(10_000_000 * max(0.02, min(factor, 1))) * 1000), compresslevel=9)


def bodies(packed: bytes) -> list[tuple[str, str, bytes | Iterator[bytes], dict[str, str]]]:
    """What is sent: a name, the path, the body and its headers."""
    json = {"Content-Type": "application/json"}
    deep = b"[" * 100_000 + b"]" * 100_000
    return [
        ("length", "/ingest/batch", b"x" * 50_000_001, {}),
        ("chunked", "/ingest/batch", (b"#" * 65_000 + b"\n" for _ in range(800)), {}),
        ("message", "/ingest/message", b"x" * 2_000_000, {}),
        ("bomb", "/ingest/batch", packed, {"Content-Encoding": "gzip"}),
        ("bomb of a message", "/ingest/message", packed, {"Content-Encoding": "gzip"}),
        ("deep", "/ingest/batch", deep, json),
        ("number", "/ingest/message?entity=Region", b'{"region_key": ' + b"9" * 500_000 + b"}", json),
        ("nan", "/ingest/message?entity=Region", b'{"region_key": NaN, "name": "x"}', json),
        ("utf-8", "/ingest/message", order(1).encode() + b"\xff", {}),
        ("digits", "/ingest/message", order(1, price="1" * 60_000).encode(), {}),
    ]


def sent(client: httpx2.Client, path: str, body: bytes | Iterator[bytes], headers: dict[str, str]) -> tuple[float, int]:
    """How long the answer took, and its status; a body that is refused may be cut off."""
    began = time.monotonic()
    try:
        status = client.post(path, content=body, headers=headers).status_code
    except httpx2.WriteError:
        status = 413
    return time.monotonic() - began, status
