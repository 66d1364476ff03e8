"""The clients of a command interface: what is sent again keeps its key, and what is refused is told as what it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.client import CommandClient, SyncCommandClient, conversation
from headgate.client.commands import Sent
from headgate.errors import (
    Busy,
    HeadgateError,
    InvalidCommand,
    KeyReused,
    NotFound,
    Refused,
    TooLate,
    Unauthorized,
    Unavailable,
)
from tests.gates.commands import command, commanding
from tests.services.daemon import free_port

pytestmark = pytest.mark.anyio
Asked = list[dict[str, str]]
OK = (200, b'{"success":true,"request_id":"r","message":"Command published","timestamp":"2026-01-02T03:04:05Z"}')


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that try again soon."""
    monkeypatch.setattr(conversation, "_LONGEST_PAUSE", 0.01)


@asynccontextmanager
async def answering(*answers: tuple[int, bytes] | None) -> AsyncIterator[tuple[str, Asked]]:
    """A server that gives these answers in turn, the last for ever; None is a connection that breaks."""
    asked: Asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        await reader.readexactly(int(headers.get("content-length", 0)))
        asked.append(headers)
        answer = answers[min(len(asked), len(answers)) - 1]
        if answer is not None:
            told = b"HTTP/1.1 %d X\r\nretry-after: 1\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            writer.write(told % (answer[0], len(answer[1]), answer[1]))
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", asked


async def test_a_command_is_sent_again_with_the_same_key_until_it_is_answered() -> None:
    async with (
        answering(None, (503, b"busy"), (429, b"{}"), OK) as (url, asked),
        CommandClient(url, "secret") as client,
    ):
        sent = await client.send(command())
        assert (sent.request_id, sent.timestamp.isoformat()) == ("r", "2026-01-02T03:04:05+00:00")
        assert len(asked) == 4
        assert len({headers["idempotency-key"] for headers in asked}) == 1
        assert {headers["x-api-key"] for headers in asked} == {"secret"}
        await client.send(command(), key="mine")
        assert asked[4]["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, b'{"error":"qos: no","type":"CommandValidationError"}'), InvalidCommand),
        ((401, b"{}"), Unauthorized),
        ((403, b"{}"), Refused),
        ((404, b"nothing"), NotFound),
        ((409, b"{}"), TooLate),
        ((422, b'{"error":"used","type":"IdempotencyKeyReusedError"}'), KeyReused),
        ((429, b"{}"), Busy),
        ((503, b"{}"), Unavailable),
        ((507, b"{}"), Unavailable),
    ],
)
async def test_what_is_refused_is_told_as_what_it_is(answer: tuple[int, bytes], kind: type[HeadgateError]) -> None:
    async with answering(answer) as (url, asked), CommandClient(url, tries=2) as client:
        with pytest.raises(kind):
            await client.send(command())
        assert len(asked) == (2 if answer[0] in (429, 503) else 1)
        assert await client.push_command(**command()) is False


async def test_nobody_there_is_told() -> None:
    async with CommandClient(f"http://127.0.0.1:{free_port()}", tries=2) as client:
        with pytest.raises(Unavailable, match="nothing answers at"):
            await client.send(command())
        assert await client.push_command(**command()) is False


async def test_both_clients_do_all_that_there_is() -> None:
    async with commanding("sqlite://") as served:
        url = served.serving.url
        async with CommandClient(url) as client:
            assert await client.push_command(**command("a")) is True
            await say_it_all(client, served.answer)

        def in_a_thread(loop: asyncio.AbstractEventLoop) -> None:
            with SyncCommandClient(url) as client:
                assert client.push_command(**command("b")) is True
                done = asyncio.run_coroutine_threadsafe
                first, refused = client.send_batch([command("b"), command("b", qos=9)])
                assert isinstance(first, Sent)
                assert isinstance(refused, InvalidCommand)
                done(served.answer(first.request_id, status="ok"), loop).result()
                assert client.wait(first.request_id)["status"] == "acknowledged"
                assert client.status(first.request_id)["device_id"] == "b"
                later = client.send(command("b", not_before="2999-01-01T00:00:00Z"), key="later")
                assert client.cancel(later.request_id)["status"] == "cancelled"
                assert len(client.commands(device_id="b")["commands"]) == 3

        await asyncio.to_thread(in_a_thread, asyncio.get_running_loop())


async def say_it_all(client: CommandClient, answer: Any) -> None:
    first, refused = await client.send_batch([command("a"), command("a", qos=9)])
    assert isinstance(first, Sent)
    assert isinstance(refused, InvalidCommand)
    assert (await client.wait(first.request_id, 0.01))["status"] == "published"
    await answer(first.request_id, status="ok")
    assert (await client.wait(first.request_id))["status"] == "acknowledged"
    with pytest.raises(NotFound):
        await client.status("nobody/../x")
    with pytest.raises(TooLate):
        await client.cancel(first.request_id)
    assert len((await client.commands(status="acknowledged"))["commands"]) == 1
