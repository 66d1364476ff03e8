"""A gate inside the test's loop, behind a real server on a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from headgate.app.gate import Gate
from headgate.app.serve import bind, url_of
from headgate.spec.plan import Plan
from headgate.spec.resolve import plan_text


@dataclass
class Serving:
    """A gate, and where it answers."""

    gate: Gate
    url: str


@asynccontextmanager
async def serving(config: str | Plan, *, port: int = 0, log: Path | None = None) -> AsyncIterator[Serving]:
    """Serve a configuration while the block runs."""
    overrides = {} if log is None else {"connections.log.path": str(log)}
    plan = config if isinstance(config, Plan) else plan_text(config, overrides=overrides)
    sock = bind("127.0.0.1", port)
    async with Gate(plan) as gate:
        server = uvicorn.Server(
            uvicorn.Config(gate.app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=2)
        )
        server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
        running = asyncio.ensure_future(server.serve(sockets=[sock]))
        try:
            yield Serving(gate, url_of(sock))
        finally:
            gate.drain()
            server.should_exit = True
            await running
