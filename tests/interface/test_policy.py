"""Policies: how often, how much and how long, whatever kind of interface it is."""

import asyncio
import json
from collections import Counter

import pytest
from websockets.exceptions import InvalidStatus

from headgate.errors import HeadgateError
from headgate.interface.exchange import Request
from headgate.interface.policy import address_of
from headgate.spec.resolve import plan_text
from tests.gates.events import follow
from tests.gates.sockets import talk
from tests.gates.web import eventually, raw, web

STREAMS = "streams: {notes: {codec: json}, orders: {}}\n"
KEYS = "service: {auth: {keys: [alpha, beta]}}\n"


def config(kind: str, policies: str, more: str = "") -> str:
    return f"{more}{STREAMS}runtime: {{web: {{interfaces: [{{{kind}, policies: {{{policies}}}}}]}}}}"


def limited(kind: str, rate: str, more: str = "") -> str:
    return config(kind, f"rate_limit: {{{rate}}}", more)


POLL = "kind: messages, path: /poll, stream: notes"
SSE = "kind: sse, path: /follow, stream: notes"
SOCKET = "kind: websocket, path: /talk, stream: notes, publish: notes"
COMMANDS = "kind: command, path: /api/commands, stream: orders, track: false"
COMMAND = {"device_id": "d", "command_type": "t", "payload": {}, "protocol": "mqtt"}


@pytest.mark.parametrize(
    "kind", ["fixed_window", "sliding_window_counter", "sliding_window_log", "token_bucket", "leaky_bucket"]
)
async def test_exactly_as_many_as_the_limit_come_through_at_once(kind: str) -> None:
    async with web(limited(POLL, f"kind: {kind}, limit: 40, window: 1h")) as (client, _):
        answers = await asyncio.gather(*(client.get("/poll") for _ in range(100)))
        assert Counter(answer.status_code for answer in answers) == {204: 40, 429: 60}


async def test_an_answer_says_what_is_left_and_a_refusal_when_to_come_again() -> None:
    async with web(limited(POLL, "limit: 2, window: 1h")) as (client, _):
        answers = [await client.get("/poll") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [204, 204, 429]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=2;w=3600'}
        left = [answer.headers["ratelimit"].split(";t=") for answer in answers]
        assert [words for words, _ in left] == ['"requests";r=1', '"requests";r=0', '"requests";r=0']
        assert all(0 < int(reset) <= 3600 for _, reset in left)
        assert answers[2].headers["retry-after"] == left[2][1]
        assert answers[2].json() == {
            "error": "2 requests in 3600 s are the limit here; try again later",
            "type": "rate_limited",
            "code": "rate_limited",
        }


async def test_who_waits_as_long_as_is_said_is_served() -> None:
    async with web(limited(POLL, "kind: token_bucket, limit: 1, window: 1")) as (client, _):
        assert (await client.get("/poll")).status_code == 204
        refused = await client.get("/poll")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await client.get("/poll")).status_code == 204


