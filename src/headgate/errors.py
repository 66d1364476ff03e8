"""Every error that Headgate raises on purpose.

HeadgateError
├── ConfigError          the configuration is wrong; carries every problem found
├── SchemaRefusal        a table cannot follow its entity without losing something
├── CodecError           bytes that the stream's codec refuses
├── PositionError        a resume token that is not one
├── BadRequest           the client's request cannot be understood
│   ├── InvalidCommand   a command is not as its fields or its type have to be
│   ├── InvalidParameter a parameter is missing, unknown or not what it should be
│   ├── BodyTooLarge     the body is over the limit
│   ├── UnsupportedMedia the body is of a type that this endpoint does not read
│   └── NotAcceptable    no representation that the client accepts
├── NotFound             no such stream or path
├── TooMuch              more than the gate does for one client at once
├── KeyReused            an idempotency key was used for another request
├── TooLate              what is to be prevented has happened already
├── SettingRefused       a setting's key or value is not what it may be
├── SettingConflict      a setting was changed by somebody else meanwhile
├── RateLimited          more requests of one client than there may be
├── Expired              the time of what was asked for is over
├── Busy                 what this request needs has too much to do; come again
├── Misdirected          asked by a name that is not this gate's
├── Unauthorized         the gate does not know who sends this
├── Refused              the gate does not do this for this client
│   └── Forbidden        this client has no permission for it
├── NoReply              nobody answered a request in time
├── TransportError       what lives below a stream failed
│   ├── Unavailable      away for now; try again
│   │   └── Uncertain    went while it was keeping something: nobody knows what is there
│   ├── StreamFull       the stream keeps no more (overflow: reject)
│   ├── StorageFull      the disk keeps no more
│   └── StreamClosed     used after close
├── Draining             the gate is shutting down
├── Overloaded           the gate has more to do than it can
├── FrameRefused         a frame between two processes that is not believed
│   ├── FrameTooLarge    it says that it is longer than a frame may be
│   ├── FrameMalformed   it is not what a frame looks like
│   ├── FrameUnsigned    it has no signature
│   ├── KindRefused      its kind is unknown, or not for this side
│   ├── FrameExpired     it is older than a frame may be, or from the future
│   ├── FrameForged      its signature is not of our key
│   └── FrameReplayed    it came before
├── BindRefused          the processes of a service would talk where others could listen
├── LinkLost             a link between two processes ended, or never was
├── VersionMismatch      the two sides of a link have no version in common
├── WorkerLost           the process that ran a node's function is gone
├── Refusal              a node answers a request with an error
└── NodeError            a node declared or returned something impossible

The class carries the facts: `code` (stable; also the metric label), `status` (HTTP) and `retriable`.
One place renders them for the web (`interface.boundary`), one for the terminal (`cli`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar


class HeadgateError(Exception):
    """The root of the tree."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retriable: ClassVar[bool] = False
    after: int = 1  # seconds to wait before it is tried again, where that makes sense


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a configuration file, and where."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(HeadgateError):
    """The configuration is wrong: all of its problems, in the order of the file."""

    code = "config"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class SchemaRefusal(HeadgateError):
    """A table cannot follow its entity without losing something, or tables need each other in a circle."""

    code = "schema"


class CodecError(HeadgateError):
    """The stream's codec refuses these bytes or this value."""

    code, status = "codec", 400


class PositionError(HeadgateError):
    """This is not a position of this stream."""

    code, status = "position", 400


class BadRequest(HeadgateError):
    """The request cannot be understood."""

    code, status = "bad_request", 400


class InvalidParameter(BadRequest):
    """A parameter that the interface declares is missing or wrong, or one is given that it does not declare."""

    code, status = "invalid_parameter", 422


class InvalidCommand(BadRequest):
    """A command is not as its fields or its type have to be; the message begins with the path of the field."""

    code, status = "invalid_command", 400


class BodyTooLarge(BadRequest):
    """The request's body is over the limit."""

    code, status = "body_too_large", 413


class UnsupportedMedia(BadRequest):
    """The body is of a type that this endpoint does not read."""

    code, status = "unsupported_media_type", 415


class NotAcceptable(BadRequest):
    """The client accepts nothing that this endpoint can answer with."""

    code, status = "not_acceptable", 406


class NotFound(HeadgateError):
    """There is nothing under this name or path."""

    code, status = "not_found", 404


class TooMuch(HeadgateError):
    """The client asks for more than the gate does for one at once."""

    code, status = "too_much", 422


class KeyReused(HeadgateError):
    """The idempotency key of this request was used for another one."""

    code, status = "idempotency_key_reused", 422


class TooLate(HeadgateError):
    """What is to be prevented has happened already."""

    code, status = "too_late", 409


