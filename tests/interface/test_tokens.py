"""Tokens: those of the issuer, for this service, now - and no other, however it is made. And tickets."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from websockets.exceptions import InvalidStatus

from headgate.core.scopes import read_scope
from headgate.errors import ConfigError, Unavailable
from headgate.interface.identity.caller import ANYONE, Caller
from headgate.interface.identity.issuer import FRESH, PAUSE, STALE, Issuer
from headgate.interface.identity.tickets import Tickets
from headgate.spec.resolve import plan_text
from tests.gates.events import follow
from tests.gates.inside import Serving, serving
from tests.gates.sockets import talk

RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa-1"})  # of an impostor, by the same name
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})


class Idp:
    """An issuer: what it answers is told by the test."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Any] = [RSA, EC]
        self.asked: list[str] = []
        self.answers: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.asked.append(path)
        writer.write(self.answers.get(path) or self.usual(path))
        with suppress(ConnectionError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def usual(self, path: str) -> bytes:
        told: Any = {"keys": [key.as_dict(private=False) for key in self.keys]}
        if path == "/.well-known/openid-configuration":
            told = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        body = json.dumps(told).encode()
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


CONFIG = """
service: {{auth: {{keys: [alpha], bearer: {{issuer: "{issuer}", audience: plant}}}}}}
streams: {{assets: {{codec: json}}, orders: {{}}}}
runtime:
  web:
    interfaces:
      - {{kind: sse, path: /asset_stream, stream: assets, data: envelope}}
      - {{kind: websocket, path: /talk, stream: assets, publish: assets}}
"""


@pytest.fixture
async def idp() -> AsyncIterator[Idp]:
    one = Idp()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield one


@pytest.fixture
async def served(idp: Idp) -> AsyncIterator[Serving]:
    async with serving(CONFIG.format(issuer=idp.url)) as running:
        yield running


@asynccontextmanager
async def _client(served: Serving) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as one:
        yield one


def claims(idp: Idp, **other: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": idp.url, "aud": "plant", "sub": "robot", "exp": now + 300, "iat": now}
    usual["scope"] = "openid read:assets"
    return {name: value for name, value in {**usual, **other}.items() if value is not None}


def signed(idp: Idp, key: Any = RSA, header: dict[str, Any] | None = None, **other: Any) -> str:
    alg = "ES256" if key is EC else "RS256"
    return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, claims(idp, **other), key, algorithms=[alg])


def part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def by_hand(header: dict[str, Any], body: str) -> str:
    """Signed with the issuer's key, although no library would."""
    text = f"{part(header)}.{body}"
    return f"{text}.{part(RSA.private_key.sign(text.encode(), PKCS1v15(), SHA256()))}"


async def status(served: Serving, token: str, path: str = "/streams/assets/messages") -> int:
    async with _client(served) as client:
        return (await client.get(path, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_token_of_the_issuer_does_what_its_scopes_say(idp: Idp, served: Serving) -> None:
    for key in (RSA, EC):
        assert await status(served, signed(idp, key)) == 204
        assert await status(served, signed(idp, key), "/metrics") == 403
    assert await status(served, signed(idp, aud=["other", "plant"])) == 204
    assert await status(served, signed(idp, scope=["read:assets"])) == 204
    assert await status(served, signed(idp, scope="*"), "/metrics") == 200
    assert await status(served, signed(idp, scope="openid profile")) == 403
    assert await status(served, signed(idp, scope=None)) == 403
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"]  # once, for all of them


async def test_keys_are_good_beside_tokens(idp: Idp, served: Serving) -> None:
    async with _client(served) as client:
        assert (await client.get("/info", headers={"X-API-Key": "alpha"})).status_code == 200
        assert (await client.get("/info", headers={"X-API-Key": signed(idp, scope="*")})).status_code == 401


BAD: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "an issuer but for a slash": {"iss": "/"},
    "another audience": {"aud": "other"},
    "no audience": {"aud": None},
    "an audience that only begins like ours": {"aud": "plant2"},
    "an audience in an object": {"aud": {"plant": True}},
    "expired": {"exp": int(time.time()) - 3600},
    "no end": {"exp": None},
    "an end that is text": {"exp": "9999999999"},
    "an end that is true": {"exp": True},
    "not good yet": {"nbf": int(time.time()) + 3600},
    "from the future": {"iat": int(time.time()) + 3600},
    "nobody's": {"sub": None},
    "a name with a line break": {"sub": "a\nb"},
    "a name without an end": {"sub": "a" * 1000},
}


@pytest.mark.parametrize("what", BAD)
async def test_a_token_with_other_claims_is_refused(idp: Idp, served: Serving, what: str) -> None:
    assert await status(served, signed(idp, **BAD[what])) == 401


async def test_a_token_that_is_made_otherwise_is_refused(idp: Idp, served: Serving) -> None:
    good = signed(idp, scope="*")
    head, body, seal = good.split(".")
    public = RSA.as_pem(private=False)
    confused = {"alg": "HS256", "kid": "rsa-1"}
    text = f"{part(confused)}.{part(claims(idp, scope='*'))}"
    forged = {
        "none": f"{part({'alg': 'none'})}.{body}.",
        "None": f"{part({'alg': 'None'})}.{body}.{seal}",
        "no algorithm": f"{part({'kid': 'rsa-1'})}.{body}.{seal}",
        "no seal": f"{head}.{body}.",
        "the key as a secret": f"{text}.{part(hmac.digest(public, text.encode(), 'sha256'))}",
        "an own secret": jwt.encode({"alg": "HS256"}, claims(idp), OctKey.generate_key(256), algorithms=["HS256"]),
        "an impostor's key": signed(idp, OTHER, scope="*"),
        "a key in its head": signed(idp, OTHER, {"jwk": OTHER.as_dict(private=False)}),
        "a place of keys in its head": signed(idp, OTHER, {"jku": "http://127.0.0.1:1/keys"}),
        "an algorithm that is not pinned": jwt.encode(
            {"alg": "RS512", "kid": "rsa-1"}, claims(idp), RSA, algorithms=["RS512"]
        ),
        "another body": f"{head}.{part(claims(idp, scope='*', sub='admin'))}.{seal}",
        "a tail": f"{good}x",
        "another part": f"{good}.x",
        "no JSON": f"{part(b'{')}.{body}.{seal}",
        "a list": f"{part([])}.{body}.{seal}",
        "a name of a key that is a path": signed(idp, OTHER, {"kid": "../../etc/passwd"}),
        "a name of a key that is a number": f"{part({'alg': 'RS256', 'kid': 1})}.{body}.{seal}",
        "something that nobody understands": by_hand({"alg": "RS256", "kid": "rsa-1", "crit": ["x"], "x": 1}, body),
        "too long": signed(idp, more="x" * 9000, scope="*"),
        "dots": "..",
        "an elliptic seal of another curve": f"{part({'alg': 'ES256', 'kid': 'rsa-1'})}.{body}.{seal}",
    }
    for what, token in forged.items():
        assert await status(served, token, "/info") == 401, what
    assert await status(served, good, "/info") == 200
    assert await status(served, by_hand({"alg": "RS256", "kid": "rsa-1"}, body), "/info") == 200


async def test_a_refusal_says_that_the_token_is_bad_and_shows_nothing_of_it(idp: Idp, served: Serving) -> None:
    token = signed(idp, aud="other")
    async with _client(served) as client:
        answer = await client.get("/info", headers={"Authorization": f"Bearer {token}"})
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["error"] == "this token is for another service"
    assert not any(piece in answer.text for piece in token.split("."))


async def test_a_token_that_was_good_is_refused_when_it_expires() -> None:
    from headgate.interface.identity.bearer import Bearers, Expected
    from headgate.interface.identity.guard import BadToken

    moment = [time.time()]
    one = Idp()
    one.url = "https://login.example"

    async def fetch(url: str) -> bytes:
        return one.usual("/keys").partition(b"\r\n\r\n")[2]

    issuer = Issuer(one.url, "https://login.example/keys", fetch, lambda: moment[0])
    bearers = Bearers(issuer, Expected("plant", ["RS256"]), lambda: moment[0])
    token = signed(one).encode()
    assert (await bearers.find(token)).name == "sub:robot"
    moment[0] += 300 + 29
    assert (await bearers.find(token)).name == "sub:robot"  # clocks may differ by so much
    moment[0] += 2
    with pytest.raises(BadToken, match="expired"):
        await bearers.find(token)


async def test_keys_that_change_are_followed_and_old_ones_forgotten() -> None:
    from headgate.interface.identity.bearer import Bearers, Expected
    from headgate.interface.identity.guard import BadToken

    now, one, asked = [1000.0], Idp(), []
    one.url, one.keys = "https://login.example", [RSA]

    async def fetch(url: str) -> bytes:
        asked.append(url)
        if not one.keys:
            raise Unavailable("it is away")
        return one.usual("/keys").partition(b"\r\n\r\n")[2]

    issuer = Issuer(one.url, "https://login.example/keys", fetch, lambda: now[0])
    bearers = Bearers(issuer, Expected("plant", ["RS256", "ES256"]), time.time)
    old, new = signed(one, RSA, exp=int(time.time()) + 10**6).encode(), signed(one, EC).encode()
    await bearers.find(old)
    one.keys = [EC]
    for _ in range(100):  # whatever comes, it is not asked again at once
        with pytest.raises(BadToken):
            await bearers.find(new)
    assert len(asked) == 1
    now[0] += PAUSE + 1
    await bearers.find(new)
    with pytest.raises(BadToken):  # its key is not the issuer's any more
        await bearers.find(old)
    one.keys = []
    now[0] += FRESH + 1
    await bearers.find(new)  # the issuer is away, and its keys are good for a while
    now[0] += STALE
    with pytest.raises(Unavailable):
        await issuer.keys("ec-1")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"keys": 1}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
        b"garbage\r\n\r\n",
    ],
)
async def test_an_issuer_that_gives_no_keys_is_not_the_clients_fault(idp: Idp, served: Serving, answer: bytes) -> None:
    idp.answers["/keys"] = answer
    assert await status(served, signed(idp)) == 503
    assert "/elsewhere" not in idp.asked
    async with _client(served) as client:
        assert (await client.get("/info", headers={"X-API-Key": "alpha"})).status_code == 200
        assert (await client.get("/health", headers={"Authorization": f"Bearer {signed(idp)}"})).status_code == 200


