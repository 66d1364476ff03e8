"""An ingest interface from outside, over SQLite and over PostgreSQL."""

import asyncio
import gzip
import json
import re
import sys
from pathlib import Path

import pytest

from tests.gates.ingest import BASE, ITEM, ORDER, config, ingesting, order
from tests.gates.inside import serving
from tests.gates.web import client_of, eventually, raw
from tests.services.postgres import PostgresCluster

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.create_database()


async def test_one_message_is_kept(url: str) -> None:
    async with ingesting(url) as sender:
        response = await sender.post("message", ORDER)
        answer = response.json()
        assert response.status_code == 200
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("timestamp"))
        assert answer == {"status": "success", "entity": "Order", "id": 1}
        assert (await sender.post("message", f"{ITEM}\r\n")).json()["id"] == [1, 1]
        assert await sender.rows("orders", "order_key, comment") == [(1, "nstructions sleep furiously among")]


async def test_one_message_is_refused(url: str) -> None:
    async with ingesting(url) as sender:
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
        assert (several.status_code, "send them to /batch" in several.json()["message"]) == (400, True)
        for nothing in ("", "# a comment"):
            assert (await sender.post("message", nothing)).json()["message"] == (
                "a blank line or a comment is no message"
            )
        assert await sender.count("orders") == 0


async def test_lines_that_lost_their_breaks_are_told_so(url: str) -> None:
    async with ingesting(url) as sender:
        response = await sender.post("batch", ORDER + ITEM)
        assert "were line breaks lost?" in response.json()["errors"][0]["message"]


async def test_a_batch_tells_each_bad_line_and_keeps_the_others(url: str) -> None:
    async with ingesting(url) as sender:
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


async def test_an_empty_batch_is_a_success(url: str) -> None:
    async with ingesting(url) as sender:
        response = await sender.post("batch", "# nothing\n\n")
        assert (response.status_code, response.json()["processed"]) == (200, 0)


@pytest.mark.parametrize(
    ("policy", "first", "inserted", "duplicates", "updated", "failed"),
    [("skip", "old", 1, 1, 0, 0), ("update", "new", 1, 0, 1, 0), ("error", "old", 1, 0, 0, 1)],
)
async def test_duplicates_are_what_the_client_says(
    url: str, policy: str, first: str, inserted: int, duplicates: int, updated: int, failed: int
) -> None:
    async with ingesting(url) as sender:
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


async def test_entities_have_defaults_for_duplicates(url: str) -> None:
    async with ingesting(url, interface=", on_duplicate: {Order: update}") as sender:
        await sender.post("message", order(1))
        assert (await sender.post("message", order(1, comment="new"))).json()["updated"] is True
        assert (await sender.post("message", BASE.splitlines()[0])).json()["duplicate"] is True


async def test_all_or_nothing(url: str) -> None:
    async with ingesting(url) as sender:
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


async def test_a_dry_run_says_what_would_be(url: str) -> None:
    async with ingesting(url) as sender:
        answer = (await sender.post("batch?dry_run=true", f"{order(1)}\n{order(2, customer=9)}")).json()
        assert (answer["inserted"], answer["failed"], answer["dry_run"]) == (1, 1, True)
        assert (await sender.post("message?dry_run=true", order(1))).json()["dry_run"] is True
        assert await sender.count("orders") == 0


