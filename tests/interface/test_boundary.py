"""The boundary: what every request and every error has, whichever route it goes to."""

import asyncio
import json
import logging
import re

import pytest

from headgate.errors import StreamFull
from headgate.interface.exchange import Request, Response
from headgate.interface.route import Route, Router
from tests.gates.web import eventually, raw, web

NOTES = "streams: {notes: {codec: json}}"
SMALL = "{service: {limits: {request_size_bytes: 1000}}, streams: {notes: {codec: raw}}}"
PROBLEM = {"Accept": "application/problem+json"}


async def test_a_request_gets_an_id() -> None:
    async with web(NOTES) as (client, _):
        ids = [(await client.get("/health")).headers["x-request-id"] for _ in range(2)]
        assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
        assert ids[0] != ids[1]


async def test_a_request_keeps_the_id_that_it_brings() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/health", headers={"X-Request-Id": "order-7:a.b_C"})
        assert answer.headers["x-request-id"] == "order-7:a.b_C"


@pytest.mark.parametrize("given", ["", "a b", "a;b", "<script>", "é", "x" * 129])
async def test_an_id_that_could_do_harm_is_replaced(given: str) -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/health", headers={"X-Request-Id": given.encode("latin-1")})
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/health", "/nothing", "/openapi.json", "/streams/notes/messages?wait=x"])
async def test_every_answer_carries_one_id_wherever_it_comes_from(path: str) -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get(path, headers={"X-Request-Id": "mine"})
        assert answer.headers.get_list("x-request-id") == ["mine"]


async def test_an_error_says_what_is_wrong_and_its_code() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/streams/notes/messages?wait=long")
        assert answer.status_code == 400
        assert answer.json() == {"error": "wait must be a number, not 'long'", "type": "bad_request"}


@pytest.mark.parametrize("path", ["/streams/notes/messages?wait=long", "/nothing/here"])
async def test_an_error_is_a_problem_document_for_who_accepts_one(path: str) -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get(path, headers=PROBLEM)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["type"] == f"urn:headgate:error:{problem['code']}"
        assert problem["title"]


async def test_nothing_is_served_under_an_unknown_path() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/streams/note/messages")
        assert answer.status_code == 404
        assert answer.json() == {"error": "nothing is served at /streams/note/messages", "type": "not_found"}


async def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.delete("/streams/notes/messages")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"
        assert answer.json() == {"error": "DELETE is not one of GET, POST, HEAD, OPTIONS", "type": "method_not_allowed"}


async def test_options_tells_the_methods_of_a_path() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.options("/health")
        assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, OPTIONS", b"")