class SettingRefused(HeadgateError):
    """A key that is none, or a value that the service's schema refuses; nothing was changed."""

    code, status = "setting_refused", 422


class SettingConflict(HeadgateError):
    """The setting has not the version that the request expects; nothing was changed."""

    code, status = "setting_conflict", 409


class Expired(HeadgateError):
    """The time of what was asked for is over; it was not done."""

    code, status = "expired", 409


class Busy(HeadgateError):
    """What this request needs does not keep up; nothing of it was done."""

    code, status, retriable = "busy", 429, True


class Misdirected(HeadgateError):
    """The request came by a name that is not this gate's."""

    code, status = "misdirected", 421


class Unauthorized(HeadgateError):
    """The gate asks who sends this, and the answer was none. `challenge` is what a client may answer with."""

    code, status = "unauthorized", 401

    def __init__(self, message: str, *, challenge: str = "") -> None:
        self.challenge = challenge
        super().__init__(message)


class RateLimited(HeadgateError):
    """This client asks more often than it may; nothing of this request was done."""

    code, status, retriable = "rate_limited", 429, True

    def __init__(self, message: str, *, after: int) -> None:
        self.after = after
        super().__init__(message)


class Refused(HeadgateError):
    """The gate does not do this for this client."""

    code, status = "refused", 403


class Forbidden(Refused):
    """The gate knows who sends this, and they have no permission for it."""

    code = "forbidden"


class NoReply(HeadgateError):
    """Nobody answered this request in time."""

    code, status, retriable = "timeout", 504, False


class TransportError(HeadgateError):
    """What lives below a stream failed.

    `failed` names the messages of a batch that it is about, each with its own error, when the others were kept.
    """

    code, status = "transport", 503
    failed: Mapping[int, "TransportError"] = MappingProxyType({})


class Unavailable(TransportError):
    """The broker, the peer or the file is away for now."""

    code, status, retriable = "unavailable", 503, True


class Uncertain(Unavailable):
    """It went while it was keeping something: nobody knows what is there."""


class StreamFull(TransportError):
    """The stream keeps no more until somebody reads: `overflow: reject`."""

    code, status, retriable = "stream_full", 429, True


class StorageFull(TransportError):
    """The disk keeps no more; nothing of this batch was kept."""

    code, status, retriable = "storage_full", 507, True


class StreamClosed(TransportError):
    """The stream, sink or source was closed."""

    code, status, retriable = "stream_closed", 503, True


class Draining(HeadgateError):
    """The gate is shutting down and takes nothing new."""

    code, status, retriable = "draining", 503, True


class Overloaded(HeadgateError):
    """The gate holds as much of its clients' requests as it may; nothing of this one was read."""

    code, status, retriable = "overloaded", 503, True


class FrameRefused(HeadgateError):
    """A frame between two processes of a service is not believed; the link that it came over is closed."""

    code = "frame_refused"


class FrameTooLarge(FrameRefused):
    """It says that it is longer than a frame may be; nothing of it was read."""

    code = "payload_too_large"


class FrameMalformed(FrameRefused):
    """It is not what a frame looks like."""

    code = "malformed_frame"


class FrameUnsigned(FrameRefused):
    """It has no signature."""

    code = "missing_signature"


class KindRefused(FrameRefused):
    """Its kind is unknown, or nothing that the other side may send."""

    code = "unsupported_kind"


class FrameExpired(FrameRefused):
    """It was made longer ago than a frame may be, or will be made in the future."""

    code = "timestamp_expired"


class FrameForged(FrameRefused):
    """Its signature is not that of our key."""

    code = "invalid_signature"


class FrameReplayed(FrameRefused):
    """It came before, or longer ago than is remembered."""

    code = "replayed_nonce"


class BindRefused(HeadgateError):
    """Frames may only be exchanged on a loopback address."""

    code = "bind_policy"


class LinkLost(HeadgateError):
    """A link between two processes ended, or could not be made."""

    code, status, retriable = "link_lost", 503, True


class VersionMismatch(HeadgateError):
    """The two sides of a link have no version in common: they run different versions of Headgate."""

    code = "version_mismatch"


class WorkerLost(HeadgateError):
    """The process that ran a node's function is gone, and nobody knows what became of the messages that it had."""

    code, retriable = "worker_lost", True


class Refusal(HeadgateError):
    """A node raises it to answer a request with an error: what is wrong with it, an HTTP status and a stable code."""

    def __init__(self, message: str, *, status: int = 400, type: str = "refused") -> None:  # noqa: A002
        super().__init__(message)
        if not 400 <= status <= 599:
            raise ValueError(f"a refusal has a status from 400 to 599, not {status}")
        self.reply_status, self.reply_type = status, type


class NodeError(HeadgateError):
    """A node is declared in a way that cannot work, or returned something that is not a message."""

    code = "node"
