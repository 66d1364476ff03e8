"""The log: one line per event, for people or as JSON, on standard error."""

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
            "event": record.getMessage(),
            **{name: value if isinstance(value, int | float) else str(value) for name, value in _facts(record).items()},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json_encode(event).decode()


class ConsoleLines(logging.Formatter):
    """A line for people: time, level, what happened, and the facts. Line breaks in facts are shown, not printed."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        facts = " ".join(f"{name}={_shown(value)}" for name, value in _facts(record).items())
        line = f"{moment} {record.levelname.lower():<7} {_plain(record.getMessage())} {facts}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: object) -> str:
    text = _plain(str(value))
    return f'"{text}"' if " " in text else text


def _plain(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
