"""The protocol: answers that are one write, and what else may stand on the same connection."""

from tests.gates.web import raw, web

NOTES = "streams: {notes: {codec: json}}"
POST = b"POST /streams/notes/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1\r\n"
ALWAYS = {"content-type", "x-request-id", "content-length"}  # uvicorn's server adds the date, and there is none here


async def test_requests_in_one_packet_are_answered_in_their_order() -> None:
    async with web(NOTES) as (_, serving), raw(serving.url) as client:
        client.send(b"".join(POST + b"X-Request-Id: %d\r\n\r\n%d" % (number, number) for number in range(8)))
        answers = [await client.answer() for _ in range(8)]
        assert [answer.all("x-request-id") for answer in answers] == [[str(number)] for number in range(8)]
        assert all(answer.status == 200 and b'"published"' in answer.body for answer in answers)


async def test_an_answer_has_the_headers_of_any_other() -> None:
    async with web(NOTES) as (_, serving), raw(serving.url) as client:
        client.send(POST + b"\r\n1")
        answer = await client.answer()
        assert {name for name, _ in answer.headers} == ALWAYS
        assert answer.all("content-type") == ["application/json"]


async def test_who_waits_for_a_word_before_its_body_gets_it_once() -> None:
    async with web(NOTES) as (_, serving), raw(serving.url) as client:
        client.send(POST + b"Expect: 100-continue\r\n\r\n")
        assert (await client.head()).status == 100
        client.send(b"1")
        assert (await client.answer()).status == 200
        client.send(POST + b"\r\n2")
        assert (await client.answer()).status == 200


async def test_a_connection_that_is_to_be_closed_is_closed_after_the_answer() -> None:
    async with web(NOTES) as (_, serving):
        for more in (b"Connection: close\r\n", b""):
            async with raw(serving.url) as client:
                if more:
                    client.send(POST + more + b"\r\n1")
                else:
                    client.send(POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n1")
                answer = await client.rest()
                assert answer.startswith(b"HTTP/1.1 200")
                assert b"connection: close" in answer
                assert answer.endswith(b"}")
