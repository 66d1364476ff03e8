"""What every server that ingests does with the bodies and the parameters that there are beside plain lines."""

import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from backports import zstd

from tests.acceptance.ingest import Sender
from tests.gates.ingest import ITEM, order

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
REGION = {"region_key": 1, "name": "AMERICA"}


def named(key: object, **more: object) -> dict[str, object]:
    """A region, as a message of JSON that says whose it is."""
    return {"entity": "Region", "record": {**REGION, "region_key": key, **more}}


def ndjson(*items: object) -> str:
    return "\n".join(map(json.dumps, items))


class BodiesContract:
    """The same servers as those of `IngestContract`, which has the fixture `sender`, too."""

    remembers: ClassVar[bool] = True  # what was asked with an Idempotency-Key
    reads_zstd: ClassVar[bool] = True

    @pytest.fixture
    async def sender(self) -> Sender:
        """Someone who sends to a fresh server."""
        raise NotImplementedError

    async def test_a_message_may_be_json(self, sender: Sender) -> None:
        one = await sender.post("message", json.dumps(named(1, comment="ü | \\ \n")), Content_Type=JSON)
        assert (one.status_code, one.json()["entity"], one.json()["id"]) == (200, "Region", 1)
        other = await sender.post("message?entity=Region", json.dumps({**REGION, "region_key": 2}), Content_Type=JSON)
        assert other.json()["id"] == 2
        rows = await sender.rows("regions", "region_key, name, comment")
        assert rows[1:] == [(1, "AMERICA", "ü | \\ \n"), (2, "AMERICA", None)]

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            (named("1"), "region_key"),
            (named(1.0), "region_key"),
            (named(True), "region_key"),
            (named(2**63), "region_key"),
            (named(None), "region_key"),
            (named(1, name=5), "name"),
            (named(1, name=""), "name"),
            (named(1, name="nul\0"), "name"),
            (named(1, name="half\ud800"), ""),
            (named(1, more=5), "more"),
            ({"entity": "Nobody", "record": REGION}, "Nobody"),
            ({"record": REGION}, "entity"),
            ({"entity": "Region", "record": [1]}, "an object"),
            ({"entity": [], "record": {}}, ""),
            (5, "entity"),
        ],
    )
    async def test_json_that_is_no_record_is_refused(self, sender: Sender, body: object, word: str) -> None:
        response = await sender.post("message", json.dumps(body), Content_Type=JSON)
        answer = response.json()
        assert (response.status_code, answer["status"]) == (400, "error")
        assert word in answer["message"].replace("a JSON object", "an object")
        assert await sender.count("regions") == 1

    @pytest.mark.parametrize(
        "body", ["{", "nan", '{"a": NaN}', "[" * 30_000, '{"entity": 1' + "0" * 30_000 + "}", b"\xff"]
    )
    async def test_what_is_no_json_is_refused_at_once(self, sender: Sender, body: str | bytes) -> None:
        for path in ("message", "batch"):
            began = time.monotonic()
            response = await sender.post(path, body, Content_Type=JSON)
            assert (response.status_code, response.json()["status"]) == (400, "error")
            assert time.monotonic() - began < 1

    async def test_a_value_with_delimiters_stays_where_it_is(self, sender: Sender) -> None:
        """Text that looks like cells of a line is text."""
        for key, name in enumerate(["x|y", "x|", "|x", "\\", "\\|", "x\\n", "#", "x\ty"], 1):
            response = await sender.post("message", json.dumps(named(key, name=name)), Content_Type=JSON)
            assert response.status_code == 200
            assert await sender.rows(f"regions WHERE region_key = {key}", "name, comment") == [(name, None)]

    async def test_a_batch_may_be_an_array(self, sender: Sender) -> None:
        items = [named(1), named("x"), 5, named(2), named(1)]
        response = await sender.post("batch", json.dumps(items), Content_Type=JSON)
        answer = response.json()
        assert (response.status_code, answer["processed"], answer["inserted"], answer["duplicates"]) == (207, 5, 2, 1)
        assert [(error["line_number"], error["entity"]) for error in answer["errors"]] == [(2, "Region"), (3, None)]
        assert await sender.count("regions") == 3

    async def test_a_batch_may_be_lines_of_json(self, sender: Sender) -> None:
        body = ndjson(named(1), named(2)) + "\r\n\r\nno json\n" + ndjson(named(3), named(4, name=None))
        answer = (await sender.post("batch", body, Content_Type=NDJSON)).json()
        assert (answer["processed"], answer["inserted"]) == (5, 3)
        assert [error["line_number"] for error in answer["errors"]] == [4, 6]
        assert answer["errors"][0]["line"] == "no json"
        records = ndjson({**REGION, "region_key": 5}, {"region_key": 6})
        answer = (await sender.post("batch?entity=Region", records, Content_Type=NDJSON)).json()
        assert (answer["inserted"], answer["errors"][0]["line_number"]) == (1, 2)

    async def test_what_the_database_refuses_of_json_is_told_by_its_line(self, sender: Sender) -> None:
        record = {"nation_key": 1, "name": "X", "region_key": 9}
        items = [{"entity": "Nation", "record": {**record, "region_key": key, "nation_key": key}} for key in (0, 9)]
        answer = (await sender.post("batch", ndjson(named(1), *items), Content_Type=NDJSON)).json()
        assert (answer["inserted"], answer["duplicates"], answer["failed"]) == (1, 1, 1)
        assert answer["errors"][0]["line_number"] == 3
        assert answer["errors"][0]["message"] == "Foreign key violation: region_key=9 not found"

    async def test_a_batch_may_be_csv(self, sender: Sender) -> None:
        body = 'name,region_key,comment\nASIA,2,\n"two\nlines | and ""quotes""",3,x\nshort,4\nx,y,z\nEUROPE,5,\\\n'
        answer = (await sender.post("batch?entity=Region", body, Content_Type=CSV)).json()
        assert (answer["inserted"], [error["line_number"] for error in answer["errors"]]) == (3, [5, 6])
        rows = await sender.rows("regions", "region_key, name, comment")
        assert rows[1:] == [(2, "ASIA", None), (3, 'two\nlines | and "quotes"', "x"), (5, "EUROPE", "\\")]
        assert (await sender.post("batch", body, Content_Type=CSV)).status_code == 422
        answer = (await sender.post("batch?entity=Region", "nobody\n1\n", Content_Type=CSV)).json()
        assert "nobody" in answer["errors"][0]["message"]

    @pytest.mark.parametrize(("media", "parameters"), [(NDJSON, ""), (CSV, "?entity=Region")])
    async def test_a_stream_may_have_other_forms(self, sender: Sender, media: str, parameters: str) -> None:
        body = ndjson(named(1), named("x")) if media == NDJSON else "region_key,name\n1,A\nx,B\n"
        response = await sender.post(f"stream{parameters}", body, Content_Type=media)
        events = [json.loads(line[6:]) for line in response.text.splitlines() if line]
        assert [event.get("status") for event in events] == ["success", "error", None]
        assert events[1]["line_number"] == (2 if media == NDJSON else 3)
        assert (events[-1]["total"], events[-1]["inserted"]) == (2, 1)

    async def test_compressed_bodies_are_unpacked(self, sender: Sender) -> None:
        body = "\n".join(order(n, comment=str(n * 7919)) for n in range(1, 3000)).encode()
        packed = gzip.compress(body[:50_000]) + gzip.compress(body[50_000:])
        assert (await sender.post("batch", packed, Content_Encoding="gzip")).json()["inserted"] == 2999
        one = gzip.compress(order(9999).encode())
        assert (await sender.post("message", one, Content_Encoding="GZIP")).status_code == 200
        lines = gzip.compress(f"{order(5000)}\n{order(5001)}\n".encode())
        assert '"total":2' in (await sender.post("stream", lines, Content_Encoding="gzip")).text.replace(" ", "")
        assert (await sender.post("batch", order(6000), Content_Encoding="identity")).status_code == 200

    @pytest.mark.parametrize("path", ["batch", "batch?mode=atomic", "message"])
    async def test_what_cannot_be_unpacked_is_refused(self, sender: Sender, path: str) -> None:
        packed = gzip.compress("\n".join(map(order, range(1, 1000))).encode())
        for bad in (packed[: len(packed) // 2], packed[:-4], b"nonsense"):
            response = await sender.post(path, bad, Content_Encoding="gzip")
            assert (response.status_code, response.json()["status"]) == (400, "error")
        assert (await sender.post(path, b"x", Content_Encoding="br")).status_code == 415

    @pytest.mark.parametrize("path", ["batch", "batch?mode=atomic", "message", "batch?entity=Region"])
    async def test_a_bomb_is_refused_before_it_goes_off(self, sender: Sender, path: str) -> None:
        bomb = gzip.compress(b"#" * 100_000_000)
        media = JSON if "entity" in path else "text/plain"
        began = time.monotonic()
        response = await sender.post(path, bomb, Content_Encoding="gzip", Content_Type=media)
        assert (response.status_code, response.json()["status"]) == (413, "error")
        assert time.monotonic() - began < 1

    async def test_zstd_is_read_or_refused(self, sender: Sender) -> None:
        response = await sender.post("batch", zstd.compress(order(1).encode()), Content_Encoding="zstd")
        assert response.status_code == (200 if self.reads_zstd else 415)

    async def test_who_asks_again_with_a_key_gets_the_first_answer(self, sender: Sender) -> None:
        if not self.remembers:
            pytest.skip("this server has no memory of answers")
        first, again = [await sender.post("batch", f"{order(1)}\nZ", Idempotency_Key="k") for _ in range(2)]
        assert (first.status_code, again.content) == (207, first.content)
        assert again.headers["idempotency-replayed"] == "true"

    async def test_a_dry_run_keeps_nothing(self, sender: Sender) -> None:
        body = f"{order(1)}\n{order(2, customer=9)}\n{ITEM}"
        answer = (await sender.post("batch?dry_run=true", body)).json()
        assert (answer["inserted"], answer["failed"], answer["dry_run"]) == (2, 1, True)
        assert not (await sender.http.get("/stats")).json()["messages_by_entity"].get("Order")
        one = await sender.post("message?dry_run=true", order(1))
        assert (one.status_code, one.json()["id"], one.json()["dry_run"]) == (200, 1, True)
        assert (await sender.post("message?dry_run=true", order(1, customer=9))).status_code == 400
        assert await sender.count("orders") == 0
        assert "dry_run" not in (await sender.post("batch?dry_run=false", order(1))).json()
        assert await sender.count("orders") == 1

    async def test_progress_may_be_told_by_the_piece(self, sender: Sender) -> None:
        body = "\n".join([order(n) for n in range(1, 2000)] + ["Z|"])
        response = await sender.post("stream?progress=batch", body)
        events = [json.loads(line[6:]) for line in response.text.splitlines() if line]
        assert len(events) < 100
        assert [event["line_number"] for event in events if event.get("status") == "error"] == [2000]
        assert events[-2] == {"processed": 2000, "inserted": 1999, "failed": 1, "duplicates": 0, "updated": 0}
        assert events[-1]["total"] == 2000

    @pytest.mark.parametrize(
        ("path", "word"),
        [
            ("batch?mod=atomic", "mod"),
            ("message?mod=atomic", "mod"),
            ("stream?mod=atomic", "mod"),
            ("batch?mode=some", "best_effort"),
            ("batch?on_duplicate=", "skip"),
            ("batch?dry_run=perhaps", "true"),
            ("stream?progress=none", "line"),
            ("message?entity=Nobody", "Nobody"),
        ],
    )
    async def test_a_parameter_that_nobody_knows_is_refused(self, sender: Sender, path: str, word: str) -> None:
        response = await sender.post(path, order(1))
        assert (response.status_code, response.json()["status"]) == (422, "error")
        assert word in response.json()["message"]
        assert response.json().keys() >= {"status", "message", "entity", "line"}
        assert await sender.count("orders") == 0

    @pytest.mark.parametrize("path", ["message", "batch", "stream"])
    async def test_a_type_that_nobody_reads_is_refused(self, sender: Sender, path: str) -> None:
        response = await sender.post(path, order(1), Content_Type="image/png")
        assert (response.status_code, response.json()["status"]) == (415, "error")
        assert "image/png" in response.json()["message"]

    async def test_a_body_may_come_in_any_pieces(self, sender: Sender) -> None:
        body = f"\ufeff{order(1, comment='é😀')}|\r\n\r\n# é\r\n{order(2, comment='é😀')}".encode()

        async def bytewise() -> AsyncIterator[bytes]:
            for at in range(len(body)):
                yield body[at : at + 1]

        response = await sender.http.post("/ingest/batch", content=bytewise())
        assert (response.status_code, response.json()["inserted"]) == (200, 2)
        assert await sender.rows("orders", "order_key, comment") == [(1, "é😀"), (2, "é😀")]

    async def test_a_line_without_end_is_an_error_of_its_own(self, sender: Sender) -> None:
        answer = (await sender.post("batch", f"{order(1)}\n{'x' * 70_000}\n{order(2)}\n")).json()
        assert (answer["inserted"], [error["line_number"] for error in answer["errors"]]) == (2, [2])
        response = await sender.post("message", "x" * 70_000)
        assert response.status_code in (400, 413)
