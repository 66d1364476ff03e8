"""The pages behind the hot routes: the documentation, loaded when it is asked for."""

import asyncio

from tests.gates.web import web

NOTES = "{service: {name: weld-line}, streams: {notes: {codec: json}}}"


async def test_the_documentation_is_a_page() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/docs")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "weld-line" in answer.text


async def test_the_document_is_there_for_programs() -> None:
    async with web(NOTES) as (client, _):
        document = (await client.get("/openapi.json")).json()
        assert document["info"] == {"title": "weld-line", "version": "0.1.0"}


async def test_the_first_visitors_wait_for_one_loading() -> None:
    async with web(NOTES) as (client, _):
        answers = await asyncio.gather(*(client.get("/docs") for _ in range(10)))
        assert [answer.status_code for answer in answers] == [200] * 10


async def test_hot_routes_answer_while_the_pages_load() -> None:
    async with web(NOTES) as (client, _):
        loading = asyncio.ensure_future(client.get("/docs"))
        assert (await client.get("/health")).status_code == 200
        assert (await loading).status_code == 200


async def test_a_page_that_is_not_there_is_said_in_the_form_of_all_errors() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.get("/x" * 300)
        assert answer.status_code == 404
        assert answer.json()["type"] == "not_found"
        assert len(answer.content) < 400


async def test_a_method_that_a_page_does_not_have_is_said_in_the_form_of_all_errors() -> None:
    async with web(NOTES) as (client, _):
        answer = await client.post("/docs")
        assert (answer.status_code, answer.json()["type"]) == (405, "method_not_allowed")
        assert "GET" in answer.headers["allow"]
