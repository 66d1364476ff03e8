"""Sites: requests by names that are not ours, and from pages of others."""

import pytest

from tests.gates.sockets import handshake
from tests.gates.web import raw, web

PLAIN = "streams: {notes: {}}"
NAMED = "{service: {hosts: [gate.example]}, streams: {notes: {}}}"
KEYED = "{service: {auth: {keys: [alpha]}}, streams: {notes: {}}}"
PAGES = "{service: {origins: ['https://app.example'], auth: {keys: [alpha]}}, streams: {notes: {}}}"


@pytest.mark.parametrize(
    ("config", "host", "status"),
    [
        (PLAIN, "localhost:8080", 200),
        (PLAIN, "127.0.0.1", 200),
        (PLAIN, "[::1]:8080", 200),
        (PLAIN, "10.1.2.3:80", 200),
        (PLAIN, "gate", 200),
        (PLAIN, "gate.localhost", 200),
        (PLAIN, "evil.example", 421),  # a name that was made to stand for this machine
        (PLAIN, "evil.example:8080", 421),
        (PLAIN, "EVIL.example.", 421),
        (PLAIN, "127.0.0.1.evil.example", 421),
        (PLAIN, "localhost.evil.example", 421),
        (PLAIN, "[::1].evil.example", 421),
        (NAMED, "gate.example", 200),
        (NAMED, "GATE.example.:443", 200),
        (NAMED, "localhost", 421),
        (NAMED, "other.example", 421),
        (KEYED, "any.example", 200),  # whoever comes has a key
    ],
)
async def test_a_gate_is_asked_by_its_own_names(config: str, host: str, status: int) -> None:
    async with web(config) as (_, served), raw(served.url) as connection:
        for _ in range(2):
            connection.send(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            answer = await connection.answer()
            assert answer.status == status
        assert (b'"misdirected"' in answer.body) is (status == 421)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_page_of_another_site_changes_nothing_here(method: str) -> None:
    async with web(PLAIN) as (client, served):
        path = "/streams/notes/messages"
        for origin in ("https://evil.example", "null", "http://localhost:1", "file://"):
            answer = await client.request(method, path, json={}, headers={"Origin": origin})
            assert (answer.status_code, answer.json()["type"]) == (403, "refused")
            assert "access-control-allow-origin" not in answer.headers
        assert served.gate.streams["notes"].stats.published == 0
        own = await client.post(path, json={}, headers={"Origin": served.url})
        assert own.status_code == 200


async def test_a_page_of_another_site_reads_nothing_here_unless_it_is_named() -> None:
    async with web(PAGES) as (client, _):
        key = {"X-API-Key": "alpha"}
        other = await client.get("/streams", headers={**key, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        named = await client.get("/streams", headers={**key, "Origin": "https://app.example"})
        assert named.headers["access-control-allow-origin"] == "https://app.example"
        assert "Origin" in named.headers["vary"]
        refused = await client.get("/streams", headers={"Origin": "https://app.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.example"


async def test_a_browser_that_asks_first_is_told_about_pages_that_are_named_and_no_others() -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    async with web(PAGES) as (client, _):
        for path in ("/streams/notes/messages", "/nothing"):
            named = await client.options(path, headers={**asks, "Origin": "https://app.example"})
            assert named.status_code == 204
            assert named.headers["access-control-allow-origin"] == "https://app.example"
            assert named.headers["access-control-allow-methods"] == "POST"
            assert named.headers["access-control-allow-headers"] == "x-api-key"
            other = await client.options(path, headers={**asks, "Origin": "https://evil.example"})
            assert other.status_code == 401
            assert not [name for name in other.headers if name.startswith("access-control")]


async def test_pages_are_in_nobodys_frame() -> None:
    async with web(PLAIN) as (client, _):
        for path in ("/docs", "/openapi.json", "/nothing"):
            answer = await client.get(path)
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_socket_is_opened_by_our_own_names_alone() -> None:
    config = PLAIN + "\nruntime: {web: {interfaces: [{kind: websocket, path: /talk, stream: notes}]}}"
    async with web(config) as (_, served), raw(served.url) as connection:
        connection.send(handshake("/talk").replace(b"gate.localhost", b"evil.example"))
        assert (await connection.head()).status == 421
