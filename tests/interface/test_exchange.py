"""The exchange: requests read with limits, responses sent with care for clients that leave."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from headgate.errors import BadRequest, BodyTooLarge
from headgate.interface import exchange
from headgate.interface.exchange import ClientGone, Event, Request, Response, json, refusal, respond

GONE = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


def asked(
    *events: Event,
    method: str = "POST",
    query: bytes = b"",
    limit: int = 10,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> Request:
    """A request whose client sends these events and then stays."""
    coming = iter(events)

    async def receive() -> Event:
        event = next(coming, None)
        return event if event is not None else await asyncio.get_running_loop().create_future()

    scope = {"type": "http", "method": method, "path": "/x", "query_string": query, "headers": list(headers)}
    return Request(scope, receive, limit=limit, id="1")


class Out:
    """What was sent."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def body(self) -> bytes:
        return b"".join(event.get("body", b"") for event in self.events)


async def test_a_body_in_parts_is_one_body() -> None:
    assert await asked(part(b"ab", more=True), part(b"", more=True), part(b"c")).body() == b"abc"


async def test_a_body_is_refused_by_its_declared_length_before_anything_is_received() -> None:
    with pytest.raises(BodyTooLarge, match="limit of 10 bytes"):
        await asked(headers=[(b"content-length", b"11")]).body()


async def test_a_body_is_refused_at_the_part_that_passes_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        await asked(part(b"x" * 10, more=True), part(b"x", more=True)).body()


async def test_a_client_that_leaves_before_its_body_is_over_is_gone() -> None:
    with pytest.raises(ClientGone):
        await asked(part(b"ab", more=True), GONE).body()


def test_a_header_is_found_by_its_lower_case_name() -> None:
    request = asked(headers=[(b"accept", b"caf\xe9")])
    assert (request.header("accept"), request.header("other")) == ("café", None)


def test_a_query_is_read() -> None:
    request = asked(query=b"a=1&b=x%20y&c=%C3%A9&d=")
    assert request.query == {"a": ["1"], "b": ["x y"], "c": ["é"], "d": [""]}
    assert (request.parameter("b"), request.parameter("none")) == ("x y", None)


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="'a' is given 2 times"):
        asked(query=b"a=1&a=2").parameter("a")


@pytest.mark.parametrize("query", [b"a=%ff", b"\xff", b"&".join(b"%d=" % n for n in range(101))])
def test_a_query_that_is_no_text_or_endless_is_refused(query: bytes) -> None:
    with pytest.raises(BadRequest, match="query string"):
        _ = asked(query=query).query


async def test_work_is_finished_while_the_client_stays() -> None:
    assert await asked(part(b"")).unless_gone(asyncio.sleep(0, "done")) == "done"


async def test_work_is_cancelled_when_the_client_leaves() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    with pytest.raises(ClientGone):
        await asked(part(b""), GONE).unless_gone(work())
    assert cancelled.is_set()


async def test_what_work_raises_comes_through() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await asked().unless_gone(work())


async def test_cancelling_the_wait_cancels_the_work() -> None:
    work = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(asked().unless_gone(work))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert work.cancelled()


async def test_a_response_says_its_length_and_type() -> None:
    out = Out()
    await respond(asked(), Response(201, b"abc", "text/plain", {"X-A": "1"}), out)
    [start, body] = out.events
    assert start["status"] == 201
    assert start["headers"] == [(b"x-a", b"1"), (b"content-type", b"text/plain"), (b"content-length", b"3")]
    assert body["body"] == b"abc"


async def test_nothing_is_said_of_a_body_that_is_not_there() -> None:
    out = Out()
    await respond(asked(), Response(204), out)
    assert out.events == [
        {"type": "http.response.start", "status": 204, "headers": []},
        {"type": "http.response.body", "body": b""},
    ]


async def test_a_response_is_settled_as_delivered_when_the_client_has_it() -> None:
    assert await settled(asked(part(b""))) == [True]


async def test_a_response_is_settled_as_lost_when_the_client_left_before_it() -> None:
    # No error comes from sending to a client that is gone: a server only finds out by looking.
    assert await settled(asked(part(b""), GONE)) == [False]


async def test_a_response_is_settled_as_lost_when_only_its_head_was_asked_for() -> None:
    assert await settled(asked(method="HEAD")) == [False]


async def test_a_response_is_settled_as_lost_when_sending_fails() -> None:
    async def broken(_: Event) -> None:
        raise OSError("broken pipe")

    assert await settled(asked(), broken) == [False]


async def settled(request: Request, send: Any = None) -> list[bool]:
    told: list[bool] = []

    async def settle(delivered: bool) -> None:
        told.append(delivered)

    await asyncio.gather(respond(request, Response(200, b"abc", settle=settle), send or Out()), return_exceptions=True)
    return told


async def test_a_body_that_is_refused_is_seen_out_after_the_answer() -> None:
    out = Out()
    request = asked(part(b"x" * 100, more=True), part(b"x", more=True), part(b""))
    await respond(request, Response(413, b"no", unread=True), out)
    assert [event.get("body") for event in out.events] == [None, b"no", b""]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(request.receive(), 0.01)  # nothing is left of it


async def test_a_body_without_end_is_seen_out_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_LINGER_BYTES", 1000)
    taken: list[int] = []

    async def receive() -> Event:
        taken.append(100)
        return part(b"x" * 100, more=True)

    request = Request(asked().scope, receive, limit=10, id="1")
    await respond(request, Response(413, unread=True), Out())
    assert sum(taken) == 1000


async def test_a_body_that_drips_is_seen_out_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_LINGER_SECONDS", 0.01)
    out = Out()
    await respond(asked(part(b"x", more=True)), Response(413, unread=True), out)
    assert out.events[-1] == {"type": "http.response.body", "body": b""}


def test_a_json_response_takes_headers_by_python_names() -> None:
    response = json({"a": 1}, 202, Retry_After="3")
    assert (response.status, response.body, response.headers) == (202, b'{"a":1}', {"Retry-After": "3"})


def test_a_refusal_has_an_error_and_a_type() -> None:
    response = refusal(404, "not here", "not_found", None)
    assert (response.status, response.body) == (404, b'{"error":"not here","type":"not_found"}')


def test_a_refusal_for_too_much_adds_the_code() -> None:
    assert (
        refusal(429, "full", "stream_full", "*/*").body == b'{"error":"full","type":"stream_full","code":"stream_full"}'
    )


def test_a_refusal_is_a_problem_document_on_request() -> None:
    response = refusal(429, "full", "stream_full", "text/html, application/problem+json")
    assert response.content_type == "application/problem+json"
    assert response.body == (
        b'{"type":"urn:headgate:error:stream_full","title":"full","status":429,"code":"stream_full"}'
    )