async def test_head_answers_as_get_does_without_the_body() -> None:
    async with web(NOTES) as (client, served), raw(served.url) as connection:
        size = (await client.get("/streams")).headers["content-length"]
        connection.send(b"HEAD /streams HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = await connection.head()
        assert (head.status, head.all("content-length")) == (200, [size])
        assert await connection.rest() == b""


async def test_a_body_that_is_declared_too_large_is_refused_before_it_is_read() -> None:
    async with web(SMALL) as (_, served), raw(served.url) as connection:
        connection.send(b"POST /streams/notes/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
        answer = await connection.answer()
        assert answer.status == 413
        assert answer.all("connection") == ["close"]
        assert json.loads(answer.body) == {
            "error": "the body is over the limit of 1000 bytes;"
            " send less at once, or raise service.limits.request_size_bytes",
            "type": "body_too_large",
        }


async def test_a_body_without_a_length_is_refused_where_it_passes_the_limit() -> None:
    async with web(SMALL) as (_, served), raw(served.url) as connection:
        connection.send(b"POST /streams/notes/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):  # and never the end of it
            connection.send(b"190\r\n" + b"x" * 400 + b"\r\n")
        assert (await connection.answer()).status == 413


async def test_a_client_that_sends_far_too_much_always_learns_why() -> None:
    # A connection that is closed on unread bytes is reset, and the reset overtakes the answer.
    async with web(SMALL) as (client, served):
        bodies = [b"x" * 2_000_000] * 30
        answers = [await client.post("/streams/notes/messages", content=body) for body in bodies]
        assert {answer.status_code for answer in answers} == {413}
        served.gate.drain()
        answers = [await client.post("/streams/notes/messages", content=body) for body in bodies]
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["connection"] for answer in answers} == {"close"}


async def test_a_body_as_large_as_the_limit_is_taken() -> None:
    async with web(SMALL) as (client, _):
        answer = await client.post("/streams/notes/messages", content=b"x" * 1000)
        assert (answer.status_code, answer.json()["published"]) == (200, 1)


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind() -> None:
    async with web(NOTES) as (_, served):
        async with raw(served.url) as connection:
            connection.send(b"POST /streams/notes/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[1,")
            await eventually(lambda: stats(served).in_flight == 1)
            connection.leave()
        await eventually(lambda: stats(served).in_flight == 0)
        assert stats(served).requests == {("/streams/notes/messages", "POST", 499): 1}
        assert served.gate.streams["notes"].stats.published == 0


async def test_a_client_that_leaves_while_it_waits_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with web(NOTES) as (_, served):
        async with raw(served.url) as connection:
            connection.send(b"GET /streams/notes/messages?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: served.gate.streams["notes"].readers)
            connection.leave()
        await eventually(lambda: stats(served).in_flight == 0)
        assert stats(served).requests == {("/streams/notes/messages", "GET", 499): 1}
    assert not caplog.records


async def test_a_full_stream_is_429_with_its_code_and_when_to_come_again() -> None:
    config = "streams: {notes: {codec: raw, delivery: queue, overflow: reject, retain: {messages: 1}}}"
    async with web(config) as (client, _):
        answers = [await client.post("/streams/notes/messages", content=b"x") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert answers[1].headers["retry-after"] == "1"
        assert answers[1].json() == {
            "error": "stream 'notes' has room for 0 of 1 messages; read it, or raise retain.messages",
            "type": "stream_full",
            "code": "stream_full",
        }


async def test_a_crash_is_500_and_its_traceback_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with web(NOTES) as (client, served):
        add_route(served, "/crash", crash)
        answer = await client.get("/crash", headers={"X-Request-Id": "one"})
        assert answer.status_code == 500
        assert answer.json() == {"error": "the gate failed on this request; its log has the reason", "type": "internal"}
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert (record.path, record.request_id) == ("/crash", "one")  # type: ignore[attr-defined]
        assert "secret in the code" in str(record.exc_info)
        assert (await client.get("/health")).status_code == 200


async def crash(_: Request) -> Response:
    raise ZeroDivisionError("secret in the code")


async def test_a_gate_that_shuts_down_sends_everybody_elsewhere() -> None:
    async with web(NOTES) as (client, served):
        served.gate.drain()
        answer = await client.get("/streams/notes/messages")
        assert (answer.status_code, answer.json()["type"]) == (503, "draining")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")


async def test_a_gate_that_shuts_down_still_tells_of_itself() -> None:
    async with web(NOTES) as (client, served):
        served.gate.drain()
        assert (await client.get("/health")).status_code == 200
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["issues"]) == (503, "the gate is shutting down")


async def test_errors_are_counted_by_their_code() -> None:
    async with web(NOTES) as (client, served):
        add_route(served, "/full", full)
        add_route(served, "/crash", crash)
        for path in ("/full", "/full", "/crash", "/streams/notes/messages?after=x"):
            await client.get(path)
        assert stats(served).errors == {"stream_full": 2, "internal": 1, "position": 1}


async def full(_: Request) -> Response:
    raise StreamFull("no room")


async def test_requests_are_counted_in_words_that_no_client_chooses() -> None:
    async with web(NOTES) as (client, served):
        await asyncio.gather(*(client.request(f"{verb}", f"/{verb}/{n}") for n in range(20) for verb in ("GET", "PUT")))
        await client.request("PROPFIND", "/streams/notes/messages")
        await client.get("/health")
        assert stats(served).requests == {
            ("other", "GET", 404): 20,
            ("other", "PUT", 404): 20,
            ("/streams/notes/messages", "other", 405): 1,
            ("/health", "GET", 200): 1,
        }


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/9.9",
        b"BREW /pot HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET http://other/health HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET //health HTTP/1.1",
        b"GET /%00%0d%0aX:1 HTTP/1.1",
        b"GET /health%3f HTTP/1.1",
    ],
)
async def test_an_odd_request_gets_an_answer_and_the_gate_lives(request_line: bytes) -> None:
    async with web(NOTES) as (client, served):
        async with raw(served.url) as connection:
            connection.send(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await connection.answer()
            assert answer.status < 500
            assert "x" not in [name for name, _ in answer.headers]
        assert (await client.get("/health")).status_code == 200


async def test_requests_that_come_before_their_answers_are_answered_in_order() -> None:
    async with web(NOTES) as (_, served), raw(served.url) as connection:
        paths = [b"/health", b"/nothing", b"/ready", b"/streams/notes/messages"]
        connection.send(b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths))
        assert [(await connection.answer()).status for _ in paths] == [200, 404, 200, 204]


def stats(served):  # type: ignore[no-untyped-def]
    return served.gate._web


def add_route(served, path, endpoint) -> None:  # type: ignore[no-untyped-def]
    router = served.gate.app.router
    served.gate.app.router = Router([*router.routes, Route("GET", path, endpoint, "", "test")])