async def test_a_command_interface_refuses_in_its_own_words_and_counts_all_below_its_path() -> None:
    async with web(limited(COMMANDS, "limit: 2, window: 1h")) as (client, _):
        answers = [await client.post("/api/commands", json=COMMAND)]
        answers += [await client.post("/api/commands/batch", json={"commands": [COMMAND]}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert (answers[2].json()["type"], answers[2].json()["code"]) == ("RateLimitError", "rate_limited")
        assert (await client.get("/api/health")).status_code == 200


async def test_only_the_methods_that_are_named_count() -> None:
    async with web(limited(COMMANDS, "limit: 1, window: 1h, methods: [POST]")) as (client, _):
        assert [(await client.get("/api/commands")).status_code for _ in range(5)] == [404] * 5  # nothing is tracked
        answers = [await client.post("/api/commands", json=COMMAND) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]


async def test_each_key_has_a_count_of_its_own_and_a_wrong_one_none() -> None:
    async with web(limited(POLL, "limit: 2, window: 1h", KEYS)) as (client, _):
        for key in ("alpha", "beta"):
            statuses = [(await client.get("/poll", headers={"X-API-Key": key})).status_code for _ in range(3)]
            assert statuses == [204, 204, 429]
        assert (await client.get("/poll", headers={"X-API-Key": "gamma"})).status_code == 401


async def test_a_limit_per_identity_is_nobody_elses() -> None:
    async with web(limited(POLL, "limit: 1, window: 1h, per: identity")) as (client, _):
        answers = [await client.get("/poll") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {204}
        assert "ratelimit" not in answers[0].headers
    async with web(limited(POLL, "limit: 1, window: 1h, per: identity", KEYS)) as (client, _):
        statuses = [(await client.get("/poll", headers={"X-API-Key": "alpha"})).status_code for _ in range(2)]
        assert statuses == [204, 429]


async def test_a_limit_per_address_counts_keys_together() -> None:
    async with web(limited(POLL, "limit: 1, window: 1h, per: address", KEYS)) as (client, _):
        statuses = [(await client.get("/poll", headers={"X-API-Key": key})).status_code for key in ("alpha", "beta")]
        assert statuses == [204, 429]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),  # whoever has one address of a network has all of them
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("unix", "unix", True),
    ],
)
def test_an_address_is_what_one_client_has(one: str, other: str, same: bool) -> None:
    async def receive() -> dict[str, str]:
        return {}

    def request(address: str) -> Request:
        scope = {"method": "GET", "path": "/", "headers": [], "client": (address, 1)}
        return Request(scope, receive, limit=0, id="")

    assert (address_of(request(one)) == address_of(request(other))) is same


async def test_those_who_follow_take_their_places_until_they_leave() -> None:
    async with web(limited(SSE, "kind: concurrency, limit: 2")) as (client, _):
        async with follow(client, "/follow"), follow(client, "/follow"):
            refused = await client.get("/follow")
            assert (refused.status_code, refused.headers["ratelimit"]) == (429, '"requests";r=0')
        for _ in range(100):  # their places are free as soon as the gate knows that they left
            try:
                async with follow(client, "/follow"):
                    return
            except AssertionError:
                await asyncio.sleep(0.02)
        raise AssertionError("the places were not given back")


async def test_sockets_take_their_places_until_they_leave() -> None:
    async with web(limited(SOCKET, "kind: concurrency, limit: 1")) as (_, served):
        async with talk(served.url, "/talk"):
            with pytest.raises(InvalidStatus) as refused:
                async with talk(served.url, "/talk"):
                    pass
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["ratelimit"] == '"requests";r=0'
        await eventually(lambda: not served.gate.app._stats.in_flight)
        async with talk(served.url, "/talk"):
            pass


