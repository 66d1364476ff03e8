"""Values: the kinds of text and number in a configuration, each with the words for what it expects."""

import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

LONGEST_NAME = 200
SHORTEST_DURATION = 0.001
LONGEST_DURATION = 3650 * 86400.0  # ten years

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_ROUTE = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
_TEMPLATE = re.compile(
    r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)(/((?!\.{1,2}(/|$))[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]{0,63}\}))*"
)
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,253}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_ADDRESS = re.compile(r"[A-Za-z0-9._:%-]{1,253}")


class Spec(BaseModel):
    """A part of the configuration as written. A known key without a value counts as left out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if value is not None or key not in cls.model_fields}


def part(description: str, *, default: object = None) -> Any:
    """A field that holds a part of the document, with all its defaults when it is left out.

    The default is validated in place: a made instance would have each part build a validator of its own.
    """
    return Field(
        default_factory=lambda: {} if default is None else default,
        validate_default=True,
        description=description,
    )


def expected(words: str, *, hidden: bool = False) -> PydanticCustomError:
    """The error of a value that is not what is expected. A hidden one is never shown: it may be a password."""
    return PydanticCustomError("hidden" if hidden else "expected", "{words}", {"words": words})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _text(accepts: Callable[[str], object], words: str, *, hidden: bool = False) -> AfterValidator:
    def check(value: str) -> str:
        if not accepts(value):
            raise expected(words, hidden=hidden)
        return value

    return AfterValidator(check)


def _is_name(value: str) -> bool:
    return 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _duration(value: object) -> float:
    words = "a duration: a number of seconds, or text such as 500ms, 30s, 5m, 2h, 7d"
    if isinstance(value, str) and (match := _DURATION.fullmatch(value[:40])):
        value = float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise expected(words)
    if not 0 <= value <= LONGEST_DURATION:  # refuses nan, too
        raise expected("a duration from 0 to 3650d")
    return float(value)


def _positive_duration(value: object) -> float:
    if (seconds := _duration(value)) < SHORTEST_DURATION:
        raise expected("a duration of 1ms or more")
    return seconds


def _option(value: object) -> str | int | float | bool:
    if not isinstance(value, str | int | float | bool):
        raise expected("text, a number, true or false")
    return value


def _one_or_more(value: object) -> object:
    if not isinstance(value, str | list):
        raise expected("a name, or a list of names")
    return [value] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _is_dotted(value: str) -> bool:
    return _is_name(value) and all(value.split("."))


def _is_pattern(value: str) -> bool:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError):
        return False
    return len(value) <= 500


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return False
    return parts.scheme in schemes and value.isprintable() and " " not in value


def _is_http_url(value: str) -> bool:
    return _is_url(value, ("http", "https")) and bool(urlsplit(value).hostname)


def _is_network(value: str) -> bool:
    try:
        ip_network(value)
    except ValueError:
        return False
    return True


def is_trustworthy(value: str) -> bool:
    """Whether what comes from this URL is what its host says: by TLS, or from this machine."""
    return _is_http_url(value) and (value.startswith("https://") or is_loopback(urlsplit(value).hostname or ""))


def _is_database_url(value: str) -> bool:
    # sqlite:///name.db is a file, sqlite:// one that lives in memory.
    return _is_url(value, ("sqlite", "postgresql")) and (value.startswith(("sqlite://", "postgresql://")))


Name = Annotated[str, _text(_is_name, f"1 to {LONGEST_NAME} printable characters")]
Names = Annotated[list[Name], BeforeValidator(_one_or_more, json_schema_input_type=Name | list[Name])]
Module = Annotated[str, _text(_MODULE.fullmatch, "the dotted name of a module, such as plant.nodes")]
Host = Annotated[str, _text(_ADDRESS.fullmatch, "an address or a host name, such as 127.0.0.1")]
LoopbackHost = Annotated[str, _text(is_loopback, "a loopback address, such as 127.0.0.1")]
Route = Annotated[
    str,
    _text(_ROUTE.fullmatch, "a path such as /results/latest: letters, digits and . _ ~ - between single slashes"),
]
Template = Annotated[
    str,
    _text(_TEMPLATE.fullmatch, "a path such as /quotes or /quotes/{item}: letters, digits and . _ ~ -, and {names}"),
]
ParameterName = Annotated[
    str, _text(_PARAMETER.fullmatch, "a name of letters, digits, _ . and -, up to 64, that starts with a letter")
]
EventName = Annotated[str, _text(_PARAMETER.fullmatch, "an event's name: letters, digits, _ . and -, up to 64")]
Origin = Annotated[str, _text(_ORIGIN.fullmatch, "a site as browsers name it, such as https://plant.example:8443")]
HeaderName = Annotated[str, _text(_HEADER.fullmatch, "the name of a header, such as X-API-Key")]
Dotted = Annotated[str, _text(_is_dotted, "the name of a field, or names with dots between: attributes.name")]
Pattern = Annotated[str, _text(_is_pattern, "a regular expression as Python has them, up to 500 characters")]
HttpUrl = Annotated[
    str, _text(_is_http_url, "a URL that starts with http:// or https:// and names a host", hidden=True)
]
TrustedUrl = Annotated[
    str,
    _text(is_trustworthy, "a URL that starts with https://, or with http:// on this machine", hidden=True),
]
DatabaseUrl = Annotated[
    str, _text(_is_database_url, "a URL such as sqlite:///headgate.db or postgresql://host/name", hidden=True)
]
NetworkText = Annotated[str, _text(_is_network, "a network, such as 10.0.0.0/8 or 192.168.1.7")]
Secret = Annotated[str, _text(lambda value: len(value) >= 16, "text of 16 characters or more", hidden=True)]
Character = Annotated[str, _text(lambda value: len(value) == 1, "one character")]
Option = Annotated[
    str | int | float | bool,
    PlainValidator(_option),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Duration = Annotated[
    float,
    PlainValidator(_duration),
    WithJsonSchema({"type": ["number", "string"], "minimum": 0, "title": "duration"}),
]
PositiveDuration = Annotated[
    float,
    PlainValidator(_positive_duration),
    WithJsonSchema({"type": ["number", "string"], "exclusiveMinimum": 0, "title": "duration"}),
]
Lower = BeforeValidator(_lower)
