"""The audit: who changed something and who was refused, and nothing that is a secret."""

import json
from typing import Any

import httpx2
import pytest

from headgate.errors import ConfigError
from headgate.interface.audit import MOST, Audit
from headgate.spec.resolve import plan_text
from tests.gates.inside import Serving
from tests.gates.web import eventually, web

CONFIG = """
service: {audit: audit, auth: {keys: [planted-secret-key]}}
streams: {notes: {}, audit: {}}
runtime: {web: {interfaces: [{kind: messages, path: /poll, stream: notes, policies: {rate_limit: {limit: 1}}}]}}
"""
KEY = {"X-API-Key": "planted-secret-key"}


async def entries(client: httpx2.AsyncClient, served: Serving) -> list[dict[str, Any]]:
    audit = served.gate.app.audit
    assert audit is not None
    await eventually(lambda: not audit.waits)
    answer = await client.get("/streams/audit/messages", headers=KEY)
    return [message["value"] for message in answer.json()] if answer.status_code == 200 else []


async def test_changes_and_refusals_are_noted_and_reading_is_not() -> None:
    async with web(CONFIG) as (client, served):
        path = "/streams/notes/messages"
        await client.get(path, headers=KEY)
        sent = await client.post(f"{path}?key=a", json={"secret": "planted-in-body"}, headers=KEY)
        await client.post(f"{path}?token=planted-in-query", json={}, headers={"X-API-Key": "planted-wrong-key"})
        await client.get("/nothing/here")
        for _ in range(2):
            await client.get("/poll", headers=KEY)
        told = await entries(client, served)
        assert [(e["caller"], e["method"], e["route"], e["status"]) for e in told] == [
            ("key-1", "POST", path, 200),
            ("stranger", "POST", path, 401),
            ("stranger", "GET", "other", 401),
            ("key-1", "GET", "/poll", 429),
        ]
        assert told[0]["request_id"] == sent.headers["x-request-id"]
        assert (told[0]["address"], told[2]["path"]) == ("127.0.0.1", "/nothing/here")
        assert "planted" not in json.dumps(told)


async def test_what_was_noted_is_kept_over_a_reload_and_to_the_end() -> None:
    async with web(CONFIG) as (client, served):
        await client.post("/streams/notes/messages", json={}, headers=KEY)
        await served.gate.reload(plan_text(CONFIG))
        await client.post("/streams/notes/messages", json={}, headers=KEY)
        assert len(await entries(client, served)) == 2
        stream = served.gate.streams["audit"]
        await client.post("/streams/notes/messages", json={}, headers=KEY)
        await served.gate.close()
        assert stream.stats.published == 3


async def test_a_stream_that_does_not_keep_up_costs_no_more_than_its_room() -> None:
    async with web(CONFIG) as (_, served):
        audit = Audit(served.gate.streams["audit"])
        request = type("Asked", (), {"method": "POST", "path": "/", "id": "1", "scope": {}})()
        request.caller = type("Caller", (), {"name": "x"})()
        assert all(audit.note(request, "/", 200) for _ in range(MOST))
        assert not any(audit.note(request, "/", 200) for _ in range(5))


def test_its_stream_has_to_be_there_and_take_json() -> None:
    with pytest.raises(ConfigError, match='there is no stream "audit"'):
        plan_text("service: {audit: audit}")
    with pytest.raises(ConfigError, match="has the codec raw"):
        plan_text("service: {audit: audit}\nstreams: {audit: {codec: raw}}")
