"""A page in a browser, for tests that are told by it what a person would see."""

import asyncio
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.services.daemon import Unavailable

PATIENCE = 60.0


def needed(find: Callable[[], Any]) -> Any:
    """What a test cannot do without: CI has to have it."""
    try:
        return find()
    except Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


@asynccontextmanager
async def page(program: str, url: str, folder: Path) -> AsyncIterator[Callable[[str], Any]]:
    """A page in a browser without a screen, and a function that evaluates JavaScript in it."""
    port = free_port()
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--remote-debugging-port={port}"]
    arguments += [f"--user-data-dir={folder / 'browser'}", "--no-first-run", url]
    with (folder / "browser.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(program, *arguments, stdout=log, stderr=log)
    try:
        async with connect(await debugger(port, url), max_size=None, proxy=None) as wire:
            numbers = itertools.count(1)

            async def evaluate(script: str) -> Any:
                number = next(numbers)
                given = {"expression": script, "awaitPromise": True, "returnByValue": True}
                await wire.send(json.dumps({"id": number, "method": "Runtime.evaluate", "params": given}))
                return await answer(wire, number)

            async with asyncio.timeout(PATIENCE):
                while await evaluate("document.readyState + location.href") != f"complete{url}":
                    await asyncio.sleep(0.02)
            yield evaluate
    finally:
        running.terminate()
        await running.wait()


async def answer(wire: ClientConnection, number: int) -> Any:
    async with asyncio.timeout(PATIENCE):
        while (said := json.loads(await wire.recv())).get("id") != number:
            pass
    assert "exceptionDetails" not in said["result"], said
    return said["result"]["result"].get("value")


async def debugger(port: int, url: str) -> str:
    """Where the page's debugger listens, once it does."""
    async with asyncio.timeout(PATIENCE), httpx2.AsyncClient(trust_env=False) as client:
        while True:
            try:
                pages = (await client.get(f"http://127.0.0.1:{port}/json")).json()
                return str(next(item["webSocketDebuggerUrl"] for item in pages if item["url"] == url))
            except (httpx2.HTTPError, StopIteration):
                await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
