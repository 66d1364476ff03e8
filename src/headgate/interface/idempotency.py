"""The Idempotency-Key: what a client repeats a request with, so that it is done once."""

from headgate.errors import BadRequest
from headgate.interface.exchange import Request
from headgate.interface.route import Parameter

_LONGEST_KEY = 255
KEY = Parameter("Idempotency-Key", "The same key gets the same answer.", {"type": "string"}, place="header")


def key_of(request: Request) -> str | None:
    """The key of a request, if it has one. Raises a `BadRequest`."""
    return checked(request.header("idempotency-key"))


def checked(key: str | None) -> str | None:
    """A key that can be one. Raises a `BadRequest`."""
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise BadRequest(f"an Idempotency-Key has 1 to {_LONGEST_KEY} printable characters")
    return key