async def test_requests_that_fail_give_their_places_back() -> None:
    async with web(limited(POLL, "kind: concurrency, limit: 1")) as (client, served):
        for _ in range(3):
            assert (await client.get("/poll?wait=x")).status_code == 400
        async with raw(served.url) as connection:
            connection.send(b"GET /poll?wait=20 HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: served.gate.app._stats.in_flight == 1)
            assert (await client.get("/poll")).status_code == 429
            connection.leave()
        await eventually(lambda: served.gate.app._stats.in_flight == 0)
        assert (await client.get("/poll")).status_code == 204


async def test_counts_go_on_over_a_reload_that_leaves_them_as_they_are() -> None:
    text = limited(POLL, "limit: 2, window: 1h")
    async with web(text) as (client, served):
        assert [(await client.get("/poll")).status_code for _ in range(3)] == [204, 204, 429]
        await served.gate.reload(plan_text(text))
        assert (await client.get("/poll")).status_code == 429
        await served.gate.reload(plan_text(text.replace("limit: 2", "limit: 3")))
        assert (await client.get("/poll")).status_code == 204


async def test_a_body_has_the_size_that_the_interface_allows() -> None:
    async with web(config(COMMANDS, "request_size_bytes: 300")) as (client, served):
        small = await client.post("/api/commands", json=COMMAND)
        large = await client.post("/api/commands", json={**COMMAND, "payload": {"x": "y" * 300}})
        assert (small.status_code, large.status_code) == (200, 413)
        assert "policies.request_size_bytes of the interface" in large.json()["error"]
        async with raw(served.url) as connection:
            head = b"POST /api/commands HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.send(head + b"Content-Length: 52428800\r\nExpect: 100-continue\r\n\r\n")
            assert (await connection.head()).status == 413


async def test_a_body_may_be_larger_where_the_interface_says_so() -> None:
    more = "service: {limits: {request_size_bytes: 100}}\n"
    async with web(config(COMMANDS, "request_size_bytes: 4000", more)) as (client, _):
        large = await client.post("/api/commands", json={**COMMAND, "payload": {"x": "y" * 300}})
        assert large.status_code == 200
        assert (await client.post("/streams/notes/messages", json="x" * 300)).status_code == 413


async def test_a_frame_has_the_size_that_the_interface_allows() -> None:
    async with web(config(SOCKET, "request_size_bytes: 200")) as (_, served), talk(served.url, "/talk") as client:
        await client.connection.send(json.dumps({"type": "publish", "id": "1", "value": "x" * 300}))
        frames, code, _ = await client.rest()
        assert ([frame["type"] for frame in frames], code) == (["subscribed"], 1009)


async def test_an_answer_that_does_not_come_in_time_is_a_504() -> None:
    async with web(config(POLL, "timeout_ms: 50")) as (client, _):
        late = await client.get("/poll?wait=20")
        assert late.status_code == 504
        assert late.json() == {
            "error": "there was no answer within 0.05 s; whether the request was carried out is not known",
            "type": "timeout",
        }
        assert (await client.get("/poll")).status_code == 204


async def test_a_body_that_drips_is_not_waited_for() -> None:
    async with web(config(COMMANDS, "timeout_ms: 50")) as (_, served), raw(served.url) as connection:
        head = b"POST /api/commands HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.send(head + b"Content-Length: 100\r\n\r\n{")
        answer = await connection.answer()
        assert (answer.status, json.loads(answer.body)["type"]) == (504, "TimeoutError")


async def test_those_who_follow_stay_longer_than_a_request_may_take() -> None:
    async with web(config(SSE, "timeout_ms: 500")) as (client, _), follow(client, "/follow") as events:
        await asyncio.sleep(0.6)
        await client.post("/streams/notes/messages", json={"a": 1})
        assert (await events.next()).data == '{"a":1}'


async def test_a_socket_stays_open_longer_than_a_request_may_take() -> None:
    async with web(config(SOCKET, "timeout_ms: 500")) as (_, served), talk(served.url, "/talk") as socket:
        await asyncio.sleep(0.6)
        await socket.say("subscribe", id="a")
        assert {(await socket.next())["type"] for _ in range(2)} == {"subscribed"}


async def test_an_interface_below_another_has_its_own_policies() -> None:
    interfaces = "{kind: messages, path: /a, stream: notes, policies: {rate_limit: {limit: 1, window: 1h}}}"
    interfaces += ", {kind: messages, path: /a/b, stream: notes}"
    async with web(f"{STREAMS}runtime: {{web: {{interfaces: [{interfaces}]}}}}") as (client, _):
        assert [(await client.get("/a")).status_code for _ in range(2)] == [204, 429]
        assert {(await client.get("/a/b")).status_code for _ in range(5)} == {204}


async def test_the_limits_are_described() -> None:
    async with web(config(POLL, "rate_limit: {limit: 5}, timeout_ms: 1000")) as (client, _):
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"429", "504"} <= paths["/poll"]["get"]["responses"].keys()
        assert not {"504"} & paths["/streams/notes/messages"]["get"]["responses"].keys()


def test_a_limit_that_cannot_be_kept_is_refused_by_the_file() -> None:
    for rate, told in [
        ("kind: sliding_window_log, limit: 10001", "keeps the time of every request: up to 10,000"),
        ("limit: 0", "must be at least 1"),
        ("kind: window, limit: 1", "fixed_window"),
    ]:
        with pytest.raises(HeadgateError, match=told):
            plan_text(limited(POLL, rate))
