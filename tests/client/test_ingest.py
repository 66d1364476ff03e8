"""The client of ingest interfaces: what it asks, how long it asks, and what it makes of the answers."""

import pytest

from headgate.client import ingest
from headgate.client.ingest import GateDestination
from headgate.client.portions import Portion
from headgate.errors import BadRequest, BodyTooLarge, HeadgateError, NotFound, Refused, StorageFull, Unavailable
from tests.client.keeper import Fault, keeping

LINES = Portion(b"good 1\nbad 2\n# nothing\n\ngood 3\n", offset=100, first_line=11)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries again soon."""
    monkeypatch.setattr(ingest, "_RETRY_SECONDS", 0.001)


async def test_what_became_of_a_portion_is_told_by_the_lines_of_the_file() -> None:
    async with keeping() as keeper:
        destination = GateDestination(keeper.url, parameters={"mode": "atomic"}, media="text/csv")
        settled = await destination.keep(LINES, "key-1")
        await destination.close()
        assert settled.counts == {"processed": 3, "inserted": 2, "failed": 1, "duplicates": 0, "updated": 0}
        assert settled.errors == [(12, "it is bad")]
        [head] = keeper.heads
        assert head.startswith("POST /ingest/batch?mode=atomic HTTP/1.1")
        assert {"idempotency-key: key-1", "content-type: text/csv"} <= set(head.lower().split("\r\n"))


@pytest.mark.parametrize(
    ("faults", "requests"), [([429, 503], 3), ([503, "cut"], 3), ([503, "keep and cut", "cut"], 4), ([502, 504], 3)]
)
async def test_what_may_not_have_been_kept_is_sent_again_and_kept_once(faults: list[Fault], requests: int) -> None:
    told: list[str] = []
    async with keeping(*faults) as keeper:
        destination = GateDestination(keeper.url, waits=told.append)
        assert (await destination.keep(LINES, "key")).counts["inserted"] == 2
        await destination.close()
        assert keeper.lines == ["good 1", "good 3"]
        assert len(keeper.bodies) == requests
        assert len(told) == requests - 1
        assert told[0] == f"said {faults[0]}"


async def test_it_gives_up_after_some_patience() -> None:
    async with keeping(*[503] * 1000) as keeper:
        destination = GateDestination(keeper.url, patience=0.05)
        with pytest.raises(Unavailable, match="said 503"):
            await destination.keep(LINES, "key")
        await destination.close()
        assert 2 < len(keeper.bodies) < 1000
        assert not keeper.lines


async def test_a_gate_that_never_answered_is_not_waited_for() -> None:
    destination = GateDestination("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"no gate answers at http://127\.0\.0\.1:1/ingest/batch"):
        await destination.keep(LINES, "key")
    await destination.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (422, BadRequest),
        (403, Refused),
        (404, NotFound),
        (413, BodyTooLarge),
        (500, Unavailable),
        (507, StorageFull),
    ],
)
async def test_a_refusal_is_an_error_of_its_kind(status: int, error: type[HeadgateError]) -> None:
    async with keeping(status) as keeper:
        destination = GateDestination(keeper.url)
        with pytest.raises(error, match=r"said|no ingest interface at .*--path"):
            await destination.keep(LINES, "key")
        await destination.close()
        assert len(keeper.bodies) == 1


async def test_it_tells_how_much_was_sent() -> None:
    sent: list[int] = []
    async with keeping() as keeper:
        destination = GateDestination(f"{keeper.url}/", "ingest/", sent=sent.append)
        await destination.keep(Portion(b"1\n" * 200_000, offset=7, head=b"names\n"), "key")
        await destination.close()
        assert keeper.heads[0].startswith("POST /ingest/batch HTTP")
    assert sent == [7, 7 + 262_144, 7 + 400_000]