async def test_what_an_issuer_says_of_itself_leads_nowhere_else(idp: Idp, served: Serving) -> None:
    for told in (
        {"issuer": "https://evil.example", "jwks_uri": f"{idp.url}/keys"},
        {"issuer": idp.url, "jwks_uri": "http://evil.example/keys"},
        {"issuer": idp.url, "jwks_uri": "file:///etc/passwd"},
    ):
        body = json.dumps(told).encode()
        idp.answers["/.well-known/openid-configuration"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )
        guard = served.gate.app.guard
        assert guard is not None
        guard._bearers._issuer._asked = float("-inf")  # type: ignore[union-attr]
        assert await status(served, signed(idp)) == 503
    assert "/keys" not in idp.asked


def test_an_issuer_that_anybody_could_speak_for_is_refused_by_the_file() -> None:
    for issuer in ("http://login.example", "ftp://login.example", "login.example"):
        with pytest.raises(ConfigError, match="starts with https://"):
            plan_text(CONFIG.format(issuer=issuer))
    with pytest.raises(ConfigError):
        plan_text(CONFIG.format(issuer="https://a.example").replace("plant}", "plant, algorithms: [HS256]}"))
    with pytest.raises(ConfigError):
        plan_text(CONFIG.format(issuer="https://a.example").replace("plant}", "plant, algorithms: [none]}"))


