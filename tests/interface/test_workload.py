"""The workload: what a gate holds of its clients is bounded, and who is refused is told so before it sent much."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from headgate.errors import Overloaded
from headgate.interface.workload import Workload
from tests.gates.web import eventually, raw, web

SMALL = "service: {limits: {pending_requests: 3, pending_bytes: 1000}}\nstreams: {notes: {codec: text}}"
PATH = "/streams/notes/messages"


def head(length: int) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n".encode()


def test_so_many_requests_and_so_many_bytes_and_no_more() -> None:
    work = Workload(most_requests=2, most_bytes=100)
    work.begin(60)
    with pytest.raises(Overloaded):
        work.begin(41)
    work.begin(40)
    with pytest.raises(Overloaded, match="2 requests"):
        work.begin(0)
    with pytest.raises(Overloaded):
        work.grow(1)
    work.end(60)
    work.end(40)
    assert (work.requests, work.bytes) == (0, 0)


def test_a_single_request_may_have_any_size() -> None:
    work = Workload(most_bytes=100)
    work.begin(1000)
    work.grow(1000)
    assert work.bytes == 2000


async def test_a_gate_that_is_full_says_503_and_when_to_come_again_and_works_on_afterwards() -> None:
    async with web(SMALL) as (client, served), AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(raw(served.url)) for _ in range(3)]
        for connection in connections:
            connection.send(head(5) + b"ab")
        await eventually(lambda: served.gate.app.workload.requests == 3)
        refused = await client.post(PATH, content=b"x", headers={"Content-Type": "text/plain"})
        assert (refused.status_code, refused.json()["type"], refused.headers["retry-after"]) == (503, "overloaded", "1")
        assert (await client.get("/ready")).status_code == 200
        for connection in connections:
            connection.send(b"cde")
            assert (await connection.answer()).status == 200
        answer = await client.post(PATH, content=b"x", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 200
        assert (served.gate.app.workload.requests, served.gate.app.workload.bytes) == (0, 0)


async def test_bytes_count_as_they_are_declared_and_as_they_come() -> None:
    async with web(SMALL) as (client, served), raw(served.url) as declared:
        declared.send(head(900) + b"x")
        await eventually(lambda: served.gate.app.workload.bytes == 900)
        assert (await client.post(PATH, content=b"x" * 101)).status_code == 503

        async def pieces():  # type: ignore[no-untyped-def]
            for _ in range(30):
                yield b"x" * 10
                await asyncio.sleep(0)

        assert (await client.post(PATH, content=pieces())).status_code == 503
        assert (await client.post(PATH, content=b"x" * 100)).status_code == 200


async def test_who_leaves_in_mid_body_leaves_nothing() -> None:
    async with web(SMALL) as (_, served):
        for _ in range(20):
            async with raw(served.url) as connection:
                connection.send(head(900) + b"x")
                await eventually(lambda: served.gate.app.workload.bytes == 900)
                connection.leave()
            await eventually(lambda: served.gate.app.workload.requests == 0)
        assert served.gate.app.workload.bytes == 0
