"""The servers that the sse interface is measured beside, and the gate itself: each a process of its own."""

import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from tests.services.daemon import Daemon, ServiceError, free_port, wait_until

from bench.native import Tick, compiled

EVENTS, _PUBLISH = "/events", "/streams/ticks/messages"
_EVENT = (
    b'{"id":"Zact","tag":"Position","type":"Samples","attributes":{"name":"Zact","subType":"ACTUAL",'
    b'"timestamp":"2022-11-06T21:40:21.587353Z"},"value":"-0.328"}'
)
_NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass(frozen=True)
class Server:
    """A running server. Its `/events` shows what is published to it."""

    port: int
    pid: int
    folder: Path
    events_per_request: int = 1000

    def tick(self, events: int) -> Tick:
        """So many events, in as few requests as this server takes them."""
        bodies = [b"\n".join([_EVENT] * min(events, self.events_per_request))]
        bodies *= -(-events // self.events_per_request)
        return self._tick("application/x-ndjson", bodies, events)

    def tick_of(self, key: str, events: int) -> Tick:
        """So many events with this key, for a gate."""
        envelope = b'{"key":"%b","value":%b}' % (key.encode(), _EVENT)
        return self._tick("application/vnd.headgate.messages+json", [b"[%b]" % b",".join([envelope] * events)], events)

    def _tick(self, media: str, bodies: Sequence[bytes], events: int) -> Tick:
        file = self.folder / f"tick-{events}"
        file.write_bytes(b"".join(_request(media, body) for body in bodies))
        return Tick(file, len(bodies), events)


def _request(media: str, body: bytes) -> bytes:
    head = f"POST {_PUBLISH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


@contextmanager
def gate(parent: Path, *, by_key: bool = False) -> Iterator[Server]:
    """Ours, as `headgate run` starts it."""
    folder = Path(mkdtemp(dir=parent))
    (folder / "headgate.yaml").write_text(_GATE.format(filter=_BY_KEY if by_key else ""))
    port = free_port()
    with running([sys.executable, "-m", "headgate", "run", "headgate.yaml", "--port", str(port)], folder, port) as pid:
        yield Server(port, pid, folder)


@contextmanager
def queues(parent: Path) -> Iterator[Server]:
    """The usual design, behind the same server, loop and parser as ours."""
    folder = Path(mkdtemp(dir=parent))
    port = free_port()
    app = ["--app-dir", str(Path(__file__).parent), "sse_queues:app", "--port", str(port)]
    quiet = ["--log-level", "warning", "--no-access-log"]
    uvicorn = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools"]
    with running([*uvicorn, *quiet, *app], folder, port) as pid:
        yield Server(port, pid, folder)


@contextmanager
def floor(parent: Path) -> Iterator[Server]:
    """A C server that does nothing but write."""
    folder = Path(mkdtemp(dir=parent))
    port = free_port()
    with running([str(compiled("floor", folder)), str(port)], folder, port) as pid:
        yield Server(port, pid, folder)


def nchan_is_there() -> bool:
    """Whether nginx and its module nchan are installed."""
    return _nginx() is not None and _NCHAN.exists()


@contextmanager
def nchan(parent: Path) -> Iterator[Server]:
    """Nchan in one process of nginx. It takes one event a request."""
    folder = Path(mkdtemp(dir=parent))
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(module=_NCHAN, port=port, publish=_PUBLISH, events=EVENTS))
    with running([str(_nginx()), "-p", str(folder), "-c", "nginx.conf"], folder, port) as pid:
        yield Server(port, pid, folder, events_per_request=1)


def _nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def running(command: Sequence[str], folder: Path, port: int) -> Iterator[int]:
    """The command at work and listening; its process id."""
    daemon = Daemon(command, folder=folder)
    daemon.start()
    try:
        if not wait_until(lambda: _listens(port), within=20):
            raise ServiceError(f"{daemon!r} did not listen:\n{daemon.tail()}")
        yield daemon.pid
    finally:
        daemon.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


_GATE = """
service: {{limits: {{connections: 100000}}}}
streams: {{ticks: {{retain: {{messages: 10000}}}}}}
runtime:
  web:
    interfaces:
      - {{kind: sse, path: /events, stream: ticks, event: tick{filter}}}
"""
_BY_KEY = ", filter: {key: {key: true}}"

_NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
load_module {module};
events {{ worker_connections 20000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = {publish} {{
            nchan_publisher http;
            nchan_channel_id ticks;
            nchan_message_buffer_length 1000;
            nchan_eventsource_event tick;
        }}
        location = {events} {{
            nchan_subscriber eventsource;
            nchan_channel_id ticks;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""
