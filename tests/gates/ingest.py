"""A gate with an ingest interface over a database of the test's, and someone who sends to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.gates.inside import Serving, serving
from tests.gates.web import client_of
from tests.layouts import EXAMPLE

BASE = """\
R|0|AFRICA|lar deposits
N|0|ALGERIA|0|
C|100|Customer#000000100|fptUABXcmkC5Wx|0|20-749-445-4907|9889.89|FURNITURE|
P|155190|slate seashell|Manufacturer#4|Brand#44|PROMO BRUSHED NICKEL|9|JUMBO JAR|1245.19|re the
S|7706|Supplier#000007706|BlHq75VoMNCoU380|0|17-779-299-1839|0.07|
PS|155190|7706|3325|771.64|
"""
ORDER = "O|1|100|O|123.45|1996-01-02|5-LOW|Clerk#000000951|0|nstructions sleep furiously among"
ITEM = "L|1|1|155190|7706|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22"


def config(url: str, *, entities: Path = EXAMPLE, interface: str = "", more: str = "") -> str:
    """A configuration with one ingest interface."""
    return f"""\
service: {{log: {{level: critical}}}}
connections:
  database: {{url: "{url}"}}
entities: {entities}
runtime:
  web:
    interfaces:
      - {{kind: ingest, path: /ingest{interface}}}
{more}
"""


def order(key: int, *, customer: int = 100, price: str = "123.45", comment: str = "x") -> str:
    """An order."""
    return f"O|{key}|{customer}|O|{price}|1996-01-02|5-LOW|Clerk#1|0|{comment}"


@dataclass
class Sender:
    """Someone who sends messages, and may look into the database."""

    http: httpx2.AsyncClient
    serving: Serving

    async def post(self, path: str, body: str | bytes, **headers: str) -> httpx2.Response:
        """Send a body below the interface's path. Header names are given with underscores."""
        named = {"Content-Type": "text/plain"} | {name.replace("_", "-"): value for name, value in headers.items()}
        content = body.encode() if isinstance(body, str) else body
        return await self.http.post(f"/ingest/{path}", content=content, headers=named)

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(await self.rows(table))

    async def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """What a table holds."""
        database = self.serving.gate.ingest.database
        assert database is not None
        async with database.session() as session:
            connection: Any = session._connection  # type: ignore[attr-defined]
            return list(connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall())


@asynccontextmanager
async def ingesting(url: str, *, base: str = BASE, log: Path | None = None, **given: Any) -> AsyncIterator[Sender]:
    """A gate that has the rows that orders and their lines refer to."""
    async with serving(config(url, **given), log=log) as served, client_of(served.url) as client:
        sender = Sender(client, served)
        if base:
            response = await sender.post("batch", base)
            assert response.status_code == 200, response.text
        yield sender
