"""A gate inside the test's loop, behind uvicorn's protocol on a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvicorn.server import ServerState

from headgate.app.gate import Gate
from headgate.app.protocol import Protocol
from headgate.app.serve import bind, config_of, url_of
from headgate.spec.plan import Plan
from headgate.spec.resolve import plan_text

_PATIENCE = 2.0  # seconds for answers that are under way when the block is left


@dataclass
class Serving:
    """A gate, and where it answers."""

    gate: Gate
    url: str


@asynccontextmanager
async def serving(
    config: str | Plan, *, port: int = 0, log: Path | None = None, protocol: Any = Protocol
) -> AsyncIterator[Serving]:
    """Serve a configuration while the block runs."""
    overrides = {} if log is None else {"connections.log.path": str(log)}
    plan = config if isinstance(config, Plan) else plan_text(config, overrides=overrides)
    async with Gate(plan) as gate, _listening(gate, port, protocol) as url:
        yield Serving(gate, url)


@asynccontextmanager
async def _listening(gate: Gate, port: int, http: Any) -> AsyncIterator[str]:
    # Uvicorn's own server looks ten times a second whether it shall stop: too slow for hundreds of tests.
    config = config_of(gate)
    if http is not Protocol:
        config.http, config.ws = http, "websockets-sansio"
    config.load()
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config, state, {})  # type: ignore[call-arg,arg-type,return-value]

    sock = bind("127.0.0.1", port)
    server = await asyncio.get_running_loop().create_server(protocol, sock=sock)
    try:
        yield url_of(sock)
    finally:
        gate.drain()
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=_PATIENCE)
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for connection in list(state.connections):
            connection.transport.abort()
