"""A command interface from outside: what goes to devices, what is told of it, and that nothing goes twice."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from headgate.core.message import Message
from tests.gates.commands import PATH, command, commanding, on
from tests.gates.web import PATIENCE
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresCluster

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/book.db"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.create_database()


def moment(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_command_is_published_and_followed_until_the_device_has_answered(url: str) -> None:
    async with commanding(url) as client:
        response = await client.push(command(payload={"a": 1.5}, protocol="MQTT", metadata={"topic": "x"}))
        answer = response.json()
        assert (response.status_code, answer["success"], answer["message"]) == (200, True, "Command published")
        assert answer["timestamp"].endswith("Z")
        [told] = await client.published()
        assert told["request_id"] == answer["request_id"]
        assert (told["timestamp"], told["protocol"], told["metadata"]) == (answer["timestamp"], "mqtt", {"topic": "x"})
        [message] = await on(client.stream)
        assert (message.key, message.headers) == (b"d1", ())
        status = await client.status(answer["request_id"])
        assert (status["status"], status["timestamp"]) == ("published", answer["timestamp"])
        await client.answer(answer["request_id"], status="delivered")
        await client.until(answer["request_id"], "delivered")
        waiting = asyncio.create_task(client.status(answer["request_id"], wait="10s"))
        await client.answer(answer["request_id"], status="ack", message="rebooted")
        settled = await waiting
        assert (settled["status"], settled["detail"]) == ("acknowledged", "rebooted")
        assert [step["status"] for step in settled["history"]] == ["published", "delivered", "acknowledged"]


async def test_an_unknown_command_is_told_from_one_that_is_new(url: str) -> None:
    async with commanding(url) as client:
        for path in ("nobody/status", "nobody/events", "{request_id}/status", "nobody/status?wait=10s"):
            response = await client.http.get(f"{PATH}/{path}")
            assert (response.status_code, response.json()["type"]) == (404, "CommandNotFoundError")
        for _ in range(20):  # whatever the book has read of the stream by then
            request_id = (await client.push(command())).json()["request_id"]
            assert (await client.status(request_id))["status"] == "published"
        assert (await client.http.get(f"{PATH}/nobody/nothing")).status_code == 404
        assert (await client.http.get(f"{PATH}/x/status?wait=soon")).status_code == 422


async def test_a_bad_command_of_a_batch_fails_alone_and_order_is_kept(url: str) -> None:
    async with commanding(url) as client:
        sent = [command(f"d{n % 3}", payload={"n": n}) for n in range(30)]
        sent[7] = command("d1", qos=9)
        response = await client.push(*sent)
        answer = response.json()
        assert (response.status_code, answer["total_commands"], answer["successful"], answer["failed"]) == (
            207,
            30,
            29,
            1,
        )
        assert [result["success"] for result in answer["results"]] == [n != 7 for n in range(30)]
        assert answer["results"][7]["message"] == "qos: expected int <= 2"
        assert answer["results"][7]["type"] == "CommandValidationError"
        told = await client.published()
        assert [item["payload"]["n"] for item in told] == [n for n in range(30) if n != 7]
        assert [r["request_id"] for r in answer["results"] if r["success"]] == [item["request_id"] for item in told]
        response = await client.push(command(qos=9), command(device=""))
        assert (response.status_code, response.json()["type"], response.json()["failed"]) == (
            400,
            "CommandValidationError",
            2,
        )
        assert (await client.http.post(f"{PATH}/batch", json={"commands": []})).json()["total_commands"] == 0


@pytest.mark.parametrize(
    ("content", "media", "status", "name"),
    [
        (b"{", "application/json", 400, "CommandValidationError"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "CommandValidationError"),
        (b" " * 2_000_000, "application/json", 413, "CommandValidationError"),
        (b"[" * 100_000, "application/json", 400, "CommandValidationError"),
    ],
)
async def test_what_is_no_command_is_refused(
    tmp_path: Path, content: bytes, media: str, status: int, name: str
) -> None:
    async with commanding(f"sqlite:///{tmp_path}/book.db") as client:
        for path in (PATH, f"{PATH}/batch"):
            response = await client.http.post(path, content=content, headers={"Content-Type": media})
            assert (response.status_code, response.json()["type"]) == (status, name)
            assert response.json()["error"]
        assert await client.published() == []


async def test_one_key_is_one_command_however_often_it_is_sent_at_once(url: str) -> None:
    async with commanding(url) as client:
        client.http.timeout = 60
        responses = await asyncio.gather(*(client.push(command(), key="k") for _ in range(1000)))
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        assert len(await client.published()) == 1
        other = await client.push(command(payload={"a": 1}), key="k")
        assert (other.status_code, other.json()["type"]) == (422, "IdempotencyKeyReusedError")
        assert len(await client.published()) == 1


async def test_an_id_of_ones_own_is_a_key_too(url: str) -> None:
    async with commanding(url) as client:
        first, again = [await client.push(command(request_id="mine")) for _ in range(2)]
        assert (first.status_code, first.content) == (200, again.content)
        assert first.json()["request_id"] == "mine"
        assert (await client.push(command("d2", request_id="mine"))).status_code == 422
        assert len(await client.published()) == 1
        assert [step["status"] for step in (await client.status("mine"))["history"]] == ["accepted", "published"]


async def test_a_batch_with_a_key_is_one_batch(url: str) -> None:
    async with commanding(url) as client:
        batch = [command(payload={"n": n}) for n in range(10)]
        batch[3] = command(qos=9)
        first, again = [await client.push(*batch, key="k") for _ in range(2)]
        ids = [[result["request_id"] for result in r.json()["results"] if result["success"]] for r in (first, again)]
        assert (first.status_code, again.status_code, ids[0]) == (207, 207, ids[1])
        assert [item["payload"]["n"] for item in await client.published()] == [n for n in range(10) if n != 3]


async def test_a_command_for_later_waits_and_may_be_cancelled(url: str) -> None:
    async with commanding(url) as client:
        soon, never = command(not_before=moment(0.7), payload={"n": 1}), command(not_before=moment(3600))
        first, second = await client.push(soon), await client.push(never)
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.headers["location"] == f"{PATH}/{first.json()['request_id']}/status"
        ids = [response.json()["request_id"] for response in (first, second)]
        assert (await client.status(ids[1]))["status"] == "accepted"
        assert await client.published() == []
        cancelled = await client.http.delete(f"{PATH}/{ids[1]}")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert (await client.http.delete(f"{PATH}/{ids[1]}")).status_code == 200
        await client.until(ids[0], "published")
        [told] = await client.published()
        assert (told["request_id"], told["payload"]) == (ids[0], {"n": 1})
        late = await client.http.delete(f"{PATH}/{ids[0]}")
        assert (late.status_code, late.json()["type"]) == (409, "CommandNotCancellableError")
        assert (await client.http.delete(f"{PATH}/nobody")).status_code == 404


async def test_a_high_priority_goes_first_and_has_a_lane(tmp_path: Path) -> None:
    given = {
        "streams": "{commands: {}, answers: {}, urgent: {}}",
        "interface": ", lanes: [{priority: 8, stream: urgent}]",
    }
    async with commanding(f"sqlite:///{tmp_path}/book.db", **given) as client:
        due = moment(0.5)
        for priority in (1, 5, 0, 8, 5):
            assert (await client.push(command(priority=priority, not_before=due))).status_code == 202
        assert (await client.push(command(priority=9))).status_code == 200
        urgent = client.serving.gate.streams["urgent"]
        async with asyncio.timeout(PATIENCE):
            while len(await on(urgent)) + len(await client.published()) < 6:
                await asyncio.sleep(0.02)
        assert [item["priority"] for item in await client.published()] == [5, 5, 1, 0]
        assert [json.loads(message.value)["priority"] for message in await on(urgent)] == [9, 8]
        status = await client.status(json.loads((await on(urgent))[0].value)["request_id"])
        assert (status["status"], status["priority"]) == ("published", 9)


async def test_a_command_expires_unless_the_device_answers_late(url: str) -> None:
    more = "commands: {blink: {expires: 300ms}}"
    async with commanding(url, more=more) as client:
        expired = (await client.push(command(command_type="blink"))).json()["request_id"]
        unpublished = (await client.push(command(not_before=moment(3600), expires_at=moment(3601)))).json()[
            "request_id"
        ]
        told = await client.until(expired, "expired")
        assert told["expires_at"] is not None
        assert (await client.status(expired, wait="10s"))["status"] == "expired"  # at once
        await client.answer(expired, status="ok")
        assert [step["status"] for step in (await client.until(expired, "acknowledged"))["history"]] == [
            "published",
            "expired",
            "acknowledged",
        ]
        assert (await client.status(unpublished))["status"] == "accepted"


async def test_who_prefers_to_wait_gets_the_answer_of_the_device(url: str) -> None:
    async with commanding(url) as client:

        async def push(wait: str, **more: object) -> httpx2.Response:
            return await client.http.post(PATH, json=command(**more), headers={"Prefer": wait})

        waiting = asyncio.create_task(push("respond-async, wait=30", request_id="a"))
        async with asyncio.timeout(PATIENCE):
            while (await client.http.get(f"{PATH}/a/status")).json().get("status") != "published":
                await asyncio.sleep(0.01)
        await client.answer("a", status="failed", error="no power")
        answer = await waiting
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait")
        assert (answer.json()["success"], answer.json()["status"], answer.json()["detail"]) == (
            True,
            "failed",
            "no power",
        )
        late = await push("wait=1")
        assert (late.status_code, late.json()["status"]) == (202, "published")
        assert late.headers["location"] == f"{PATH}/{late.json()['request_id']}/status"


async def test_commands_are_listed_by_what_they_are(url: str) -> None:
    async with commanding(url) as client:
        for n in range(25):
            await client.push(command(f"d{n % 2}", command_type=f"t{n % 5}", request_id=f"r{n}"))
        await client.answer("r4", status="failed", error="no")
        await client.until("r4", "failed")

        async def listed(query: str) -> list[str]:
            found, cursor = [], ""
            while cursor is not None:
                response = await client.http.get(f"{PATH}?limit=4&{query}{cursor}")
                assert response.status_code == 200, response.text
                page = response.json()
                found += [item["request_id"] for item in page["commands"]]
                cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
            return found

        assert await listed("") == [f"r{n}" for n in reversed(range(25))]
        assert await listed("device_id=d1&command_type=t3") == ["r23", "r13", "r3"]
        assert await listed("status=failed") == ["r4"]
        assert await listed(f"until={moment(-60)}") == []
        assert len(await listed(f"since={moment(-60)}")) == 25
        for wrong in (
            "status=gone",
            "limit=0",
            "limit=x",
            "cursor=x",
            "since=yesterday",
            "since=2026-01-01T00:00:00",
            "a=1",
        ):
            response = await client.http.get(f"{PATH}?{wrong}")
            assert (response.status_code, response.json()["type"]) == (422, "CommandValidationError")


async def test_transitions_come_as_events_and_go_on_where_a_client_was(url: str) -> None:
    async with commanding(url) as client:
        await client.push(command(request_id="a"))

        async def events(after: str = "") -> list[str]:
            headers = {"Last-Event-ID": after} if after else {}
            response = await client.http.get(f"{PATH}/a/events", headers=headers)
            assert response.status_code in (200, 204)
            return [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]

        waiting = asyncio.create_task(events())
        await client.answer("a", status="delivered")
        await client.until("a", "delivered")
        await client.answer("a", status="ok")
        assert await waiting == ["accepted", "published", "delivered", "acknowledged"]
        assert await events("2") == ["delivered", "acknowledged"]
        assert await events("4") == []
        assert (await client.http.get(f"{PATH}/a/events", headers={"Last-Event-ID": "x"})).status_code == 400


async def test_the_service_tells_of_itself_as_it_did_before(tmp_path: Path) -> None:
    async with commanding(f"sqlite:///{tmp_path}/book.db") as client:
        await client.push(command())
        await client.push(command(qos=9))
        assert (await client.http.get("/health")).json()["status"] == "healthy"
        assert (await client.http.get("/api/v1/health")).json() == {"status": "healthy", "version": "1.2.3"}
        status = (await client.http.get("/api/v1/status")).json()
        assert (status["service"], status["version"], status["kafka_connected"]) == ("pusher", "1.2.3", True)
        assert (status["commands_processed"], status["last_error"]) == (1, "qos: expected int <= 2")
        assert status["uptime"] == "0:00:00"
        counters = {"commands_sent": 1, "commands_failed": 1, "last_error": "qos: expected int <= 2"}
        assert status["metrics"] == counters
        assert (await client.http.get("/api/v1/metrics")).json() == counters
        lines = (await client.http.get("/metrics")).text
        assert f'commands_total{{path="{PATH}",status="success"}} 1.0' in lines
        assert f'command_duration_seconds_count{{path="{PATH}"}} 2.0' in lines
        assert f'route="{PATH}/{{request_id}}/status"' not in lines
        await client.http.get(f"{PATH}/any/status")
        assert f'route="{PATH}/{{request_id}}/status"' in (await client.http.get("/metrics")).text
        described = (await client.http.get("/openapi.json")).json()
        assert described["info"]["version"] == "1.2.3"
        assert f"{PATH}/{{request_id}}/status" in described["paths"]


async def test_a_repeated_request_gets_the_first_answer_whatever_came_of_it(url: str) -> None:
    async with commanding(url) as client:
        later = command(not_before=moment(3600))
        first = await client.push(later, key="cancelled")
        await client.http.delete(f"{PATH}/{first.json()['request_id']}")
        again = await client.push(later, key="cancelled")
        assert (again.status_code, again.content) == (202, first.content)
        soon = command(expires_at=moment(0.5))
        first = await client.push(soon, key="over")
        await client.until(first.json()["request_id"], "expired")
        again = await client.push(soon, key="over")
        assert (again.status_code, again.content) == (200, first.content)
        late = await client.push(command(expires_at=moment(-1)), key="late")
        assert (late.status_code, late.json()["type"]) == (409, "CommandExpiredError")
        assert len(await client.published()) == 1


async def test_what_others_write_on_the_stream_never_stops_the_book(url: str) -> None:
    async with commanding(url) as client:
        odd = {
            "priority": 10**30,
            "device_id": "a\0b" + "x" * 5000,
            "command_type": "\0",
            "protocol": "P\u2028" * 500,
            "timestamp": "0001-01-01T00:00:00+10:00",
            "expires_at": "9999-12-31T23:59:59-10:00",
        }
        for number, (name, value) in enumerate(odd.items()):
            await client.stream.publish(
                [Message(value=json.dumps(command() | {"request_id": f"r{number}", name: value}).encode())]
            )
        await client.stream.publish(
            [Message(value=b"no json"), Message(value=b"[]"), Message(value=b'{"request_id": 5}')]
        )
        assert (await client.push(command(), key="k")).status_code == 200
        await client.answer("r0", status="failed", error="a\u2028b\0c")
        await client.until("r0", "failed")
        listed = (await client.http.get(PATH)).json()["commands"]
        assert {row["request_id"] for row in listed} >= {f"r{number}" for number in range(4)}
        waiting = await client.http.get(f"{PATH}/r0/events")
        assert "failed" in waiting.text


async def test_numbers_and_names_beyond_all_bounds_are_refused(url: str) -> None:
    async with commanding(url) as client:
        await client.push(command(request_id="a"))
        for path in ("%00/status", "a%00/events", "%F0%9F%98%80/status"):
            assert (await client.http.get(f"{PATH}/{path}")).status_code == 404
        assert (await client.http.delete(f"{PATH}/%00")).status_code == 404
        for query in ("limit=00000000000000000001999999", f"cursor={'9' * 40}", "device_id=%00", "command_type=a%00"):
            assert (await client.http.get(f"{PATH}?{query}")).status_code == 422
        assert (await client.http.get(f"{PATH}/a/events?after={'9' * 5000}")).status_code == 400
        for name in ("not_before", "expires_at"):
            response = await client.push(command(**{name: "9999-12-31T23:59:59-23:59"}))
            assert (response.status_code, response.json()["type"]) == (400, "CommandValidationError")
        assert (await client.http.get(PATH)).status_code == 200


async def test_without_a_book_commands_flow_and_nothing_is_kept() -> None:
    async with commanding("postgresql://nobody@127.0.0.1:1/none", interface=", track: false") as client:
        request_id = (await client.push(command())).json()["request_id"]
        assert len(await client.published()) == 1
        assert (await client.http.get(f"{PATH}/{request_id}/status")).status_code == 404
        refused = await client.push(command(), key="k")
        assert (refused.status_code, refused.json()["type"]) == (400, "CommandValidationError")


async def test_a_book_that_is_away_stops_no_command_and_catches_up(own_postgres: Callable[[], PostgresCluster]) -> None:
    cluster = own_postgres()
    async with commanding(cluster.create_database()) as client:
        first = (await client.push(command())).json()["request_id"]
        await client.until(first, "published")
        cluster.kill()
        second = await client.push(command())
        assert second.status_code == 200
        assert (await client.status(second.json()["request_id"]))["status"] == "unknown"
        keyed = await client.push(command(), key="k")
        assert (keyed.status_code, keyed.json()["type"]) == (503, "KafkaConnectionError")
        assert keyed.headers["retry-after"]
        await asyncio.to_thread(cluster.start)
        async with asyncio.timeout(30):
            while (await client.status(second.json()["request_id"]))["status"] != "published":
                await asyncio.sleep(0.1)
        assert (await client.push(command(), key="k")).status_code == 200
        assert len(await client.published()) == 3


async def test_two_gates_share_a_book_and_a_stream(kafka: KafkaBroker, postgres: PostgresCluster) -> None:
    database, given = postgres.create_database(), on_kafka(kafka)
    async with commanding(database, **given) as one, commanding(database, **given) as other:
        responses = await asyncio.gather(
            *(gate.push(command(), key=f"k{n % 20}") for n in range(200) for gate in (one, other))
        )
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 20
        request_id = (await other.push(command("d7"))).json()["request_id"]
        assert (await one.status(request_id))["status"] == "published"
        waiting = asyncio.gather(*(gate.status(request_id, wait="20s") for gate in (one, other)))
        await other.answer(request_id, status="ok")
        assert [told["status"] for told in await waiting] == ["acknowledged", "acknowledged"]
        assert len(await one.published()) == 21


def on_kafka(kafka: KafkaBroker) -> dict[str, str]:
    topics = kafka.create_topic(partitions=3), kafka.create_topic()
    commands, answers = (f"{{transport: kafka, topic: {topic}}}" for topic in topics)
    return {"streams": f"{{commands: {commands}, answers: {answers}}}", "kafka": kafka.bootstrap}
