"""Clients of others subscribe by GraphQL while the gate is killed: each gets every message, once and in order."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.gates.page import needed, page
from tests.gates.process import GateProcess, gate_process
from tests.gates.web import client_of
from tests.services.browsers import browser, node, node_scripts

CONFIG = """
streams: {numbers: {transport: log, codec: json, retain: {messages: 100000}}}
runtime: {web: {interfaces: [{kind: graphql, path: /graphql}]}}
"""
PATIENCE = 60.0
PART, NUMBERS = 20, 60  # a kill between each two parts
PUBLISH = 'mutation($m: [MessageInput!]!) { publish(stream: "numbers", messages: $m) { published } }'


async def publish(gate: GateProcess, numbers: range) -> None:
    """Some of them for nobody, between each two that are wanted."""
    messages = [{"key": key, "value": n} for n in numbers for key in ("mine", "other")]
    async with client_of(gate.url) as client:
        answer = await client.post("/graphql", json={"query": PUBLISH, "variables": {"m": messages}})
        assert answer.json() == {"data": {"publish": {"published": len(messages)}}}


@pytest.mark.parametrize("protocol", ["ws", "sse"])
async def test_the_client_of_npm_misses_nothing(protocol: str, tmp_path: Path) -> None:
    program, _ = needed(node)
    script = needed(node_scripts) / "graphql.mjs"
    seen: list[object] = []
    with gate_process(CONFIG, tmp_path) as gate:
        await publish(gate, range(PART))
        client = await asyncio.create_subprocess_exec(
            program, str(script), protocol, f"{gate.url}/graphql", stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None

        async def reach(count: int) -> None:
            assert client.stdout is not None
            async with asyncio.timeout(PATIENCE):
                while len(seen) < count:
                    seen.append(json.loads(await client.stdout.readline()))

        try:
            await reach(PART)
            for first in range(PART, NUMBERS, PART):
                await asyncio.to_thread(gate.kill)
                await asyncio.to_thread(gate.start)
                await publish(gate, range(first, first + PART))
                await reach(first + PART)
        finally:
            client.kill()
            await client.communicate()
    assert seen == [{"name": "message", "data": n} for n in range(NUMBERS)]


async def test_the_page_asks_follows_and_shows_the_schema(tmp_path: Path) -> None:
    program = needed(browser)
    with gate_process(CONFIG, tmp_path) as gate:
        async with page(program, f"{gate.url}/graphql", tmp_path) as evaluate:

            async def shows(place: str, text: str) -> None:
                async with asyncio.timeout(PATIENCE):
                    while text not in await evaluate(f"document.getElementById('{place}').textContent"):
                        await asyncio.sleep(0.02)

            async def run(query: str) -> None:
                await evaluate(f"document.getElementById('query').value = {json.dumps(query)}")
                await evaluate("document.getElementById('run').click()")

            await shows("schema", "numbers: Stream!")
            await run("{ streams }")
            await shows("result", '"numbers"')
            await run("{ nothing }")
            await shows("result", "Cannot query field")
            await run('subscription { numbers(from: "oldest") { value } }')
            await publish(gate, range(41, 43))
            await shows("result", '"value": 42')
