"""The description: an OpenAPI 3.1 document of everything that the gate serves."""

import re
from collections.abc import Iterator
from typing import Any

from headgate.core.codec import decode_json
from headgate.spec.resolve import plan_text
from tests.gates.web import web

CONFIG = """
streams: {notes: {codec: json}, a.b: {}, a-b: {}, a_b: {}, jobs: {delivery: queue}}
runtime: {web: {interfaces: [{kind: messages, path: /messages, stream: jobs}]}}
"""
METHODS = {"get", "post", "put", "delete", "patch", "head", "options", "trace"}


async def document(config: str = CONFIG) -> dict[str, Any]:
    async with web(config) as (client, _):
        described: dict[str, Any] = (await client.get("/openapi.json")).json()
        return described


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


async def test_the_document_has_the_shape_of_openapi_3_1() -> None:
    described = await document()
    assert re.fullmatch(r"3\.1\.\d+", described["openapi"])
    assert described["info"].keys() >= {"title", "version"}
    for path, method, operation in operations(described):
        assert path.startswith("/")
        assert method in METHODS
        assert operation["responses"], path
        assert operation["summary"], path
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            check_content(response.get("content", {}))
        check_content(operation.get("requestBody", {"content": {}})["content"])


def check_content(content: dict[str, Any]) -> None:
    for media, entry in content.items():
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+(;.*)?", media)
        check_schema(entry["schema"])


def check_schema(schema: Any) -> None:
    assert isinstance(schema, dict)
    given = schema.get("type", [])
    kinds = set(given if isinstance(given, list) else [given])
    assert kinds <= {"object", "array", "string", "integer", "number", "boolean", "null"}
    for part in [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]:
        check_schema(part)
    if "items" in schema:
        check_schema(schema["items"])
    assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


async def test_parameters_stand_once_and_have_a_schema() -> None:
    for path, _, operation in operations(await document()):
        names = [(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])]
        assert len(set(names)) == len(names), path
        for parameter in operation.get("parameters", []):
            assert parameter["description"]
            check_schema(parameter["schema"])


async def test_an_operation_has_an_id_of_its_own_even_where_names_look_alike() -> None:
    ids = [operation["operationId"] for _, _, operation in operations(await document())]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z0-9_]+", one) for one in ids)


async def test_every_route_is_described() -> None:
    async with web(CONFIG) as (client, served):
        described = (await client.get("/openapi.json")).json()
        routes = {(route.path, route.method.lower()) for route in served.gate.app.router.routes}
        assert routes == {(path, method) for path, method, _ in operations(described)}
        assert ("/streams/notes/messages", "post") in routes
        assert ("/messages", "get") in routes


async def test_a_queue_is_described_without_places() -> None:
    described = await document()
    parameters = described["paths"]["/streams/jobs/messages"]["get"]["parameters"]
    assert [parameter["name"] for parameter in parameters] == ["limit", "wait"]


async def test_an_error_may_have_its_plain_form_wherever_it_is_described() -> None:
    for path, _, operation in operations(await document()):
        for status, response in operation["responses"].items():
            if status >= "400":
                schema = response["content"]["application/json"]["schema"]
                forms = schema.get("anyOf", [schema])
                assert ["error", "type"] in [form["required"] for form in forms], (path, status)


async def test_the_document_follows_a_reload() -> None:
    async with web(CONFIG) as (client, served):
        await client.get("/openapi.json")
        await served.gate.reload(plan_text("streams: {fresh: {}}"))
        paths = decode_json((await client.get("/openapi.json")).content)["paths"]
        assert "/streams/fresh/messages" in paths
        assert "/streams/notes/messages" not in paths


async def test_statuses_that_were_seen_are_described() -> None:
    async with web(CONFIG) as (client, _):
        paths = (await client.get("/openapi.json")).json()["paths"]
        path = "/streams/notes/messages"
        posted = [
            await client.post(path, content=body, headers={"Content-Type": media})
            for body, media in [
                (b"1", "application/json"),
                (b"1\n{", "application/x-ndjson"),
                (b"{", "application/json"),
            ]
        ]
        posted += [await client.post(path, content=b"1", headers={"Content-Type": "a/b"})]
        posted += [await client.post(path, content=b"1" * 1_048_577)]
        assert [answer.status_code for answer in posted] == [200, 207, 400, 415, 413]
        assert {str(answer.status_code) for answer in posted} <= paths[path]["post"]["responses"].keys()
        got = [await client.get(path, params=params) for params in ({}, {"from": "newest"}, {"wait": "x"})]
        got += [await client.get(path, headers={"Accept": "text/html"})]
        assert [answer.status_code for answer in got] == [200, 204, 400, 406]
        assert {str(answer.status_code) for answer in got} <= paths[path]["get"]["responses"].keys()
