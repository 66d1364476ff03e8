"""Serving, as a process: the signals, the port, and how it ends."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from pathlib import Path

import httpx2
import pytest

from headgate.app.serve import _refuse_to_open, bind, url_of
from headgate.errors import HeadgateError
from headgate.spec.resolve import plan_text
from tests.gates.process import GateProcess, gate_process, headgate
from tests.gates.sockets import raw_socket, read_frame, talk
from tests.gates.web import PATIENCE, client_of
from tests.services.daemon import wait_until

NOTES = "{service: {drain_seconds: 3}, streams: {notes: {codec: json}}}"
FOLLOW = "/streams/notes/messages?follow=true"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GateProcess]:
    with gate_process(NOTES, tmp_path) as started:
        yield started


def ends_within(gate: GateProcess, seconds: float) -> int:
    """Its exit code."""
    assert wait_until(lambda: gate.process.poll() is not None, within=seconds), gate.log()
    return gate.process.returncode


@asynccontextmanager
async def following(client: httpx2.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of a follower that is let in."""
    async with asyncio.timeout(PATIENCE), client.stream("GET", FOLLOW) as answer:
        await reader(client)
        yield answer.aiter_lines()


async def reader(client: httpx2.AsyncClient) -> None:
    while not (await client.get("/streams")).json()["streams"][0]["readers"]:
        pass


async def test_sigterm_under_load_answers_what_is_in_flight_and_ends_with_0(gate: GateProcess) -> None:
    # Row 18 of RELIABILITY.md in its small form.
    async with client_of(gate.url) as client, following(client) as lines:
        stopping = asyncio.Event()
        senders = [asyncio.ensure_future(publish_until_sent_away(client, stopping)) for _ in range(8)]
        waiting = asyncio.ensure_future(client.get("/streams/notes/messages?from=newest&wait=30"))
        seen = [await anext(lines) for _ in range(200)]
        began = time.monotonic()
        gate.signal(signal.SIGTERM)
        stopping.set()
        acknowledged = sorted(number for sent in await asyncio.gather(*senders) for number in sent)
        assert (await waiting).status_code in (200, 204)
        seen += [line async for line in lines]
        assert ends_within(gate, 5) == 0
        assert time.monotonic() - began < 3
        values = [json.loads(line)["value"] for line in seen]
        assert len(set(acknowledged)) == len(acknowledged)
        assert len(set(values)) == len(values)
        assert set(values) <= set(acknowledged)
    assert "Traceback" not in gate.log()


async def test_sigterm_says_goodbye_to_sockets_and_does_not_wait_for_who_takes_nothing(tmp_path: Path) -> None:
    config = "streams: {notes: {}}\nruntime: {web: {interfaces: [{kind: websocket, path: /ws, stream: notes}]}}\n"
    with gate_process(config, tmp_path) as gate:
        async with talk(gate.url, "/ws") as client, raw_socket(gate.url, "/ws") as stalled:
            await client.next()
            await read_frame(stalled)
            stalled.writer.transport.pause_reading()
            async with client_of(gate.url) as sender:
                for _ in range(20):
                    answer = await sender.post("/streams/notes/messages", json="x" * 1_000_000)
                    assert answer.status_code == 200
            gate.signal(signal.SIGTERM)
            frames, code, _ = await client.rest()
            assert (len(frames), code) == (20, 1001)
            assert await asyncio.to_thread(ends_within, gate, 5) == 0
        assert "Traceback" not in gate.log()


async def publish_until_sent_away(client: httpx2.AsyncClient, stopping: asyncio.Event) -> list[int]:
    """Publish one by one; every request is answered, until there is no gate to take one."""
    sent: list[int] = []
    own = id(asyncio.current_task()) * 1_000_000
    while True:
        try:
            answer = await client.post("/streams/notes/messages", content=b"%d" % (own + len(sent)))
        except httpx2.ConnectError:
            assert stopping.is_set()
            return sent
        if answer.status_code == 503:
            assert stopping.is_set()
            assert (answer.json()["type"], answer.headers["retry-after"]) == ("draining", "1")
            return sent
        assert answer.status_code == 200
        sent.append(own + len(sent))


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    full = "{service: {drain_seconds: 30}, streams: {jobs: {delivery: queue}}, runtime: {discovery_modules: [slow]}}"
    (tmp_path / "slow.py").write_text(SLOW)
    with gate_process(full, tmp_path) as gate:
        httpx2.post(f"{gate.url}/streams/jobs/messages", content=b"1", trust_env=False)
        assert wait_until(lambda: "at work" in gate.log(), within=PATIENCE)
        gate.signal(signal.SIGTERM)
        assert wait_until(lambda: gate.get("/health") is None, within=PATIENCE)
        gate.signal(signal.SIGTERM)
        assert ends_within(gate, 2) == 1
        assert "second signal" in gate.log()


