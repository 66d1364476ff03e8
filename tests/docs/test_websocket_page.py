"""The programs of docs/websocket.md do what the page says."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gates.inside import Serving
from tests.gates.web import PATIENCE, eventually, web

PAGE = (Path(__file__).parents[2] / "docs" / "websocket.md").read_text()
YAML, *PROGRAMS = re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE, re.DOTALL)


@asynccontextmanager
async def example(folder: Path) -> AsyncIterator[tuple[Serving, dict[str, Any]]]:
    """The page's gate, and all that its programs define."""
    names: dict[str, Any] = {}
    async with web(YAML, log=folder / "log.db") as (_, served):
        for program in PROGRAMS:
            local = program.replace("127.0.0.1:8080", served.url.removeprefix("http://"))
            exec(compile(local, "docs/websocket.md", "exec"), names)
        yield served, names


def cut_all(served: Serving) -> None:
    for visitor in list(served.gate.visitors._there):
        visitor._outlet.abort()  # type: ignore[attr-defined]


def test_there_is_a_gate_and_three_programs() -> None:
    assert len(PROGRAMS) == 3


async def test_what_is_published_is_read_once_also_across_a_cut(tmp_path: Path) -> None:
    async with example(tmp_path) as (served, names), asyncio.timeout(PATIENCE):
        readings = names["readings"]("LATHE7")
        first = asyncio.ensure_future(anext(readings))
        await eventually(lambda: served.gate.hubs["readings"].lanes.followers == 1)
        await names["publish"]([("LATHE7", 0), ("LATHE8", 1), ("LATHE7", 2)])
        assert [await first, await anext(readings)] == [0, 2]
        cut_all(served)
        await names["publish"]([("LATHE7", 3)])
        assert await anext(readings) == 3
        await readings.aclose()


async def test_a_message_whose_publishing_fails_is_told(tmp_path: Path) -> None:
    async with example(tmp_path) as (_, names):
        with pytest.raises(ValueError, match="needs a key"):
            await names["publish"]([("LATHE7", 0), (None, 1)])


async def test_a_worker_is_given_all_and_goes_on_where_it_was(tmp_path: Path) -> None:
    handled: list[int] = []
    async with example(tmp_path) as (served, names):

        async def handle(value: int) -> None:
            handled.append(value)
            if len(handled) == 50:
                cut_all(served)

        await names["publish"]([("LATHE7", n) for n in range(100)])
        working = asyncio.ensure_future(names["work"](handle))
        await eventually(lambda: 99 in handled)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert list(dict.fromkeys(handled)) == list(range(100))
    assert len(handled) < 200
