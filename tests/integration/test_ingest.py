"""An ingest interface from outside, over SQLite and over PostgreSQL."""

import asyncio
import gzip
import json
import sys
from pathlib import Path

import pytest

from headgate.spec.resolve import plan_text
from tests.acceptance.ingest import told
from tests.gates.ingest import BASE, ORDER, config, ingesting, order
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


async def test_entities_have_defaults_for_duplicates(url: str) -> None:
    async with ingesting(url, interface=", on_duplicate: {Order: update}") as sender:
        await sender.post("message", order(1))
        assert (await sender.post("message", order(1, comment="new"))).json()["updated"] is True
        assert (await sender.post("message", BASE.splitlines()[0])).json()["duplicate"] is True


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


async def test_progress_may_be_told_by_the_piece(url: str) -> None:
    async with ingesting(url) as sender:
        body = "\n".join([order(n) for n in range(1, 2000)] + ["Z|"])
        response = await sender.post("stream?progress=batch", body)
        events = [json.loads(line[6:]) for line in response.text.splitlines() if line]
        assert len(events) < 20
        assert [event["line_number"] for event in events if event.get("status") == "error"] == [2000]
        assert events[-1]["total"] == 2000
        assert events[-2] == {"processed": 2000, "inserted": 1999, "failed": 1, "duplicates": 0, "updated": 0}


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
        await served.gate.reload(plan_text(config(url, entities=entities)))
        at = sent
        await eventually(lambda: sent > at + 20)
        going = False
        await sending
        assert failed == []
        assert (await client.post("/ingest/message?entity=Note", json={"key": 0, "size": 5})).status_code == 200


async def test_another_database_takes_over_while_messages_come(url: str, tmp_path: Path) -> None:
    async with ingesting(url) as sender:
        going, failed, kept = True, [], 0

        async def send(first: int) -> None:
            nonlocal kept
            number = first
            while going:
                number += 1
                answer = await sender.post("message", f"R|{number}|x|")
                kept += answer.status_code == 200
                if answer.status_code not in (200, 503):
                    failed.append(answer.text)

        sending = [asyncio.create_task(send(first)) for first in (1000, 2000, 3000)]
        await eventually(lambda: kept > 30)
        other = f"sqlite:///{tmp_path}/other.db"
        await sender.serving.gate.reload(plan_text(config(other)))
        at = kept
        await eventually(lambda: kept > at + 30)
        going = False
        await asyncio.gather(*sending)
        assert failed == []
        assert (await sender.post("message", "R|1|x|")).status_code == 200
        assert await sender.count("regions") > 30


async def test_answers_of_yesterday_are_forgotten(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.app.ingest._FORGET_EVERY", 0.01)
    monkeypatch.setattr("headgate.runtime.ingest.answers.KEEP_SECONDS", -1.0)
    async with ingesting(url) as sender:
        async with asyncio.timeout(10):
            for number in range(1000):
                answer = await sender.post("message", order(number), Idempotency_Key="k")
                if answer.status_code == 200 and "idempotency-replayed" not in answer.headers and number:
                    break  # the key is free again


async def test_who_sends_without_reading_gets_fewer_events_and_the_same_totals(tmp_path: Path) -> None:
    async with ingesting(f"sqlite:///{tmp_path}/store.db") as sender, raw(sender.serving.url) as client:
        body = "\n".join(f"R|{number}|x|" for number in range(1, 300_001)).encode() + b"\nZ|"
        client.send(b"POST /ingest/stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 100_000):
            client.writer.write(body[at : at + 100_000])
            await client.writer.drain()
        stats = sender.serving.gate.ingest.stats
        async with asyncio.timeout(60):
            while not stats.messages["unknown", "error"]:
                await asyncio.sleep(0.05)
        events = []
        while "total" not in (event := await told(client)):
            events.append(event)
        assert (event["total"], event["inserted"], event["failed"]) == (300_001, 300_000, 1)
        assert 1000 < len(events) < 300_000
        places = [event["processed"] for event in events]
        assert places == sorted(places)
        assert places[-1] == 300_001
