"""The place where a client wants to start, as its request says it."""

from headgate.core.position import At, Position, Start, parse_start
from headgate.errors import BadRequest
from headgate.interface.exchange import Request
from headgate.interface.route import Parameter

PARAMETERS = [
    Parameter("after", "Start after this place: a position, or the id of an event.", {"type": "string"}),
    Parameter("from", "oldest, newest, last:N or an RFC 3339 time.", {"type": "string"}),
]
NAMES = [parameter.name for parameter in PARAMETERS]


def start_of(request: Request, default: Start) -> Start:
    """After the last event that the client had, or where its parameters say."""
    # A browser that connects again sends the same URL and this header: what it had last counts.
    if last := request.header("last-event-id"):
        return At(Position.parse(last))
    return start_at(request.parameter("after"), request.parameter("from"), default)


def start_at(after: str | None, begin: str | None, default: Start) -> Start:
    """After a position, or at one of the other places, but not both."""
    if after is not None and begin is not None:
        raise BadRequest("give `after` or `from`, not both")
    if after is not None:
        return At(Position.parse(after))
    return parse_start(begin) if begin is not None else default
