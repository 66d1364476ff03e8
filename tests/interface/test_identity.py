"""Identity: who has no key stays outside, whatever they try."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from headgate.app.gate import Gate
from headgate.core.api_keys import ApiKey, digest_of, line_of
from headgate.interface.identity.keyring import Keyring
from headgate.spec.resolve import plan_text
from tests.gates.events import follow
from tests.gates.inside import Serving, serving
from tests.gates.sockets import talk
from tests.gates.web import eventually, raw, web

INTERFACES = """
streams: {notes: {codec: json}, orders: {}}
runtime:
  web:
    interfaces:
      - {kind: sse, path: /follow, stream: notes}
      - {kind: websocket, path: /talk, stream: notes, publish: notes}
      - {kind: messages, path: /poll, stream: notes}
      - {kind: command, path: /api/v1/commands, stream: orders, track: false}
"""
LOCKED = "service: {name: plant, auth: {keys: 'alpha, beta'}}" + INTERFACES
MINE = {"X-API-Key": "beta"}
PATHS = [
    "/info",
    "/metrics",
    "/streams",
    "/streams/notes/messages",
    "/follow",
    "/poll",
    "/talk",
    "/api/v1/commands",
    "/api/v1/status",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/nothing",
    "/",
]
SPELLINGS = [
    "/api/v1/%63ommands",
    "/api/v1/%2563ommands",
    "//api/v1/commands",
    "/api//v1/commands",
    "/api/v1/commands/",
    "/api/v1/commands/.",
    "/health/../api/v1/commands",
    "/health/%2e%2e/api/v1/commands",
    "/health%2f..%2fapi/v1/commands",
    "/health/",
    "/health%00",
    "/health;/../info",
    "/HEALTH",
    "/ready/x",
    "/API/v1/commands",
    "/api/v1/commands%20",
    "/api/v1/commands%09",
    "\\api\\v1\\commands",
    "/./info",
    "/%69nfo",
    "/info?x=/health",
    "/info#/health",
    "http://x/info",
    "/follow?key=beta",
    "/follow?x-api-key=beta",
    "*",
]


@pytest.fixture
async def served() -> AsyncIterator[Serving]:
    async with serving(LOCKED) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_without_a_key_nothing_is_served(served: Serving, method: str) -> None:
    for path in PATHS:
        async with raw(served.url) as connection:
            connection.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            assert (await connection.head()).status == 401


@pytest.mark.parametrize("path", SPELLINGS)
async def test_no_spelling_of_a_path_leads_past_the_key(served: Serving, path: str) -> None:
    async with raw(served.url) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert (await connection.head()).status in (400, 401)


@pytest.mark.parametrize(
    "headers",
    [
        b"X-API-Key: gamma",
        b"X-API-Key:",
        b"X-API-Key: BETA",
        b"X-API-Key: alpha,beta",
        b"X-API-Key: alpha beta",
        b"X-API-Key: beta\0",
        b"X-API-Key: \xc3\xa4",
        b"X-API-Key: " + b"x" * 10_000,
        b"X-API-Key: beta\r\nX-API-Key: gamma",
        b"X-API-Key: gamma\r\nX-API-Key: beta",
        b"X-API-Key: beta\r\nX-API-Key: beta",
        b"X-API-Key: gamma\r\nAuthorization: Bearer beta",
        b"Authorization: Bearer gamma",
        b"Authorization: Bearer",
        b"Authorization: Basic YWxwaGE6YmV0YQ==",
        b"X-API-Key : beta",
        b" X-API-Key: beta",
        b"X_API_Key: beta",
        b"Cookie: X-API-Key=beta",
        b"X-API-Key: sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753",  # of "beta"
    ],
)
async def test_what_is_not_exactly_one_good_key_is_refused(served: Serving, headers: bytes) -> None:
    async with raw(served.url) as connection:
        connection.send(b"GET /info HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\nConnection: close\r\n\r\n")
        assert (await connection.head()).status in (400, 401)


async def test_every_key_of_the_list_is_good_and_as_a_bearer_too(served: Serving) -> None:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        for headers in ({"X-API-Key": "alpha"}, {"x-api-key": "beta"}, {"Authorization": "bearer alpha"}):
            for path in ("/info", "/streams", "/docs", "/openapi.json", "/api/v1/status"):
                assert (await client.get(path, headers=headers)).status_code == 200
            assert (await client.get("/nothing", headers=headers)).status_code == 404


async def test_health_and_ready_are_open_and_ready_tells_strangers_the_status_alone() -> None:
    async with web(LOCKED) as (client, served):
        await eventually(lambda: not served.gate.issues())
        for path in ("/health", "/ready", "/api/v1/health", "/%68ealth"):
            assert (await client.get(path)).status_code == 200
            assert (await client.get(path, headers={"X-API-Key": "gamma"})).status_code == 200
        served.gate._connections.troubles = lambda: ["kafka: secret-host:9092 is away"]  # type: ignore[method-assign]
        told = await client.get("/ready")
        assert (told.status_code, told.json()) == (503, {"status": "not ready"})
        told = await client.get("/ready", headers=MINE)
        assert told.json() == {"status": "not ready", "issues": "kafka: secret-host:9092 is away"}


async def test_a_refusal_says_how_to_come_in_in_the_form_of_each_interface(served: Serving) -> None:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        plain, command = await client.get("/info"), await client.post("/api/v1/commands", json={})
        message = "this gate asks who you are; send a key in the header X-API-Key"
        assert plain.json() == {"error": message, "type": "unauthorized"}
        assert command.json() == {"error": message, "type": "AuthenticationError"}
        challenge = 'ApiKey realm="plant", header="X-API-Key", Bearer realm="plant"'
        assert plain.headers["www-authenticate"] == command.headers["www-authenticate"] == challenge
        problem = await client.get("/info", headers={"Accept": "application/problem+json"})
        assert problem.json()["code"] == "unauthorized"


async def test_a_socket_is_refused_before_it_is_opened(served: Serving) -> None:
    for path in ("/talk", "/nothing", "/talk?api_key=beta"):
        with pytest.raises(InvalidStatus) as refused:
            async with talk(served.url, path):
                pass
        assert refused.value.response.status_code == 401
        assert "www-authenticate" in refused.value.response.headers
    async with talk(served.url, "/talk", additional_headers=MINE) as client:
        await client.say("subscribe", id="a")
        assert (await client.next())["type"] == "subscribed"


async def test_events_come_to_those_with_a_key(served: Serving) -> None:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        assert (await client.get("/follow")).status_code == 401
        async with follow(client, "/follow", headers=MINE) as events:
            await client.post("/streams/notes/messages", json={"a": 1}, headers=MINE)
            assert (await events.next()).data == '{"a":1}'


async def test_a_body_without_a_key_is_answered_before_it_is_read(served: Serving) -> None:
    async with raw(served.url) as connection:
        head = b"POST /api/v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 52428800\r\n"
        connection.send(head + b"Expect: 100-continue\r\n\r\n")
        assert (await connection.head()).status == 401
    assert served.gate.app.workload.bytes == 0


async def test_a_refused_request_leaves_the_connection_for_the_next(served: Serving) -> None:
    async with raw(served.url) as connection:
        connection.send(b"POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /")
        assert (await connection.answer()).status == 401
        connection.send(b"GET /info HTTP/1.1\r\nHost: x\r\nX-API-Key: beta\r\n\r\n")
        assert (await connection.answer()).status == 200


async def test_the_header_has_the_name_that_the_file_gives_it() -> None:
    config = "service: {auth: {header: X-Plant, keys: [alpha]}}\nstreams: {notes: {}}"
    async with web(config) as (client, _):
        assert (await client.get("/info", headers={"X-API-Key": "alpha"})).status_code == 401
        assert (await client.get("/info", headers={"x-plant": "alpha"})).status_code == 200


async def test_a_stored_key_may_be_its_hash_and_the_hash_is_no_key() -> None:
    kept = f"sha256:{digest_of(b'alpha').hex()}"
    async with web(f"service: {{auth: {{keys: ['{kept}']}}}}") as (client, _):
        assert (await client.get("/info", headers={"X-API-Key": kept})).status_code == 401
        assert (await client.get("/info", headers={"X-API-Key": "alpha"})).status_code == 200


async def test_refusals_are_counted_by_paths_that_are_there(served: Serving) -> None:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        for number in range(20):
            await client.get(f"/nothing/{number}")
        await client.get("/info")
        labels = served.gate.app._stats.requests
        assert labels["other", "GET", 401] >= 20
        assert labels["/info", "GET", 401] >= 1
        assert served.gate.app._stats.errors["unauthorized"] >= 21


async def test_keys_of_a_file_come_and_go_while_the_gate_runs(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(line_of(ApiKey("one", digest_of(b"first-key"))))
    config = f"service: {{auth: {{keys_file: {file}}}}}"
    async with web(config) as (client, _):

        async def status(key: str) -> int:
            return (await client.get("/info", headers={"X-API-Key": key})).status_code

        assert [await status("first-key"), await status("second-key")] == [200, 401]
        file.write_text(line_of(ApiKey("two", digest_of(b"second-key"))))
        await _until(lambda: status("second-key"), 200)
        assert await status("first-key") == 401


def test_a_file_that_turns_bad_or_goes_away_changes_nothing(tmp_path: Path) -> None:
    file, now = tmp_path / "keys.txt", [0.0]
    file.write_text(line_of(ApiKey("one", digest_of(b"first-key"))))
    keyring = Keyring([], file, lambda: now[0])

    def found() -> str | None:
        now[0] += 2
        caller = keyring.find(b"first-key")
        return None if caller is None else caller.name

    file.write_text("first-key name=x name=\n")
    assert found() == "one"
    file.unlink()
    assert found() == "one"
    file.write_text("# nobody\n")
    assert found() is None


async def test_a_reload_takes_a_key_away() -> None:
    async with web(LOCKED) as (client, served):
        assert (await client.get("/info", headers=MINE)).status_code == 200
        await served.gate.reload(plan_text(LOCKED.replace("alpha, beta", "alpha")))
        assert (await client.get("/info", headers=MINE)).status_code == 401
        assert (await client.get("/info", headers={"X-API-Key": "alpha"})).status_code == 200


def test_no_key_stands_in_what_a_plan_shows() -> None:
    plan = plan_text("service: {auth: {keys: [planted-secret-key]}}")
    shown = repr(plan) + str(plan.summary()) + repr(Gate(plan).app.guard)
    assert "planted" not in shown
    assert digest_of(b"planted-secret-key").hex() not in shown


def test_a_look_up_takes_as_long_whatever_of_a_key_is_right() -> None:
    key = "k" * 40
    keyring = Keyring([ApiKey("one", digest_of(key.encode()))], None, time.monotonic)
    guesses = {"near": (key[:-1] + "x").encode(), "far": b"x" * 40}
    seconds: dict[str, list[float]] = {name: [] for name in guesses}
    for _ in range(200):  # in turns, so that whatever else goes on concerns both
        for name, guess in guesses.items():
            began = time.perf_counter()
            for _ in range(50):
                keyring.find(guess)
            seconds[name].append(time.perf_counter() - began)
    near, far = (min(measured) for measured in seconds.values())
    assert 0.8 < near / far < 1.25


async def _until(ask: Any, answer: int) -> None:
    async with asyncio.timeout(10):
        while await ask() != answer:
            await asyncio.sleep(0.05)