async def test_who_asks_again_gets_the_first_answer_also_from_another_gate(url: str) -> None:
    async with ingesting(url) as sender:
        body = f"{order(1)}\n{order(2, price='x')}"
        first = await sender.post("batch", body, Idempotency_Key="k1")
        single = await sender.post("message", order(5), Idempotency_Key="k2")
        failed = await sender.post("batch?mode=atomic", body, Idempotency_Key="k3")
        assert [r.status_code for r in (first, single, failed)] == [207, 200, 400]
    async with ingesting(url, base="") as sender:
        again = await sender.post("batch", body, Idempotency_Key="k1")
        assert (again.status_code, again.content) == (207, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert (await sender.post("message", order(5), Idempotency_Key="k2")).content == single.content
        assert (await sender.post("batch?mode=atomic", body, Idempotency_Key="k3")).content == failed.content
        other = await sender.post("batch", order(9), Idempotency_Key="k1")
        assert (other.status_code, other.json()["type"]) == (422, "idempotency_key_reused")
        assert (await sender.post("message", order(6), Idempotency_Key="k2")).status_code == 422
        assert [row[0] for row in await sender.rows("orders")] == [1, 5]


async def test_the_same_key_many_times_at_once_is_one_row(url: str) -> None:
    async with ingesting(url) as sender:
        answers = await asyncio.gather(
            *(sender.post("message", order(1, comment=f"{0}"), Idempotency_Key="k") for _ in range(50))
        )
        assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
        assert "duplicate" not in answers[0].json()
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49


async def test_messages_that_come_together_each_have_their_outcome(url: str) -> None:
    async with ingesting(url) as sender:
        bodies = [order(n, customer=100 if n % 7 else 999) if n % 5 else f"O|{n}|bad" for n in range(1, 201)]
        answers = await asyncio.gather(*(sender.post("message", body) for body in bodies))
        good = [n for n in range(1, 201) if n % 5 and n % 7]
        assert [answer.json().get("id") for answer in answers if answer.status_code == 200] == good
        for number, answer in enumerate(answers, 1):
            if answer.status_code != 200:
                assert answer.json()["line"] == bodies[number - 1]
        assert [row[0] for row in await sender.rows("orders")] == good


async def test_a_stream_tells_of_each_line_while_it_comes(url: str) -> None:
    async with ingesting(url) as sender, raw(sender.serving.url) as client:
        client.send(b"POST /ingest/stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        head = await client.head()
        assert (head.status, head.all("content-type")) == (200, ["text/event-stream"])
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


async def told(client: object) -> dict[str, object]:
    """The next event."""
    while True:
        async with asyncio.timeout(10):
            line = await client.reader.readline()  # type: ignore[attr-defined]
        if line.startswith(b"data: "):
            return dict(json.loads(line[6:]))


async def test_progress_may_be_told_by_the_piece(url: str) -> None:
    async with ingesting(url) as sender:
        body = "\n".join([order(n) for n in range(1, 2000)] + ["Z|"])
        response = await sender.post("stream?progress=batch", body)
        events = [json.loads(line[6:]) for line in response.text.splitlines() if line]
        assert len(events) < 20
        assert [event["line_number"] for event in events if event.get("status") == "error"] == [2000]
        assert events[-1]["total"] == 2000
        assert events[-2] == {"processed": 2000, "inserted": 1999, "failed": 1, "duplicates": 0, "updated": 0}


async def test_who_goes_in_the_middle_of_a_line_leaves_no_part_of_it(url: str) -> None:
    async with ingesting(url) as sender, raw(sender.serving.url) as client:
        client.send(b"POST /ingest/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        client.send(f"{order(1)}\n{order(2)}\n{order(3)[:-1]}".encode())
        await told(client)
        await told(client)
        client.leave()
        await eventually(lambda: sender.serving.gate.app._stats.in_flight == 0)
        assert [row[0] for row in await sender.rows("orders")] == [1, 2]


async def test_json_and_ndjson_are_records(url: str) -> None:
    async with ingesting(url) as sender:
        record = {"region_key": 1, "name": "AMERICA"}
        one = await sender.post("message", json.dumps({"entity": "Region", "record": record}), Content_Type=JSON)
        assert one.json()["id"] == 1
        named = await sender.post("message?entity=Region", json.dumps({**record, "region_key": 2}), Content_Type=JSON)
        assert named.json()["id"] == 2
        many = [{**record, "region_key": 3}, {"region_key": "x"}, 5, {**record, "region_key": 4}]
        array = await sender.post("batch?entity=Region", json.dumps(many), Content_Type=JSON)
        assert [error["line_number"] for error in array.json()["errors"]] == [2, 3]
        lines = "\n".join(json.dumps({"entity": "Region", "record": {**record, "region_key": n}}) for n in (5, 6))
        ndjson = await sender.post("batch", f"{lines}\n\nno json\n", Content_Type="application/x-ndjson")
        assert (ndjson.json()["inserted"], ndjson.json()["errors"][0]["line_number"]) == (2, 4)
        assert [row[0] for row in await sender.rows("regions")] == [0, 1, 2, 3, 4, 5, 6]


JSON = "application/json"


async def test_csv_has_a_header(url: str) -> None:
    async with ingesting(url) as sender:
        body = 'name,region_key,comment\nASIA,2,\n"two\nlines | and ""quotes""",3,x\nshort,4\n'
        answer = (await sender.post("batch?entity=Region", body, Content_Type="text/csv")).json()
        assert (answer["inserted"], [error["line_number"] for error in answer["errors"]]) == (2, [5])
        rows = await sender.rows("regions", "region_key, name, comment")
        assert rows[1:] == [(2, "ASIA", None), (3, 'two\nlines | and "quotes"', "x")]
        assert (await sender.post("batch", body, Content_Type="text/csv")).status_code == 422


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_compressed_bodies_are_unpacked(url: str, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zstd.compress
    async with ingesting(url) as sender:
        body = "\n".join(order(n, comment=str(n * 7919)) for n in range(1, 3000)).encode()
        packed = pack(body[:50_000]) + pack(body[50_000:])
        assert (await sender.post("batch", packed, Content_Encoding=encoding)).json()["inserted"] == 2999
        assert (await sender.post("message", pack(order(9999).encode()), Content_Encoding=encoding)).status_code == 200
        for bad in (packed[:-10], b"nonsense", pack(body)[: len(pack(body)) // 2]):
            response = await sender.post("batch?mode=atomic", bad, Content_Encoding=encoding)
            assert (response.status_code, response.json()["status"]) == (400, "error")
        assert (await sender.post("batch", b"x", Content_Encoding="br")).status_code == 415


async def test_a_body_that_grows_beyond_reason_is_refused(url: str) -> None:
    async with ingesting(url) as sender:
        bomb = gzip.compress(b"\n" * 50_000_000)
        response = await sender.post("batch", bomb, Content_Encoding="gzip")
        assert (response.status_code, response.json()["type"]) == (413, "body_too_large")


async def test_limits_hold(url: str) -> None:
    limits = ", max_batch_items: 3, line_bytes: 200, max_errors: 1, policies: {request_size_bytes: 1000}"
    async with ingesting(url, interface=limits, base="") as sender:
        assert (await sender.post("batch", "\n".join(BASE.splitlines()[:3]))).status_code == 200
        assert (await sender.post("batch", "\n".join(map(order, range(4))))).status_code == 413
        long = await sender.post("batch", f"{order(1)}\n{'x' * 300}\nZ|1")
        assert (long.json()["errors"][0]["line_number"], long.json()["errors_omitted"]) == (2, 1)
        assert (await sender.post("batch", "#" * 2000)).status_code == 413
        assert [row[0] for row in await sender.rows("orders")] == [1]


async def test_what_nobody_knows_is_refused_by_name(url: str) -> None:
    async with ingesting(url, base="") as sender:
        for path, word in (
            ("batch?mod=atomic", "'mod'"),
            ("batch?mode=some", "best_effort"),
            ("message?entity=X", "X"),
        ):
            response = await sender.post(path, ORDER)
            assert (response.status_code, word in response.json()["message"]) == (422, True)
        assert (await sender.post("batch", ORDER, Content_Type="image/png")).status_code == 415
        assert (await sender.post("stream?mode=atomic", ORDER)).status_code == 422
        problem = await sender.post("batch?mod=1", ORDER, Accept="application/problem+json")
        assert problem.headers["content-type"] == "application/problem+json"


async def test_text_comes_back_as_it_was(url: str) -> None:
    async with ingesting(url) as sender:
        comments = ["back\\slash \\N \\.", "quo'te\" ; DROP TABLE orders", "héé 😀", "tab\there"]
        body = "\n".join(order(n, comment=text) for n, text in enumerate(comments))
        assert (await sender.post("batch", body)).json()["inserted"] == 4
        assert [row[0] for row in await sender.rows("orders", "comment, order_key")] == sorted(comments)
        for bad in ("nul\0", "lone\rreturn"):
            assert (await sender.post("batch", order(9, comment=bad))).json()["failed"] == 1
        assert (await sender.post("batch", order(9).encode() + b"\xff")).json()["failed"] == 1


async def test_stats_health_and_metrics_tell(url: str) -> None:
    async with ingesting(url) as sender:
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


async def test_files_are_loaded_at_the_start(url: str, tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text(BASE)
    for _ in range(2):
        async with ingesting(url, base="", interface=f", load: {tmp_path}/base.txt") as sender:
            stats = sender.serving.gate.ingest.stats
            await eventually(lambda stats=stats: stats.messages.total() == 6)
            assert await sender.count("regions") == 1


async def test_tables_grow_while_requests_go_on(url: str, tmp_path: Path) -> None:
    entities = tmp_path / "entities"
    entities.mkdir()
    layout = "entity: {{name: Note, fields: [{{name: key, type: Integer}}{more}], persistence: {{database: {{conformant_table: notes, conformant_id_column: key}}}}}}\n"  # noqa: E501
    (entities / "note.yaml").write_text(layout.format(more=""))
    async with serving(config(url, entities=entities)) as served, client_of(served.url) as client:
        going, failed, sent = True, [], 0

        async def send() -> None:
            nonlocal sent
            while going:
                sent += 1
                answer = await client.post("/ingest/message?entity=Note", json={"key": sent})
                if answer.status_code != 200:
                    failed.append(answer.text)

        sending = asyncio.create_task(send())
        await eventually(lambda: sent > 20)
        (entities / "note.yaml").write_text(layout.format(more=", {name: size, type: Integer, nullable: true}"))
        from headgate.spec.resolve import plan_text

        await served.gate.reload(plan_text(config(url, entities=entities)))
        at = sent
        await eventually(lambda: sent > at + 20)
        going = False
        await sending
        assert failed == []
        assert (await client.post("/ingest/message?entity=Note", json={"key": 0, "size": 5})).status_code == 200
