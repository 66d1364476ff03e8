"""The place where a client wants to start, as its request says it."""

from headgate.core.position import At, Newest, Position, Snapshot, Start, parse_start
from headgate.errors import BadRequest
from headgate.interface.exchange import Request
from headgate.interface.route import Parameter

PARAMETERS = [
    Parameter("after", "Start after this place: a position, or the id of an event.", {"type": "string"}),
    Parameter("from", "oldest, newest, last:N or an RFC 3339 time.", {"type": "string"}),
]
NAMES = [parameter.name for parameter in PARAMETERS]


FOLLOWED = [
    PARAMETERS[0],
    Parameter(
        "from",
        "oldest, newest, last:N, an RFC 3339 time, or snapshot: the latest of each key, then what comes.",
        {"type": "string", "default": "newest"},
    ),
]


def start_of(request: Request, default: Start) -> Start:
    """After the last event that the client had, or where its parameters say."""
    if last := _last_event(request):
        return last
    return start_at(request.parameter("after"), request.parameter("from"), default)


def follow_from(request: Request) -> Start | Snapshot:
    """The same for one who follows: from now on if it says nothing, and a snapshot if it wants one."""
    return _last_event(request) or follow_at(request.parameter("after"), request.parameter("from"))


def _last_event(request: Request) -> At | None:
    # A browser that connects again sends the same URL and this header: what it had last counts.
    last = request.header("last-event-id")
    return At(Position.parse(last)) if last else None


def follow_at(after: str | None, begin: str | None) -> Start | Snapshot:
    """Where to follow from, as a client says it in two texts."""
    if begin == "snapshot" and after is None:
        return Snapshot()
    return start_at(after, begin, Newest())


def start_at(after: str | None, begin: str | None, default: Start) -> Start:
    """After a position, or at one of the other places, but not both."""
    if after is not None and begin is not None:
        raise BadRequest("give `after` or `from`, not both")
    if after is not None:
        return At(Position.parse(after))
    return parse_start(begin) if begin is not None else default
