"""Sinks served from a thread of their own, for programs with a plain loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Self

import uvicorn

from headgate.app.protocol import Protocol
from headgate.app.serve import bind, url_of
from headgate.errors import HeadgateError
from headgate.interface.sinks import MessageApp, Sinks
from headgate.spec.values import is_loopback

_PATIENCE = 5.0  # seconds for clients to have their answers when it stops


class MessageServer(AbstractContextManager["MessageServer"]):
    """Serves what sinks hold, by a thread, while the block runs. `url` is where; port 0 takes a free one.

    Whoever can reach it may drain the sinks, so another `host` than this machine needs `open=True`.
    """

    def __init__(self, sinks: Sinks, *, host: str = "127.0.0.1", port: int = 0, open: bool = False) -> None:  # noqa: A002 - the word of the YAML file
        if not (open or is_loopback(host)):
            raise HeadgateError(
                f"others can reach {host}, and nothing asks them who they are; say open=True if they may"
            )
        self._app = MessageApp(sinks)
        self._host, self._port = host, port
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        self.url = ""

    def __repr__(self) -> str:
        return f"<MessageServer {self.url or 'not started'}: {self._app!r}>"

    def __enter__(self) -> Self:
        sock = bind(self._host, self._port)
        self.url = url_of(sock)
        config = uvicorn.Config(
            self._app,
            http=Protocol,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=round(_PATIENCE),
        )
        server = uvicorn.Server(config)
        up = threading.Event()

        async def serve() -> None:
            loop = asyncio.get_running_loop()

            def stop() -> None:
                self._app.drain()
                server.should_exit = True

            self._stop = partial(loop.call_soon_threadsafe, stop)
            up.set()
            await server.serve(sockets=[sock])

        self._thread = threading.Thread(target=asyncio.run, args=(serve(),), name="headgate-messages", daemon=True)
        self._thread.start()
        up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join(2 * _PATIENCE)