def test_tokens_alone_are_an_identity() -> None:
    text = "service: {host: 0.0.0.0, auth: {bearer: {issuer: 'https://login.example', audience: plant}}}"
    assert plan_text(text).service.auth.enabled


# Tickets

ALPHA = {"X-API-Key": "alpha"}


async def ticket(client: httpx2.AsyncClient, path: str, **headers: str) -> str:
    answer = await client.post("/tokens", params={"path": path}, headers=headers or ALPHA)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["access_token"])


async def test_a_ticket_opens_one_path_for_reading(served: Serving) -> None:
    async with _client(served) as client:
        word = await ticket(client, "/asset_stream")
        async with follow(client, "/asset_stream", access_token=word) as events:
            await client.post("/streams/assets/messages?key=a", json={"n": 1}, headers=ALPHA)
            assert json.loads((await events.next()).data)["key"] == "a"
        for path in ("/streams/assets/messages", "/info", "/nothing", "/tokens", "/docs"):
            assert (await client.get(path, params={"access_token": word})).status_code == 401
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = await client.request(method, "/asset_stream", params={"access_token": word})
            assert answer.status_code == 401


async def test_a_ticket_opens_a_socket_for_reading_alone(served: Serving) -> None:
    async with _client(served) as client:
        word = await ticket(client, "/talk")
    async with talk(served.url, f"/talk?access_token={word}") as socket:
        assert (await socket.next())["type"] == "subscribed"
        await socket.say("publish", value={}, ref=1)
        assert (await socket.next())["type"] == "error"
    with pytest.raises(InvalidStatus):
        async with talk(served.url, f"/talk?access_token={word}x"):
            pass


