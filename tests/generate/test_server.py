"""The server that is written for given entities: it does what the gate's own interface does, and reads well."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.core.table import Dialect
from tests.acceptance.ingest import IngestContract, Sender
from tests.gates.generated import running, written
from tests.gates.ingest import BASE, order
from tests.gates.web import client_of
from tests.services.postgres import PostgresCluster

pytestmark = pytest.mark.anyio
BIN = Path(sys.executable).parent


@asynccontextmanager
async def sending(folder: Path, url: str, **environ: str) -> AsyncIterator[Sender]:
    with running(folder, url, **environ) as server:
        async with client_of(server.url) as client:
            sender = Sender(client, server.url, url)
            assert (await sender.post("batch", BASE)).status_code == 200
            yield sender


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A server for each database, written once."""
    return {dialect.value: written(tmp_path_factory.mktemp(dialect.value), dialect) for dialect in Dialect}


class TestOnSQLite(IngestContract):
    @pytest.fixture
    async def sender(self, folders: dict[str, Path], tmp_path: Path) -> AsyncIterator[Sender]:
        async with sending(folders["sqlite"], f"sqlite:///{tmp_path}/store.db") as sender:
            yield sender


class TestOnPostgreSQL(IngestContract):
    @pytest.fixture
    async def sender(self, folders: dict[str, Path], postgres: PostgresCluster) -> AsyncIterator[Sender]:
        async with sending(folders["postgresql"], postgres.create_database()) as sender:
            yield sender


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_it_is_formatted_linted_and_typed(folders: dict[str, Path], dialect: str, tmp_path: Path) -> None:
    rules = ["--isolated", "--no-cache"]
    for command in (
        [BIN / "ruff", "format", "--check", *rules, "."],
        [BIN / "ruff", "check", *rules, "--select", "E4,E7,E9,F,B,UP,SIM,RET,PIE", "."],
        [BIN / "mypy", "--strict", f"--cache-dir={tmp_path}", "main.py"],
    ):
        done = subprocess.run(command, check=False, cwd=folders[dialect], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


async def test_keys_and_limits_hold(folders: dict[str, Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with running(folders["sqlite"], url, API_KEYS="one,two", RATE_LIMIT="6/minute", MAX_BATCH_ITEMS="3") as server:
        async with client_of(server.url) as client:
            sender = Sender(client, server.url, url)
            for headers in ({}, {"X_API_Key": "three"}):
                refused = await sender.post("batch", BASE, **headers)
                assert (refused.status_code, refused.json()["status"]) == (401, "error")
            good = {"Authorization": "Bearer two"}
            assert (await sender.post("batch", BASE, **good)).status_code == 413
            assert (await sender.post("batch", "#\n" * 8000, **good)).status_code == 413
            for number in range(4):
                answer = await sender.post("message", f"R|{number}|x|", X_API_Key="one")
                assert answer.status_code == 200
            limited = await sender.post("message", "R|9|x|", X_API_Key="one")
            assert (limited.status_code, int(limited.headers["retry-after"]) > 0) == (429, True)
            assert (await client.get("/health")).status_code == 200


async def test_there_are_no_keys_and_no_limit_when_nobody_sets_any(folders: dict[str, Path], tmp_path: Path) -> None:
    async with sending(folders["sqlite"], f"sqlite:///{tmp_path}/store.db", API_KEYS="", RATE_LIMIT="") as sender:
        answers = [await sender.post("message", order(number)) for number in range(150)]
        assert {answer.status_code for answer in answers} == {200}


def test_a_limit_that_nobody_can_read_is_no_server(folders: dict[str, Path], tmp_path: Path) -> None:
    given = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/store.db", "RATE_LIMIT": "many"}
    command = [sys.executable, "-c", "import main"]
    done = subprocess.run(command, check=False, cwd=folders["sqlite"], env=given, capture_output=True, text=True)
    assert done.returncode == 1
    assert "RATE_LIMIT must look like 100/minute, not 'many'" in done.stderr


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_several_workers_share_a_database(
    folders: dict[str, Path], dialect: str, tmp_path: Path, postgres: PostgresCluster
) -> None:
    url = f"sqlite:///{tmp_path}/store.db" if dialect == "sqlite" else postgres.create_database()
    async with sending(folders[dialect], url, WORKERS="3") as sender:
        answers = await asyncio.gather(*(sender.post("message", order(number)) for number in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert await sender.count("orders") == 100


async def test_its_script_runs(folders: dict[str, Path], tmp_path: Path) -> None:
    async with sending(folders["sqlite"], f"sqlite:///{tmp_path}/store.db") as sender:
        script = folders["sqlite"] / "test_ingestion.sh"
        done = await asyncio.to_thread(subprocess.run, [script, sender.url], check=True, capture_output=True, text=True)
        assert '"status":"error"' in done.stdout
        assert "total_messages_processed" in done.stdout


async def test_more_lines_than_a_batch_may_have_come_as_a_stream(folders: dict[str, Path], tmp_path: Path) -> None:
    async with sending(folders["sqlite"], f"sqlite:///{tmp_path}/store.db") as sender:
        body = "\n".join(order(n) for n in range(20_000))
        assert (await sender.post("batch", body)).status_code == 413
        response = await sender.post("stream", body)
        assert '"total": 20000' in response.text.splitlines()[-2]
        assert await sender.count("orders") == 20_000
