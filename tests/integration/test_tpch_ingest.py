"""The tpch-ingest example from outside: the lines of its README, and the messages that it makes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.gates.process import GateProcess
from tests.services.daemon import wait_until
from tests.services.postgres import PostgresCluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "tpch-ingest"
ORDER = "O|1|100|O|123.45|1996-01-02|5-LOW|Clerk#000000951|0|nstructions sleep furiously among"
LINE = "L|1|1|155190|7706|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22"
SHIPPED = 328  # messages in messages.txt


def made(*arguments: str) -> bytes:
    """What make_messages.py writes."""
    return subprocess.run(
        [sys.executable, EXAMPLE / "make_messages.py", *arguments], check=True, capture_output=True
    ).stdout


def running(folder: Path, environ: dict[str, str], *overlays: Path) -> Iterator[httpx2.Client]:
    """A client of the example, once its regions and nations are there."""
    (folder / "headgate.yaml").write_text((EXAMPLE / "headgate.yaml").read_text())
    for name in ("reference.txt", "entities"):
        (folder / name).symlink_to(EXAMPLE / name)
    gate = GateProcess(folder / "headgate.yaml", environ=environ, overlays=overlays)
    try:
        gate.start()
        with httpx2.Client(base_url=gate.url, trust_env=False, timeout=60) as client:
            reference = {"Region": 5, "Nation": 25}
            assert wait_until(lambda: client.get("/stats").json()["messages_by_entity"] == reference, within=10)
            yield client
        assert gate.stop() == 0
        assert "Traceback" not in gate.log()
    finally:
        gate.close()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[httpx2.Client]:
    yield from running(tmp_path, {})


@pytest.fixture
def on_postgresql(postgres: PostgresCluster, tmp_path: Path) -> Iterator[httpx2.Client]:
    yield from running(tmp_path, {"DATABASE_URL": postgres.create_database()}, EXAMPLE / "postgresql.yaml")


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def client(request: pytest.FixtureRequest) -> httpx2.Client:
    found: httpx2.Client = request.getfixturevalue(request.param)
    return found


def test_the_lines_of_the_readme_do_what_it_says(client: httpx2.Client) -> None:
    messages = (EXAMPLE / "messages.txt").read_bytes()
    first = client.post("/ingest/batch", content=messages)
    assert (first.status_code, first.json()["inserted"]) == (200, SHIPPED)
    assert (
        client.post("/ingest/message", content=LINE).json()["message"] == "Foreign key violation: order_key=1 not found"
    )
    order = client.post("/ingest/message", content=ORDER).json()
    assert (order["status"], order["entity"], order["id"]) == ("success", "Order", 1)
    assert client.post("/ingest/batch", content=messages).json()["duplicates"] == SHIPPED
    with client.stream("POST", "/ingest/stream", content=messages) as answer:
        *events, totals = answer.read().split(b"\n\n")[:-1]
    assert len(events) == SHIPPED
    assert b'"duplicates":328' in totals
    assert client.post("/ingest/message", content=LINE).json()["id"] == [1, 1]
    refused = client.post("/ingest/message", content=LINE.replace("L|1|", "L|999|"))
    assert (refused.status_code, refused.json()["entity"]) == (400, "OrderLineItem")


def test_the_bad_lines_that_are_made_are_those_that_are_refused(client: httpx2.Client, tmp_path: Path) -> None:
    told = tmp_path / "bad.tsv"
    answer = client.post("/ingest/batch", content=made("--scale", "0.002", "--bad", "8", "--bad-to", str(told))).json()
    bad = dict(line.split("\t") for line in told.read_text().splitlines())
    duplicates = list(bad.values()).count("duplicate")
    assert len(set(bad.values())) == 17
    assert [str(error["line_number"]) for error in answer["errors"]] == [n for n in bad if bad[n] != "duplicate"]
    assert answer["duplicates"] == 30 + duplicates  # regions and nations were there already
    assert answer["inserted"] == len(made("--scale", "0.002").splitlines()) - 30


def test_what_is_good_is_the_same_among_bad_lines(tmp_path: Path) -> None:
    told = tmp_path / "bad.tsv"
    mixed = made("--bad", "20", "--bad-to", str(told)).splitlines()
    bad = {int(line.partition("\t")[0]) for line in told.read_text().splitlines()}
    assert [line for number, line in enumerate(mixed, 1) if number not in bad] == made().splitlines()
    assert 0.19 < len(bad) / len(mixed) < 0.21


def test_only_some_entities_are_made() -> None:
    assert {line.partition(b"|")[0] for line in made("--only", "O,L").splitlines()} == {b"O", b"L"}
    assert made("--only", "LI", "--first-order", "7").startswith(b"LI|7|")
