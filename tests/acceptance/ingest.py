"""What every server that ingests does, seen from outside: the gate's own interface and those that it writes."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest

from tests.gates.ingest import ITEM, ORDER, order
from tests.gates.web import raw


@dataclass
class Sender:
    """Someone who sends messages to a server, and may look into its database."""

    http: httpx2.AsyncClient
    url: str
    database: str

    async def post(self, path: str, body: str | bytes, **headers: str) -> httpx2.Response:
        """Send a body below `/ingest`. Header names are given with underscores."""
        named = {"Content-Type": "text/plain"} | {name.replace("_", "-"): value for name, value in headers.items()}
        content = body.encode() if isinstance(body, str) else body
        return await self.http.post(f"/ingest/{path}", content=content, headers=named)

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(await self.rows(table))

    async def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """What a table holds."""
        return await asyncio.to_thread(look, self.database, f"SELECT {columns} FROM {table} ORDER BY 1")


async def told(client: object) -> dict[str, object]:
    """The next event."""
    while True:
        async with asyncio.timeout(10):
            line = await client.reader.readline()  # type: ignore[attr-defined]
        if line.startswith(b"data: "):
            return dict(json.loads(line[6:]))


def look(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in a database."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return file.execute(query).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


class IngestContract:
    """The eight entities of TPC-H, over a database that holds what orders and their lines refer to (`BASE`)."""

    @pytest.fixture
    async def sender(self) -> Sender:
        """Someone who sends to a fresh server."""
        raise NotImplementedError

    async def test_one_message_is_kept(self, sender: Sender) -> None:
        response = await sender.post("message", ORDER)
        answer = response.json()
        assert response.status_code == 200
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("timestamp"))
        assert answer == {"status": "success", "entity": "Order", "id": 1}
        assert (await sender.post("message", f"{ITEM}\r\n")).json()["id"] == [1, 1]
        assert await sender.rows("orders", "order_key, comment") == [(1, "nstructions sleep furiously among")]

    async def test_one_message_is_refused(self, sender: Sender) -> None:
        bad = order(1, price="12x")
        response = await sender.post("message", bad)
        assert response.status_code == 400
        assert response.json() == {
            "status": "error",
            "message": "total_price must be a decimal number with at most 13 digits before its point and 2 after it,"
            ' not "12x"',
            "entity": "Order",
            "line": bad,
        }
        missing = (await sender.post("message", order(2, customer=999))).json()
        assert missing["message"] == "Foreign key violation: customer_key=999 not found"
        assert (missing["entity"], missing["line"]) == ("Order", order(2, customer=999))
        unknown = (await sender.post("message", "INVALID|MESSAGE")).json()
        assert unknown["entity"] is None
        several = await sender.post("message", f"{ORDER}\n{ITEM}")
        assert (several.status_code, "one line" in several.json()["message"]) == (400, True)
        for nothing in ("", "# a comment"):
            assert (await sender.post("message", nothing)).json()["message"] == (
                "a blank line or a comment is no message"
            )
        assert await sender.count("orders") == 0

    async def test_lines_that_lost_their_breaks_are_told_so(self, sender: Sender) -> None:
        response = await sender.post("batch", ORDER + ITEM)
        assert "were line breaks lost?" in response.json()["errors"][0]["message"]

    async def test_a_batch_tells_each_bad_line_and_keeps_the_others(self, sender: Sender) -> None:
        lines = [
            order(1),
            "# a comment",
            "",
            order(2, price="1e5"),
            order(3, customer=999),
            ITEM,
            ITEM.replace("L|1|", "L|999|"),
            ITEM.replace("L|1|1|", "L|1|2|") + "|",
            "Z|1",
            order(1, comment="again"),
            "LI|1|155190|7706|3|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22|DELIVER|TRUCK|x|",
        ]
        response = await sender.post("batch", "\r\n".join(lines))
        answer = response.json()
        assert response.status_code == 207
        assert [(error["line_number"], error["entity"], error["line"]) for error in answer["errors"]] == [
            (4, "Order", lines[3]),
            (5, "Order", lines[4]),
            (7, "OrderLineItem", lines[6]),
            (9, None, lines[8]),
        ]
        assert answer["errors"][2]["message"] == "Foreign key violation: order_key=999 not found"
        del answer["errors"], answer["duration_ms"]
        counts = {"processed": 9, "inserted": 4, "failed": 4, "duplicates": 1, "updated": 0}
        assert answer == {"status": "partial", **counts}
        assert await sender.count("orders") == 1
        assert [key for _, key, *_ in await sender.rows("order_line_items")] == [1, 2, 3]

    async def test_an_empty_batch_is_a_success(self, sender: Sender) -> None:
        response = await sender.post("batch", "# nothing\n\n")
        assert (response.status_code, response.json()["processed"]) == (200, 0)

    @pytest.mark.parametrize(
        ("policy", "first", "inserted", "duplicates", "updated", "failed"),
        [("skip", "old", 1, 1, 0, 0), ("update", "new", 1, 0, 1, 0), ("error", "old", 1, 0, 0, 1)],
    )
    async def test_duplicates_are_what_the_client_says(
        self, sender: Sender, policy: str, first: str, inserted: int, duplicates: int, updated: int, failed: int
    ) -> None:
        assert (await sender.post("message", order(1, comment="old"))).status_code == 200
        body = f"{order(1, comment='new')}\n{order(2)}"
        answer = (await sender.post(f"batch?on_duplicate={policy}", body)).json()
        facts = [answer[name] for name in ("inserted", "duplicates", "updated", "failed")]
        assert facts == [inserted, duplicates, updated, failed]
        assert await sender.rows("orders", "order_key, comment") == [(1, first), (2, "x")]
        single = await sender.post(f"message?on_duplicate={policy}", order(1, comment="newest"))
        told = {"skip": {"duplicate": True}, "update": {"updated": True}, "error": {}}[policy]
        assert single.status_code == (400 if failed else 200)
        assert {k: v for k, v in single.json().items() if k in ("duplicate", "updated")} == told
        if failed:
            assert single.json()["message"] == "Duplicate: order_key=1 exists already"

    async def test_all_or_nothing(self, sender: Sender) -> None:
        body = "\n".join([*map(order, range(1, 50)), order(50, customer=999), order(51, price="x"), order(52)])
        response = await sender.post("batch?mode=atomic", body)
        answer = response.json()
        assert (response.status_code, answer["status"], answer["inserted"], answer["failed"]) == (400, "error", 0, 2)
        assert [error["line_number"] for error in answer["errors"]] == [50, 51]
        assert "nothing was kept" in answer["message"]
        assert await sender.count("orders") == 0
        good = await sender.post("batch?mode=atomic", "\n".join(map(order, range(1, 50))))
        assert (good.status_code, good.json()["inserted"]) == (200, 49)
        assert await sender.count("orders") == 49

    async def test_all_or_nothing_is_of_a_long_body_too(self, sender: Sender) -> None:
        body = "\n".join([*map(order, range(1, 9000)), order(9000, customer=999)])
        response = await sender.post("batch?mode=atomic", body)
        assert (response.status_code, response.json()["failed"]) == (400, 1)
        assert await sender.count("orders") == 0

    async def test_messages_that_come_together_each_have_their_outcome(self, sender: Sender) -> None:
        bodies = [order(n, customer=100 if n % 7 else 999) if n % 5 else f"O|{n}|bad" for n in range(1, 201)]
        answers = await asyncio.gather(*(sender.post("message", body) for body in bodies))
        good = [n for n in range(1, 201) if n % 5 and n % 7]
        assert [answer.json().get("id") for answer in answers if answer.status_code == 200] == good
        for number, answer in enumerate(answers, 1):
            if answer.status_code != 200:
                assert answer.json()["line"] == bodies[number - 1]
        assert [row[0] for row in await sender.rows("orders")] == good

    async def test_a_stream_tells_of_each_line_while_it_comes(self, sender: Sender) -> None:
        async with raw(sender.url) as client:
            client.send(b"POST /ingest/stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            head = await client.head()
            assert head.status == 200
            assert head.all("content-type")[0].startswith("text/event-stream")
            for number in (1, 2):
                line = order(number, customer=100 if number == 1 else 999).encode() + b"\n"
                client.send(b"%x\r\n%b\r\n" % (len(line), line))
                event = await told(client)
                assert (event["processed"], event["entity"]) == (number, "Order")
                assert event["status"] == ("success" if number == 1 else "error")
                assert await sender.count("orders") == 1
            assert (event["message"], event["line_number"]) == ("Foreign key violation: customer_key=999 not found", 2)
            client.send(b"0\r\n\r\n")
            totals = await told(client)
            assert totals.pop("duration_ms") >= 0
            assert totals == {"total": 2, "inserted": 1, "failed": 1, "duplicates": 0, "updated": 0}

    async def test_who_goes_in_the_middle_of_a_line_leaves_no_part_of_it(self, sender: Sender) -> None:
        async with raw(sender.url) as client:
            client.send(b"POST /ingest/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            client.send(f"{order(1)}\n{order(2)}\n{order(3)[:-1]}".encode())
            await told(client)
            await told(client)
            client.leave()
        assert (await sender.post("message", order(9))).status_code == 200
        assert [row[0] for row in await sender.rows("orders")] == [1, 2, 9]

    async def test_text_comes_back_as_it_was(self, sender: Sender) -> None:
        comments = ["back\\slash \\N \\.", "quo'te\" ; DROP TABLE orders", "héé 😀", "tab\there"]
        body = "\n".join(order(n, comment=text) for n, text in enumerate(comments))
        assert (await sender.post("batch", body)).json()["inserted"] == 4
        assert [row[0] for row in await sender.rows("orders", "comment, order_key")] == sorted(comments)
        for bad in ("nul\0", "lone\rreturn"):
            assert (await sender.post("batch", order(9, comment=bad))).json()["failed"] == 1
        assert (await sender.post("batch", order(9).encode() + b"\xff")).json()["failed"] == 1

    @pytest.mark.parametrize("price", ["NaN", "1e5", "Infinity", "0x10", "1" * 20_000, "", "１"])
    async def test_no_number_is_guessed(self, sender: Sender, price: str) -> None:
        response = await sender.post("batch", f"{order(1, price=price)}\n{order(2)}")
        assert (response.json()["inserted"], response.json()["failed"]) == (1, 1)

    async def test_days_and_keys_that_there_are_not_are_refused(self, sender: Sender) -> None:
        bad = [order(1).replace("1996-01-02", day) for day in ("0000-01-01", "1997-02-29", "1996-13-01", "10000-01-01")]
        bad += [order(1).replace("O|1|", f"O|{key}|") for key in (2**63, -(2**63) - 1, "01", "1.0", "9" * 20)]
        answer = (await sender.post("batch", "\n".join(bad))).json()
        assert (answer["failed"], answer["inserted"]) == (len(bad), 0)

    async def test_stats_health_and_metrics_tell(self, sender: Sender) -> None:
        await sender.post("batch", f"{order(1)}\n{order(1)}\nZ|1\n{order(2, price='x')}")
        stats = (await sender.http.get("/stats")).json()
        assert stats["messages_by_entity"]["Order"] == 2
        assert (stats["total_messages_processed"], stats["errors"]) == (8, 2)
        assert {"uptime_seconds", "requests_per_second"} <= stats.keys()
        health = (await sender.http.get("/health")).json()
        assert (health["status"], health["database"]) == ("healthy", "connected")
        assert {"Order", "OrderLineItem"} <= set(health["entities"])
        metrics = (await sender.http.get("/metrics")).text
        assert 'ingestion_messages_total{entity="Order",status="success"} 1.0' in metrics
        assert 'ingestion_messages_total{entity="Order",status="duplicate"} 1.0' in metrics
        assert 'ingestion_messages_total{entity="unknown",status="error"} 1.0' in metrics
        assert 'ingestion_duration_seconds_bucket{le="0.001"}' in metrics
        described = (await sender.http.get("/openapi.json")).json()["paths"]
        assert {"/ingest/message", "/ingest/batch", "/ingest/stream", "/stats"} <= described.keys()
