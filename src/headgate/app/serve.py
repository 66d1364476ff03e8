"""Serving: a gate behind uvicorn, with the signals that stop and reload it."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import uvicorn

from headgate.app.gate import Gate
from headgate.app.logs import configure
from headgate.app.protocol import Protocol
from headgate.app.tls import context_of, renew
from headgate.errors import ConfigError, HeadgateError
from headgate.spec.plan import AuthPlan, LimitsPlan, LoggingPlan, Plan, ServicePlan
from headgate.spec.values import is_loopback

logger = logging.getLogger("headgate.serve")
Load = Callable[[], Plan]
_WEB_SHARE = 0.6  # of the time to drain goes to requests in flight, the rest to nodes and streams
_THREADS = "headgate-call"  # the name of the threads that plain functions run in


def run(load: Load, ready: Callable[[Gate, str], None]) -> None:
    """Serve until a signal says stop. `load` reads the plan, now and at each SIGHUP; `ready` gets the URL."""
    plan = load()
    configure(level=plan.service.log.level, form=plan.service.log.format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(plan, load, ready))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(plan: Plan, load: Load, ready: Callable[[Gate, str], None]) -> None:
    sock = bind(plan.service.host, plan.service.port)
    threads = ThreadPoolExecutor(thread_name_prefix=_THREADS)
    asyncio.get_running_loop().set_default_executor(threads)
    async with Gate(plan) as gate:
        server = _Server(config_of(gate), lambda: ready(gate, url_of(sock, secure=plan.service.tls is not None)))
        address = sock.getsockname()[0]
        with _signals(gate, server, lambda: _reload(gate, load, address, server.config.ssl)):
            _settle_memory()
            await server.serve(sockets=[sock])
            await _drain(gate, threads, server.stopped_at)
    logger.info("stopped")


async def _drain(gate: Gate, threads: ThreadPoolExecutor, since: float) -> None:
    """End the gate and its threads in what is left of the time to drain; what takes longer is given up."""
    seconds = gate.plan.service.drain_seconds
    logger.info("draining")
    end = max(since + seconds, time.monotonic() + seconds * (1 - _WEB_SHARE) / 2)
    try:
        async with asyncio.timeout(end - time.monotonic()):
            await gate.close((end - time.monotonic()) / 2)
    except TimeoutError:
        _give_up("what was in flight")
    threads.shutdown(wait=False, cancel_futures=True)
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith(_THREADS)]:
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            _give_up("a function that is still at work")


def _give_up(what: str) -> None:
    # Not by an exception: on its way out it would wait for the very thing that does not end.
    logger.error("the time to drain is over; %s is given up", what)
    os._exit(1)


class _Server(uvicorn.Server):
    """Uvicorn's server, with its signals left to us and a word when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening
        self.stopped_at = 0.0

    def stop(self) -> None:
        """Take no new connection, and end when those that are there have had their answers."""
        self.stopped_at = time.monotonic()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


class Config(uvicorn.Config):
    """Uvicorn's, with what a connection may take of time and room."""

    limits: LimitsPlan


def config_of(gate: Gate) -> Config:
    """How uvicorn serves a gate."""
    service = gate.plan.service
    tls = service.tls
    config = Config(
        gate.app,
        ssl_context_factory=None if tls is None else lambda _, __: context_of(tls),
        http=Protocol,
        ws=_socket_protocol,  # type: ignore[arg-type]  # called like the class that it loads
        ws_max_size=service.limits.request_size_bytes,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=service.limits.connections,
        timeout_keep_alive=max(1, round(service.limits.keep_alive_seconds)),
        timeout_graceful_shutdown=service.drain_seconds * _WEB_SHARE,  # type: ignore[arg-type]  # seconds to asyncio
    )
    config.limits = service.limits
    return config


def _socket_protocol(**given: Any) -> asyncio.Protocol:
    """The protocol of a WebSocket, loaded when the first one comes."""
    from headgate.app.socket_protocol import SocketProtocol

    return SocketProtocol(**given)


def bind(host: str, port: int) -> socket.socket:
    """Listen before anything is started, so that a port in use costs nothing but a message."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on and small answers wait for 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen()  # two that are only bound could both have the port
    except OSError as error:
        sock.close()
        other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise HeadgateError(f"cannot listen on {host}:{port}: {error.strerror}; choose another {other}") from None
    return sock


def url_of(sock: socket.socket, *, secure: bool = False) -> str:
    """Where a bound socket is reached."""
    host, port = sock.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextlib.contextmanager
def _signals(gate: Gate, server: _Server, reload: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if server.should_exit:
            logger.warning("second signal: stopping at once")
            os._exit(1)
        gate.drain()
        server.stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: gate.tasks.start("reload", reload()))
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def _reload(gate: Gate, load: Load, address: str, context: ssl.SSLContext | None = None) -> None:
    """Read the files again. When they are wrong, say so and go on as before."""
    try:
        plan = await asyncio.to_thread(load)
        if _bound_at_start(plan) != _bound_at_start(gate.plan):
            logger.warning(
                "what changed of service takes effect at the next start,"
                " but for its log, its keys and what it takes of requests"
            )
        _refuse_to_open(gate.plan.service, plan.service, address)
        if context is not None and plan.service.tls is not None:
            renew(context, plan.service.tls)
        await gate.reload(plan)
        configure(level=plan.service.log.level, form=plan.service.log.format)
    except ConfigError as error:
        for problem in error.problems:
            logger.error("not reloaded: %s", problem)
    except HeadgateError as error:
        logger.error("not reloaded: %s", error)


def _refuse_to_open(was: ServicePlan, service: ServicePlan, address: str) -> None:
    """Whatever host the file names now, the address stays what it was at the start. Raises a `HeadgateError`."""
    if was.auth.enabled and not service.auth.enabled and not service.open and not is_loopback(address):
        raise HeadgateError(
            f"others can reach {address}, and without keys nobody would ask who they are; start it again for that"
        )


def _bound_at_start(plan: Plan) -> ServicePlan:
    """What a reload does not change any more: the service, but for what it can."""
    limits = replace(plan.service.limits, request_size_bytes=0, pending_requests=0, pending_bytes=0)
    return replace(
        plan.service,
        limits=limits,
        log=LoggingPlan(),
        auth=AuthPlan(),
        drain_seconds=0.0,
        build="",
        audit=None,
        hosts=(),
        origins=(),
    )


def _settle_memory() -> None:
    # What is alive now stays: the collector need not look at it again, and it may look less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
