"""The bounds of a connection: clients that send too much, too slowly or nothing at all, and those beside them."""

import asyncio
import time
from contextlib import suppress

import httpx2
import pytest

from tests.gates.sockets import talk
from tests.gates.web import eventually, raw, web

QUICK = "{service: {limits: {patience: 400ms}}, streams: {notes: {codec: raw}}}"
USUAL = "streams: {notes: {codec: raw}}"
POST = b"POST /streams/notes/messages HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", None),
        (b"G", 408),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", 408),
        (b"\r\n\r\n", 408),
        (POST + b"Content-Length: 100\r\n\r\n", 408),
        (POST + b"Content-Length: 100\r\n\r\nabc", 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 408),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200),  # and then nothing: that is what keep_alive_seconds is for
    ],
)
async def test_who_stops_in_the_middle_is_sent_away(said: bytes, status: int | None) -> None:
    async with web(QUICK) as (_, served), raw(served.url) as connection:
        began = time.monotonic()
        connection.send(said)
        if status == 200:
            assert (await connection.answer()).status == 200
            return
        came = await connection.rest()
        assert 0.3 < time.monotonic() - began < 3
        assert came[9:12] == (b"" if status is None else b"%d" % status)


@pytest.mark.parametrize("first", [b"GET /health HTTP/1.1\r\nX: ", POST + b"Content-Length: 9000\r\n\r\n", b""])
async def test_who_drips_is_sent_away(first: bytes) -> None:
    async with web(QUICK) as (_, served), raw(served.url) as connection:
        connection.send(first)
        reading = asyncio.ensure_future(connection.rest())
        while not reading.done():  # one byte at a time, as long as anybody listens
            connection.send(b"\n" if not first else b"x")
            await asyncio.wait([reading], timeout=0.02)
        # A reset for what it still sent may overtake the answer.
        assert isinstance(reading.exception(), ConnectionError) or reading.result()[9:12] == b"408"


async def test_who_drips_on_a_connection_that_was_of_use_is_sent_away() -> None:
    async with web(QUICK) as (_, served), raw(served.url) as connection:
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await connection.answer()).status == 200
        connection.send(b"GET /health HTTP/1.1\r\n")
        assert (await connection.rest())[9:12] == b"408"


async def test_those_who_are_slow_for_good_reasons_stay() -> None:
    async with web(QUICK) as (client, served), raw(served.url) as steady:
        url = "/streams/notes/messages"
        steady.send(POST + b"Content-Length: 3000\r\n\r\n")
        async with client.stream("GET", f"{url}?follow=true&from=oldest") as following:
            poll = asyncio.ensure_future(client.get(f"{url}?wait=5"))  # longer than its patience
            for _ in range(30):
                steady.send(b"x" * 100)
                await asyncio.sleep(0.04)
            assert (await poll).status_code == 200
            assert (await steady.answer()).status == 200
            assert await anext(following.aiter_lines())


async def test_hundreds_of_silent_clients_do_not_slow_down_a_good_one() -> None:
    async with web("{service: {limits: {patience: 2s}}, streams: {notes: {codec: raw}}}") as (client, served):
        place = httpx2.URL(served.url)
        said = [b"", b"GET /health HTTP/1.1\r\nX", POST + b"Content-Length: 100\r\n\r\nx"]
        opened = [await asyncio.open_connection(place.host, place.port) for _ in range(600)]
        for number, (_, writer) in enumerate(opened):
            writer.write(said[number % 3])
        seconds = []
        for _ in range(100):
            began = time.perf_counter()
            assert (await client.get("/health")).status_code == 200
            seconds.append(time.perf_counter() - began)
        assert sorted(seconds)[98] < 0.1
        async with asyncio.timeout(10):
            ends = await asyncio.gather(*(reader.read() for reader, _ in opened))
        assert {end[9:12] for end in ends} == {b"", b"408"}
        for _, writer in opened:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await eventually(lambda: served.gate.app._stats.in_flight == 0)


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"x" * 65_536 + b"\r\n",
        b"X: y\r\n" * 20_000,
        b"X: y\r\n" * 101,
        b"".join(b"X%d: %b\r\n" % (number, b"y" * 1000) for number in range(50)),
    ],
)
async def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    async with web(USUAL) as (client, served):
        async with raw(served.url) as connection:
            connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            assert (await connection.head()).status == 431
        async with raw(served.url) as connection:
            connection.send(b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await connection.head()).status == 431
        assert (await client.get("/health")).status_code == 200


async def test_a_head_without_an_end_is_cut_before_it_takes_room() -> None:
    async with web(USUAL) as (_, served), raw(served.url) as connection:
        connection.send(b"GET /health HTTP/1.1\r\nX: ")
        sent = 0
        with pytest.raises(ConnectionError):  # noqa: PT012
            while sent < 50_000_000:
                connection.send(b"x" * 65_536)
                await connection.writer.drain()
                sent += 65_536
        assert sent < 10_000_000  # what the kernel took, and nobody read


async def test_a_large_body_is_no_head() -> None:
    config = "{service: {limits: {header_bytes: 1024}}, streams: {notes: {codec: raw}}}"
    async with web(config) as (_, served), raw(served.url) as connection:
        for _ in range(3):
            connection.send(POST + b"Content-Length: 500000\r\n\r\n" + b"x" * 500_000)
        for _ in range(3):
            assert (await connection.answer()).status == 200


async def test_a_socket_may_say_nothing_for_long() -> None:
    async with (
        web(
            "{service: {limits: {patience: 100ms}}, streams: {notes: {codec: raw}},"
            " runtime: {web: {interfaces: [{kind: websocket, path: /talk, stream: notes}]}}}"
        ) as (_, served),
        talk(served.url, "/talk") as socket,
    ):
        assert (await socket.next())["type"] == "subscribed"
        await asyncio.sleep(0.5)
        await socket.say("subscribe", id="a")
        assert (await socket.next())["type"] == "subscribed"