async def test_a_ticket_sees_what_its_owner_sees(idp: Idp, served: Serving) -> None:
    owner = {"Authorization": f"Bearer {signed(idp, scope='*:assets#a*')}"}
    async with _client(served) as client:
        word = await ticket(client, "/asset_stream", **owner)
        async with follow(client, "/asset_stream", access_token=word) as events:
            for key in ("b", "a"):
                await client.post(f"/streams/assets/messages?key={key}", json={}, headers=ALPHA)
            assert json.loads((await events.next()).data)["key"] == "a"
        nothing = {"Authorization": f"Bearer {signed(idp, scope='write:assets')}"}
        word = await ticket(client, "/asset_stream", **nothing)
        assert (await client.get("/asset_stream", params={"access_token": word})).status_code == 403


async def test_a_ticket_is_given_to_those_who_say_who_they_are_and_for_what_is_there(served: Serving) -> None:
    async with _client(served) as client:
        word = await ticket(client, "/asset_stream")
        assert (await client.post("/tokens?path=/asset_stream")).status_code == 401
        assert (await client.post(f"/tokens?path=/asset_stream&access_token={word}")).status_code == 401
        for query in ("", "path=/nothing", "path=/asset_stream&seconds=301", "path=/asset_stream&seconds=0"):
            assert (await client.post(f"/tokens?{query}", headers=ALPHA)).status_code == 422
        twice = f"/asset_stream?access_token={word}&access_token={word}"
        assert (await client.get(twice)).status_code == 400


def test_a_ticket_is_good_for_its_time_and_by_its_secret() -> None:
    now = [1000.0]
    tickets = Tickets(b"secret", lambda: now[0])
    word = tickets.write(Caller("robot", scopes=(read_scope("*:a#x*"), read_scope("write:b"))), "/a", 60)
    caller = tickets.read(word, "/a")
    assert caller is not None
    assert (caller.name, list(map(str, caller.scopes))) == ("robot", ["read:a#x*"])
    assert tickets.read(word, "/b") is None
    assert Tickets(b"other", lambda: now[0]).read(word, "/a") is None
    now[0] += 60
    assert tickets.read(word, "/a") is None


def test_a_ticket_that_was_changed_anywhere_is_none() -> None:
    tickets = Tickets(b"secret", lambda: 0.0)
    word = tickets.write(ANYONE, "/a", 60)
    assert tickets.read(word, "/a") is not None
    content, _, seal = word.partition(".")
    bad = ["", ".", "..", content, f".{seal}", f"{content}.", f"{seal}.{content}", "ä.ä", word + ".x", "x" * 100_000]
    own = part(hmac.digest(hashlib.sha256(b"x").digest(), b"x", "sha256"))
    bad += [f"{content}.{own}"]
    for at in range(len(content)):
        bad.append(f"{content[:at]}{'A' if content[at] != 'A' else 'B'}{content[at + 1 :]}.{seal}")
    assert not any(tickets.read(one, "/a") for one in bad)
