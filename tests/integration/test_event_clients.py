"""Clients of others follow a stream while its gate is killed: each gets every event, once and in order."""

import asyncio
import json
from pathlib import Path

import httpx
import httpx_sse

from tests.gates.page import free_port, needed, page
from tests.gates.process import GateProcess, gate_process
from tests.gates.web import client_of
from tests.services.browsers import browser, node, node_scripts

CONFIG = """
streams: {numbers: {transport: log, codec: json, retain: {messages: 100000}}}
runtime:
  web:
    interfaces:
      - {kind: sse, path: /numbers, stream: numbers, retry: 50ms, filter: {key: {key: true, required: true}}}
"""
PATH = "/numbers?key=mine"
PATIENCE = 60.0
KILLS, NUMBERS = 3, 150


class Progress:
    """The numbers that a client has got so far."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.gaps = 0

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.seen) < count:
                await asyncio.sleep(0.02)


async def publish(gate: GateProcess, numbers: range) -> None:
    """Some of them for nobody, between each two that are wanted."""
    messages = [{"key": key, "value": n} for n in numbers for key in ("mine", "other")]
    headers = {"Content-Type": "application/vnd.headgate.messages+json"}
    async with client_of(gate.url) as client:
        answer = await client.post("/streams/numbers/messages", content=json.dumps(messages), headers=headers)
        assert answer.status_code == 200


async def through_kills(gate: GateProcess, progress: Progress) -> None:
    """Publish, kill and start again; in the end the client must have had it all."""
    part = NUMBERS // (2 * KILLS)
    for first in range(0, NUMBERS, 2 * part):
        await publish(gate, range(first, first + part))
        await progress.reach(first + part)
        await asyncio.to_thread(gate.kill)
        await asyncio.to_thread(gate.start)
        await publish(gate, range(first + part, first + 2 * part))
    await progress.reach(NUMBERS)
    assert progress.seen == list(range(NUMBERS))
    assert progress.gaps == 0


async def test_the_eventsource_package_of_npm_misses_nothing(tmp_path: Path) -> None:
    program, _ = needed(node)
    folder = needed(node_scripts)
    with gate_process(CONFIG, tmp_path) as gate:
        client = await asyncio.create_subprocess_exec(
            program, str(folder / "follow.mjs"), gate.url + PATH, stdout=asyncio.subprocess.PIPE
        )
        progress = Progress()
        opened = asyncio.Event()

        async def read() -> None:
            assert client.stdout is not None
            async for line in client.stdout:
                event = json.loads(line)
                if event["name"] == "open":
                    opened.set()
                elif event["name"] == "gap":
                    progress.gaps += 1
                else:
                    progress.seen.append(event["data"])

        reading = asyncio.create_task(read())
        try:
            async with asyncio.timeout(PATIENCE):
                await opened.wait()
            await through_kills(gate, progress)
        finally:
            client.kill()
            await client.wait()
            await reading


async def test_httpx_sse_misses_nothing(tmp_path: Path) -> None:
    with gate_process(CONFIG, tmp_path) as gate:
        progress = Progress()
        opened = asyncio.Event()

        async def follow() -> None:
            last: dict[str, str] = {}
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
                while True:
                    try:
                        async with httpx_sse.aconnect_sse(client, "GET", gate.url + PATH, headers=last) as source:
                            source.response.raise_for_status()
                            opened.set()
                            async for event in source.aiter_sse():
                                take(progress, event.event, event.data)
                                last = {"Last-Event-ID": event.id}
                    except httpx.HTTPError:
                        await asyncio.sleep(0.05)

        following = asyncio.create_task(follow())
        try:
            async with asyncio.timeout(PATIENCE):
                await opened.wait()
            await through_kills(gate, progress)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def take(progress: Progress, name: str, data: str) -> None:
    if name == "gap":
        progress.gaps += 1
    elif data:
        progress.seen.append(json.loads(data))


async def test_a_browser_misses_nothing(tmp_path: Path) -> None:
    program = needed(browser)
    with gate_process(CONFIG, tmp_path) as gate:
        async with page(program, f"{gate.url}/health", tmp_path) as evaluate:
            await evaluate(
                f"window.seen = []; window.gaps = 0; window.source = new EventSource({json.dumps(PATH)});"
                "source.onmessage = (event) => seen.push(JSON.parse(event.data));"
                "source.addEventListener('gap', () => { gaps += 1 });"
                "new Promise((resolve) => { source.onopen = resolve })"
            )
            progress = Progress()

            async def look() -> None:
                while True:
                    progress.seen = json.loads(await evaluate("JSON.stringify(seen)"))
                    progress.gaps = await evaluate("gaps")
                    await asyncio.sleep(0.05)

            looking = asyncio.create_task(look())
            try:
                await through_kills(gate, progress)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


async def test_a_page_of_another_site_follows_where_it_is_named(tmp_path: Path) -> None:
    program = needed(browser)
    port = free_port()
    config = CONFIG.replace("retry: 50ms", f'retry: 50ms, origins: ["http://localhost:{port}"]')
    with gate_process(config, tmp_path, port=port) as gate:
        async with page(program, f"http://localhost:{port}/health", tmp_path) as evaluate:
            named = (
                f"window.source = new EventSource('{gate.url}{PATH}');"
                "new Promise((resolve) => { source.onopen = () => resolve(1); source.onerror = () => resolve(0) })"
            )
            assert await evaluate(named) == 1
            await evaluate("window.told = new Promise((resolve) => { source.onmessage = (e) => resolve(e.data) }); 1")
            await publish(gate, range(1))
            assert await evaluate("told") == "0"
            gate.config.write_text(CONFIG)
            gate.kill()
            gate.start()
            assert await evaluate(named) == 0
