"""The ingest interface of a gate does what every server that ingests does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.bodies import BodiesContract
from tests.acceptance.ingest import IngestContract, Sender
from tests.gates.ingest import ingesting
from tests.services.postgres import PostgresCluster

pytestmark = pytest.mark.anyio


class TestOnSQLite(IngestContract, BodiesContract):
    @pytest.fixture
    async def sender(self, tmp_path: Path) -> AsyncIterator[Sender]:
        url = f"sqlite:///{tmp_path}/store.db"
        async with ingesting(url) as inside:
            yield Sender(inside.http, inside.serving.url, url)


class TestOnPostgreSQL(IngestContract, BodiesContract):
    @pytest.fixture
    async def sender(self, postgres: PostgresCluster) -> AsyncIterator[Sender]:
        url = postgres.create_database()
        async with ingesting(url) as inside:
            yield Sender(inside.http, inside.serving.url, url)
