"""The log: one line per event, for people or as JSON, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from headgate.core.codec import json_encode

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(*, level: str, form: str) -> None:
    """Send everything that Headgate and its libraries log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else ConsoleLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx2", "httpcore2", "httpcore", "asyncio", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _clean(record.getMessage()),
            **{name: _clean(value) for name, value in _facts(record).items()},
        }
        if record.exc_info:
            event["traceback"] = _clean(self.formatException(record.exc_info))
        line = json_encode(event).decode()
        # JSON leaves some characters alone that end a line or move a cursor; in ASCII none of them is left.
        return line if line.isprintable() else json.dumps(json.loads(line))


def _clean(value: object) -> object:
    """What JSON can hold: numbers as they are, anything else as its text."""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()


class ConsoleLines(logging.Formatter):
    """A line for people: time, level, what happened, and the facts. Line breaks in facts are shown, not printed.

    The lines of a traceback are indented, so that no message of an error can pass for a line of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        known = _facts(record)
        trace = str(known.pop("traceback", "")).rstrip().split("\n") if "traceback" in known else []
        trace += self.formatException(record.exc_info).split("\n") if record.exc_info else []
        facts = " ".join(f"{name}={_shown(value)}" for name, value in known.items())
        line = f"{moment} {record.levelname.lower():<7} {_plain(record.getMessage())} {facts}".rstrip()
        return "\n".join([line, *(f"    {_plain(part)}" for part in trace)])


def _shown(value: object) -> str:
    text = _plain(str(value))
    return '"{}"'.format(text.replace('"', '\\"')) if set(' "=') & set(text) else text


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