SLOW = """
import sys
import time
from headgate import node

@node(input="jobs")
def work(job):
    print("at work", file=sys.stderr, flush=True)
    time.sleep(600)
"""


def test_a_function_that_does_not_end_is_given_up_in_time(tmp_path: Path) -> None:
    config = "{service: {drain_seconds: 1}, streams: {jobs: {delivery: queue}}, runtime: {discovery_modules: [slow]}}"
    (tmp_path / "slow.py").write_text(SLOW)
    with gate_process(config, tmp_path) as gate:
        httpx2.post(f"{gate.url}/streams/jobs/messages", content=b"1", trust_env=False)
        assert wait_until(lambda: "at work" in gate.log(), within=PATIENCE)
        gate.signal(signal.SIGTERM)
        assert ends_within(gate, 3) == 1
        assert "the time to drain is over" in gate.log()


def test_sigint_ends_it_as_sigterm_does(gate: GateProcess) -> None:
    gate.signal(signal.SIGINT)
    assert ends_within(gate, 3) == 0


def test_a_client_that_does_not_read_cannot_hold_the_gate(tmp_path: Path) -> None:
    config = "{service: {drain_seconds: 1}, streams: {blobs: {codec: raw}}}"
    with gate_process(config, tmp_path) as gate, socket.create_connection(("127.0.0.1", gate.port)) as stalled:
        path = "/streams/blobs/messages"
        for _ in range(20):
            httpx2.post(f"{gate.url}{path}", content=b"x" * 1_000_000, trust_env=False)
        stalled.sendall(f"GET {path}?follow=true&from=oldest HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        stalled.recv(1)
        gate.signal(signal.SIGTERM)
        assert ends_within(gate, 3) == 0
        assert "Traceback" not in gate.log()


async def test_sighup_reads_the_file_again_and_cuts_nobody(gate: GateProcess) -> None:
    async with client_of(gate.url) as client, following(client) as lines:
        for number in range(20):
            changed = f"streams: {{notes: {{codec: json}}, other{number}: {{}}}}"
            gate.config.write_text(f"service: {{drain_seconds: 3}}\n{changed}")
            gate.signal(signal.SIGHUP)
            async with asyncio.timeout(PATIENCE):
                while (await client.get(f"/streams/other{number}/messages")).status_code == 404:
                    pass
            await client.post("/streams/notes/messages", content=b"%d" % number)
            assert json.loads(await anext(lines))["value"] == number


async def test_a_file_that_is_wrong_is_not_taken_and_said(gate: GateProcess) -> None:
    gate.config.write_text("streams: {notes: {codec: jason}}\nports: 1\n")
    gate.signal(signal.SIGHUP)
    assert wait_until(lambda: "not reloaded" in gate.log(), within=PATIENCE)
    assert 'headgate.yaml:1:26: streams.notes.codec: "jason" is not one of' in gate.log()
    assert 'headgate.yaml:2:1: unknown key "ports"' in gate.log()
    assert gate.get("/streams/notes/messages") == 204


async def test_a_node_that_cannot_work_is_not_taken_and_said(gate: GateProcess) -> None:
    (gate.config.parent / "plant.py").write_text("from headgate import node\n@node(input='gone')\ndef f(x): pass\n")
    gate.config.write_text("streams: {other: {}}\nruntime: {discovery_modules: [plant]}\n")
    gate.signal(signal.SIGHUP)
    assert wait_until(lambda: "not reloaded" in gate.log(), within=PATIENCE)
    assert "names stream 'gone'" in gate.log()
    assert gate.get("/streams/notes/messages") == 204


async def test_a_reload_changes_the_log_and_says_what_it_cannot_change(gate: GateProcess) -> None:
    gate.config.write_text("service: {limits: {connections: 1}, log: {format: json}}\nstreams: {notes: {}}\n")
    gate.signal(signal.SIGHUP)
    assert wait_until(lambda: "takes effect at the next start" in gate.log(), within=PATIENCE)
    gate.config.write_text("service: {limits: {connections: 2}, log: {format: json}}\nstreams: {notes: {}}\n")
    gate.signal(signal.SIGHUP)
    assert wait_until(lambda: '"event":"reloaded"' in gate.log(), within=PATIENCE)


def test_a_port_in_use_is_a_message_and_1(tmp_path: Path) -> None:
    with gate_process(NOTES, tmp_path) as gate:
        done = headgate("run", str(gate.config), "--port", str(gate.port), cwd=tmp_path)
    assert done.returncode == 1
    expected = f"headgate: cannot listen on 127.0.0.1:{gate.port}: Address already in use; choose another --port\n"
    assert done.stderr.decode() == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_listening_for_others_without_saying_so_is_2(host: str, tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text(NOTES)
    done = headgate("run", "headgate.yaml", "--host", host, cwd=tmp_path)
    assert done.returncode == 2
    assert "can be reached by others, and nothing asks them who they are" in done.stderr.decode()


def test_listening_for_others_is_possible_and_said(tmp_path: Path) -> None:
    config = "{service: {host: 0.0.0.0, open: true}, streams: {notes: {}}}"
    with gate_process(config, tmp_path) as gate:
        assert "open: anyone who can reach this address may read and publish" in gate.log()
        assert gate.stop() == 0


def test_a_host_that_is_not_ours_is_a_message_and_1(tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text("{service: {host: 192.0.2.1, open: true}}")
    done = headgate("run", "headgate.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("headgate: cannot listen on 192.0.2.1:8080: ")
    assert "choose another --host" in done.stderr.decode()


def test_a_port_is_taken_from_the_moment_it_is_bound() -> None:
    first = bind("127.0.0.1", 0)
    with first:
        port = first.getsockname()[1]
        assert url_of(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(HeadgateError, match="choose another --port"):
            bind("127.0.0.1", port)


def test_an_address_of_version_6_is_written_in_brackets() -> None:
    with bind("::1", 0) as sock:
        assert url_of(sock) == f"http://[::1]:{sock.getsockname()[1]}"


def test_one_connection_too_many_is_told_when_to_come_again(tmp_path: Path) -> None:
    config = "{service: {limits: {connections: 3}}, streams: {notes: {}}}"
    with gate_process(config, tmp_path) as gate, ExitStack() as stack:
        assert wait_until(lambda: httpx2.get(f"{gate.url}/ready", trust_env=False).status_code == 200, within=10)
        for _ in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", gate.port)))
        refused = httpx2.get(f"{gate.url}/ready", trust_env=False)
        assert (refused.status_code, refused.json()["type"], refused.headers["retry-after"]) == (503, "overloaded", "1")


@pytest.mark.parametrize(
    ("was", "will_be", "address", "refused"),
    [
        ("auth: {keys: [a-key-of-sixteen]}", "host: 127.0.0.1", "0.0.0.0", True),
        ("auth: {keys: [a-key-of-sixteen]}", "host: 127.0.0.1", "::", True),
        ("auth: {keys: [a-key-of-sixteen]}", "auth: {keys: [another-of-sixteen]}", "0.0.0.0", False),
        ("auth: {keys: [a-key-of-sixteen]}", "open: true", "0.0.0.0", False),
        ("auth: {keys: [a-key-of-sixteen]}", "host: 127.0.0.1", "127.0.0.1", False),
    ],
)
def test_a_reload_leaves_no_address_without_keys(was: str, will_be: str, address: str, refused: bool) -> None:
    services = [plan_text(f"service: {{{text}}}").service for text in (was, will_be)]
    with pytest.raises(HeadgateError, match="nobody would ask") if refused else nullcontext():
        _refuse_to_open(*services, address)
