"""Transfers: every line is kept once, whatever breaks and whoever ends on the way."""

import io
from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate.client import ingest
from headgate.client.ingest import GateDestination, Settled
from headgate.client.portions import Portion
from headgate.client.source import open_source
from headgate.client.transfer import Transfer, default_state
from headgate.errors import HeadgateError, Unavailable
from tests.client.keeper import Keeper, keeping

LINES = [f"bad {number}" if number % 50 == 7 else f"line {number}" for number in range(1000)]
NOTHING = io.BytesIO()
GOOD = [line for line in LINES if "bad" not in line]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries again soon."""
    monkeypatch.setattr(ingest, "_RETRY_SECONDS", 0.001)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "lines.txt").write_text("\n".join(LINES))
    return tmp_path / "lines.txt"


async def carry_out(
    file: Path, keeper: Keeper, *, most: int | None = None, errors: bool = False, whole: bool = False
) -> Transfer:
    """Carry a transfer out to its end, or so many portions of it."""
    destination = GateDestination(keeper.url, patience=0.02)
    with ExitStack() as stack:
        source = open_source(str(file), None, stack, NOTHING, whole=whole)
        refused = file.with_name("refused.txt") if errors else None
        transfer = stack.enter_context(
            Transfer(
                source,
                destination,
                asked={"url": "x"},
                portion_bytes=1000,
                state=default_state(source),
                refused=refused,
                whole=whole,
            )
        )
        try:
            while most != 0 and (portion := transfer.take()):
                await transfer.keep(portion)
                most = None if most is None else most - 1
            if most is None:
                transfer.finish()
        finally:
            await destination.close()
    return transfer


async def test_every_line_arrives_once_and_in_order(file: Path) -> None:
    async with keeping() as keeper:
        transfer = await carry_out(file, keeper)
        assert keeper.lines == GOOD
        assert transfer.counts == {"processed": 1000, "inserted": 980, "failed": 20, "duplicates": 0, "updated": 0}
        assert len(keeper.bodies) > 5
        assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("before", range(10))
async def test_after_an_interruption_it_goes_on_where_it_was(file: Path, before: int) -> None:
    async with keeping() as keeper:
        await carry_out(file, keeper, most=before, errors=True)
        transfer = await carry_out(file, keeper, errors=True)
        assert (transfer.begun, keeper.lines) == (before > 0, GOOD)
        assert transfer.counts["processed"] == 1000
        refused = file.with_name("refused.txt").read_text()
        bad = [(n, line) for n, line in enumerate(LINES, 1) if "bad" in line]
        assert refused == "".join(f"# line {n}: it is bad\n{line}\n" for n, line in bad)


@pytest.mark.parametrize("kept", range(8))
async def test_an_answer_that_got_lost_stores_nothing_twice(file: Path, kept: int) -> None:
    # The portion is kept, nobody hears of it, and the gate does not come back before patience is over.
    async with keeping(*[None] * kept, "keep and cut", *["cut"] * 12) as keeper:
        with pytest.raises(Unavailable):
            await carry_out(file, keeper)
        keeper._faults.clear()
        await carry_out(file, keeper)
        assert keeper.lines == GOOD


async def test_a_gate_with_a_limit_gets_smaller_portions(file: Path) -> None:
    async with keeping(most=300) as keeper:
        transfer = await carry_out(file, keeper)
        assert keeper.lines == GOOD
        assert transfer.counts["processed"] == 1000
        assert sum(len(body) > 300 for body in keeper.bodies) == 2


async def test_a_limit_and_a_lost_answer_together_store_nothing_twice(file: Path) -> None:
    async with keeping(None, None, "keep and cut", *["cut"] * 12, most=300) as keeper:
        with pytest.raises(Unavailable):
            await carry_out(file, keeper)
        keeper._faults.clear()
        await carry_out(file, keeper)
        assert keeper.lines == GOOD


async def test_the_whole_file_is_one_request(file: Path) -> None:
    async with keeping() as keeper:
        transfer = await carry_out(file, keeper, whole=True, errors=True)
        assert [body.decode() for body in keeper.bodies] == ["\n".join(LINES)]
        assert transfer.counts["failed"] == 20
        assert file.with_name("refused.txt").read_text().startswith("# line 8: it is bad\nbad 7\n# line 58:")


async def test_refused_lines_are_sent_again_once_they_are_mended(file: Path) -> None:
    async with keeping() as keeper:
        await carry_out(file, keeper, errors=True)
        refused = file.with_name("refused.txt")
        refused.write_text("".join(x.replace("bad", "good") for x in refused.read_text().splitlines(keepends=True)))
        mended = await carry_out(refused, keeper)
        assert (mended.counts["processed"], mended.counts["failed"]) == (20, 0)
        assert keeper.lines[-1] == "good 957"


async def test_refused_rows_of_csv_have_the_names_before_them(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('number,"a\nword"\n' + "".join(f'{n},"bad\n{n}"\n' for n in range(200)))

    async def says(portion: Portion, _: str) -> Settled:
        shown = [(portion.first_line + (2 if portion.offset == 0 else 0), "bad")]
        return Settled({"processed": 1}, shown)

    destination = type("Says", (), {"keep": staticmethod(says)})()
    with ExitStack() as stack:
        source = open_source(str(tmp_path / "rows.csv"), None, stack, NOTHING)
        transfer = stack.enter_context(
            Transfer(source, destination, asked={}, portion_bytes=1000, refused=tmp_path / "refused.csv")
        )
        while portion := transfer.take():
            await transfer.keep(portion)
    names, word, *rows = (tmp_path / "refused.csv").read_text().splitlines()
    assert (names, word) == ('number,"a', 'word"')
    assert rows[:2] == ['0,"bad', '0"']
    assert len(rows) > 4


async def test_what_the_gate_left_out_is_counted(file: Path) -> None:
    async with keeping(most_errors=1) as keeper:
        transfer = await carry_out(file, keeper, errors=True, whole=True)
        assert (transfer.counts["failed"], transfer.omitted) == (20, 19)


async def test_it_says_how_to_go_on(file: Path) -> None:
    async with keeping() as keeper:
        transfer = await carry_out(file, keeper, most=1)
        settled, line = transfer.counts["processed"], transfer.checkpoint.line
        assert (
            transfer.how_to_go_on()
            == f"; {settled} messages are settled, and the same command goes on from line {line}"
        )


async def test_refused_lines_that_cannot_be_written_are_told(file: Path) -> None:
    async with keeping() as keeper:
        file.with_name("refused.txt").mkdir()
        with pytest.raises(HeadgateError, match=r"cannot write .*: Is a directory"):
            await carry_out(file, keeper, errors=True)
