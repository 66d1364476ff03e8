"""Gates that take commands, for tests: a client, a device that answers, and what is on the stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.runtime.stream import Stream
from headgate.spec.resolve import plan_text
from tests.gates.inside import Serving, serving
from tests.gates.web import PATIENCE, client_of

PATH = "/api/v1/commands"


def config(
    url: str,
    *,
    streams: str = "",
    interface: str = "",
    more: str = "",
    kafka: str = "localhost:1",
    sending: str = "30s",
    options: str = "",
) -> str:
    """A gate with a command interface, whose book is at a URL."""
    return f"""
service: {{name: pusher, version: 1.2.3, log: {{level: error}}}}
connections:
  database: {{url: '{url}'}}
  kafka: {{bootstrap_servers: '{kafka}', send_timeout: {sending}, options: {{{options}}}}}
streams: {streams or "{commands: {}, answers: {}}"}
runtime:
  web:
    interfaces: [{{kind: command, path: {PATH}, stream: commands, feedback: answers{interface}}}]
{more}
"""


def command(device: str = "d1", **more: Any) -> dict[str, Any]:
    """A command for a device."""
    return {"device_id": device, "command_type": "reboot", "payload": {}, "protocol": "mqtt"} | more


@dataclass
class Commander:
    """A client of a command interface, and the gate behind it."""

    http: httpx2.AsyncClient
    serving: Serving

    async def push(self, *commands: dict[str, Any], key: str | None = None) -> httpx2.Response:
        """Push a command; or several, as a batch."""
        headers = {} if key is None else {"Idempotency-Key": key}
        if len(commands) == 1:
            return await self.http.post(PATH, json=commands[0], headers=headers)
        return await self.http.post(f"{PATH}/batch", json={"commands": list(commands)}, headers=headers)

    async def status(self, request_id: str, wait: str = "") -> dict[str, Any]:
        """The status of a command that there is."""
        response = await self.http.get(f"{PATH}/{request_id}/status", params={"wait": wait} if wait else None)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def until(self, request_id: str, *words: str) -> dict[str, Any]:
        """The status of a command once it is one of these."""
        async with asyncio.timeout(PATIENCE):
            while (told := await self.status(request_id))["status"] not in words:
                await asyncio.sleep(0.01)
        return told

    @property
    def stream(self) -> Stream:
        return self.serving.gate.streams["commands"]

    async def answer(self, request_id: str, **payload: Any) -> None:
        """What a device says of a command."""
        told = {"request_id": request_id, "command_type": "feedback", "device_id": "d1", "payload": payload}
        await self.serving.gate.streams["answers"].publish([Message(value=json.dumps(told).encode())])

    async def published(self) -> list[dict[str, Any]]:
        """All commands that are on the stream."""
        return [json.loads(message.value) for message in await on(self.stream)]


async def on(stream: Stream) -> list[Message[bytes]]:
    """All messages of a stream."""
    found: list[Message[bytes]] = []
    end = (await stream.extent()).messages
    async with stream.subscribe(Oldest()) as subscription:
        while len(found) < end:
            found += (await subscription.take(1000, wait=PATIENCE)).messages
    return found


@asynccontextmanager
async def commanding(url: str, **given: str) -> AsyncIterator[Commander]:
    """A gate that takes commands while the block runs."""
    async with serving(plan_text(config(url, **given))) as served, client_of(served.url) as http:
        yield Commander(http, served)
