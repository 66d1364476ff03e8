"""The boundary: what each part of it costs a hot route, switched on in turn, and what a refusal costs."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services.daemon import free_port

from bench.flood import flood
from bench.sse_servers import running
from bench.table import Row, interleaved, ratio
from headgate.core.api_keys import ApiKey, digest_of, line_of, make_key
from headgate.core.scopes import read_scope

REQUESTS, IN_FLIGHT, ROUNDS = 6000, 32, 7
PATH, STREAM = "/api/v1/commands", "/streams/notes/messages"
COMMAND = b'{"device_id":"d1","command_type":"reboot","payload":{"delay":5},"protocol":"mqtt"}'
KEY, NARROW = (make_key(secrets.token_bytes(32)) for _ in range(2))
MANY = 1_000_000_000
KINDS = ("fixed_window", "sliding_window_counter", "token_bucket", "concurrency")
BARE = ""
ALL = f"rate_limit: {{kind: fixed_window, limit: {MANY}}}, request_size_bytes: 65536"
_GATE = """
service: {{log: {{level: warning}}{auth}}}
streams: {{orders: {{}}, notes: {{}}}}
runtime:
  web:
    interfaces:
      - {{kind: command, path: {path}, stream: orders, track: false, policies: {{{policies}}}}}
"""


def rows() -> list[Row]:
    """A command, acknowledged in memory, past more and more of the boundary; the cheapest route; and refusals."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        bare = stack.enter_context(_gate(folder / "bare", BARE, keys=False))
        keyed = stack.enter_context(_gate(folder / "keyed", BARE))
        kinds = {kind: stack.enter_context(_gate(folder / kind, _rate(kind))) for kind in KINDS}
        timed = stack.enter_context(_gate(folder / "timed", "timeout_ms: 5000"))
        everything = stack.enter_context(_gate(folder / "all", ALL))
        full = stack.enter_context(_gate(folder / "full", "rate_limit: {limit: 1, window: 1d}"))
        command = partial(_flood, path=PATH)
        runs = {
            "bare": partial(command, bare),
            "key": partial(command, keyed, key=KEY),
            **{kind: partial(command, port, key=KEY) for kind, port in kinds.items()},
            "timeout": partial(command, timed, key=KEY),
            "all": partial(command, everything, key=KEY),
            "publish": partial(_flood, bare, path=STREAM),
            "publish, key": partial(_flood, keyed, path=STREAM, key=KEY),
            "publish, scope": partial(_flood, keyed, path=STREAM, key=NARROW),
            "no key": partial(command, keyed, status=401),
            "wrong key": partial(command, keyed, key=make_key(secrets.token_bytes(32)), status=401),
            "over the limit": partial(command, full, key=KEY, status=429),
        }
        flood(full, PATH, [COMMAND], 1, "application/json", more=_head(KEY))
        rates = interleaved(runs, ROUNDS)

    def row(path: str, ours: str, floor: str, note: str = "") -> Row:
        return Row(path, floor, ratio(rates[ours], rates[floor]), note)

    return [
        row("command, key", "key", "bare"),
        *(row(f"command, key + {kind}", kind, "bare") for kind in KINDS),
        row("command, key + timeout", "timeout", "bare"),
        row("command, key + rate + size", "all", "bare", "aim 0.8"),
        row("publish, key", "publish, key", "publish"),
        row("publish, key with a scope", "publish, scope", "publish"),
        row("refused: no key", "no key", "key", "above 1: cheaper than what is taken"),
        row("refused: a wrong key", "wrong key", "key"),
        row("refused: over the limit", "over the limit", "key"),
    ]


def _rate(kind: str) -> str:
    return f"rate_limit: {{kind: {kind}, limit: {MANY}}}"


def _flood(port: int, path: str, key: str = "", status: int = 200) -> float:
    bodies = [COMMAND] * REQUESTS
    return flood(port, path, bodies, IN_FLIGHT, "application/json", more=_head(key), status=status)


def _head(key: str) -> bytes:
    return b"X-API-Key: %b\r\n" % key.encode() if key else b""


@contextmanager
def _gate(folder: Path, policies: str, *, keys: bool = True) -> Iterator[int]:
    """A gate with these policies; its port."""
    folder.mkdir()
    narrow = ApiKey("narrow", digest_of(NARROW.encode()), scopes=(read_scope("write:notes"),))
    (folder / "keys.txt").write_text(line_of(ApiKey("wide", digest_of(KEY.encode()))) + line_of(narrow))
    auth = ", auth: {keys_file: keys.txt}" if keys else ""
    (folder / "headgate.yaml").write_text(_GATE.format(auth=auth, path=PATH, policies=policies))
    port = free_port()
    with running([sys.executable, "-m", "headgate", "run", "headgate.yaml", "--port", str(port)], folder, port):
        yield port
