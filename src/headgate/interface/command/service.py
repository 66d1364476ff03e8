"""What a command interface tells of itself: `/health`, `/status` and `/metrics` beside its path."""

from datetime import UTC, datetime, timedelta
from typing import Any

from headgate.interface.command.office import Office
from headgate.interface.exchange import Request, Response, json
from headgate.runtime.stats import CommandStats


async def health(_: Request, office: Office) -> Response:
    """Alive."""
    return json({"status": "healthy", "version": office.version})


async def service_status(_: Request, office: Office) -> Response:
    """What runs, and how it is."""
    stats = office.desk.stats
    answer = {
        "service": office.service,
        "version": office.version,
        "kafka_connected": not office.troubles(),
        "uptime": str(timedelta(seconds=int(office.uptime()))),
        "commands_processed": stats.sent,
        "last_error": stats.last_error,
        "last_error_time": _last_error_time(stats),
        "metrics": _metrics(stats),
    }
    return json(answer)


async def metrics(_: Request, office: Office) -> Response:
    """The counters, as JSON."""
    return json(_metrics(office.desk.stats))


def _metrics(stats: CommandStats) -> dict[str, Any]:
    return {"commands_sent": stats.sent, "commands_failed": stats.failed, "last_error": stats.last_error}


def _last_error_time(stats: CommandStats) -> datetime | None:
    return None if stats.last_error_time is None else datetime.fromtimestamp(stats.last_error_time, UTC)
