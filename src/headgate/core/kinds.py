"""The kinds: of each, the words for what its fields refuse, the value that a text has, and the text of a value.

What has no fault PostgreSQL reads as the same value. The patterns accept the same and say nothing: see `patterns`.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from headgate.core.codec import decode_json, encode_json
from headgate.core.entity import (
    LARGEST_EXPONENT,
    LARGEST_INTEGER,
    MOST_FLOAT_DIGITS,
    SMALLEST_INTEGER,
    Field,
    Kind,
    Value,
)
from headgate.errors import CodecError

_SHOWN = 60  # characters of somebody's text that a message repeats

_AN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")  # thousands of digits are refused before they are made a number
_A_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?")
_A_POWER = re.compile(r"-?[1-9](?:\.([0-9]+))?[eE][+-]?(0?[0-9]|0?[1-9][0-9]+)")
_A_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_A_TIME = re.compile(
    r"([0-9-]{10})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,6})?)?(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"')
_LONG_NUMBER = re.compile(r"[0-9.]{1000}|[0-9][eE][+-]?[0-9]{4}")  # JSON allows any; a database does not
_BOOLEANS = {"true": True, "t": True, "yes": True, "y": True, "1": True}
_BOOLEANS |= {"false": False, "f": False, "no": False, "n": False, "0": False}


def explain(field: Field, text: str) -> str | None:
    """What is wrong with the text of a field; None when nothing is."""
    if not text:
        return None if field.nullable else "must not be empty"
    expected = _EXPLAIN[field.kind](field, text)
    return expected and f"must be {expected}, not {shown(text)}"


def expected(field: Field) -> str:
    """What a field accepts, in words."""
    if field.kind.is_json:
        return _SHAPES[field.kind][1]
    if field.kind is not Kind.TEXT:
        return _EXPLAIN[field.kind](field, "?") or ""  # a question mark is nothing but text
    if field.choices:
        return f"one of {', '.join(field.choices)}"
    if field.max_length is None:
        return f"at least {max(1, field.min_length)} characters"
    return f"{max(1, field.min_length)} to {field.max_length} characters"


def read(field: Field, text: str) -> Value:
    """The value of a text that has no fault."""
    return _READ[field.kind](text) if text else None


def write(field: Field, value: object) -> str | None:
    """The text of a value, of Python or of JSON, and of null; None when the field takes no value of its type."""
    if value is None:
        return ""
    if field.kind.is_json:
        return encode_json(value).decode()
    if not isinstance(value, _TAKEN[field.kind]) or isinstance(value, bool) != (field.kind is Kind.BOOLEAN):
        return None
    # A float of JSON becomes the shortest decimal that means it.
    return text_of(Decimal(str(value)) if field.kind is Kind.DECIMAL and isinstance(value, float) else value)


def text_of(value: object) -> str:
    """The text of any value, as a message would carry it."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list | dict):
        return encode_json(value).decode()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(text: str) -> str:
    """Somebody's text as a message shows it: short, on one line."""
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut) + '"'


def _text(field: Field, text: str) -> str | None:
    if "\0" in text or not _is_unicode(text):
        return "text without NUL and without halves of characters"
    if field.choices:
        return None if text in field.choices else f"one of {', '.join(field.choices)}"
    if field.max_length is not None and len(text) > field.max_length:
        return f"at most {field.max_length} characters (these are {len(text)})"
    return f"at least {field.min_length} characters" if len(text) < field.min_length else None


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _integer(field: Field, text: str) -> str | None:
    if _AN_INTEGER.fullmatch(text) and field.minimum <= int(text) <= field.maximum:
        return None
    if (field.minimum, field.maximum) == (SMALLEST_INTEGER, LARGEST_INTEGER):
        return "an integer of 64 bits"
    return f"an integer from {field.minimum} to {field.maximum}"


def _decimal(field: Field, text: str) -> str | None:
    before, after = field.digits
    if match := _A_NUMBER.fullmatch(text):
        whole, fraction = match[1], match[2] or ""
        if (whole == "0" or len(whole) <= before) and len(fraction) <= after:
            return None
    return f"a decimal number with at most {before} digits before its point and {after} after it"


def _float(_: Field, text: str) -> str | None:
    if match := _A_NUMBER.fullmatch(text):
        fits = max(len(match[1]), len(match[2] or "")) <= MOST_FLOAT_DIGITS
    elif match := _A_POWER.fullmatch(text):
        fits = len(match[1] or "") <= MOST_FLOAT_DIGITS and len(match[2]) <= 4 and int(match[2]) <= LARGEST_EXPONENT
    else:
        fits = False
    return None if fits else "a number, such as -0.5 or 1.5e-7"


def _boolean(_: Field, text: str) -> str | None:
    return None if text.lower() in _BOOLEANS and text.isascii() else "true or false"


def _date(_: Field, text: str) -> str | None:
    return None if _is_date(text) else "a date that exists, as YYYY-MM-DD"


def _is_date(text: str) -> bool:
    try:
        return bool(_A_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _timestamp(_: Field, text: str) -> str | None:
    match = _A_TIME.fullmatch(text)
    if match is None or not _is_date(match[1]) or not _is_clock(*match.group(2, 3, 4)):
        return "a date and a time, as YYYY-MM-DDTHH:MM:SS with or without Z or an offset"
    if match[5] is None:
        return None
    if int(match[6]) > 14 or int(match[7]) > 59:
        return "a time with an offset of less than 15 hours"
    if match[1] in ("0001-01-01", "9999-12-31"):
        return "a time without an offset on the first and on the last day"
    return None


def _is_clock(hour: str, minute: str, second: str | None) -> bool:
    return int(hour) < 24 and int(minute) < 60 and int(second or 0) < 60


def _uuid(_: Field, text: str) -> str | None:
    parts = text.split("-")
    fits = [len(part) for part in parts] == [8, 4, 4, 4, 12] and set("".join(parts)) <= set("0123456789abcdefABCDEF")
    return None if fits else "a UUID"


def _json(field: Field, text: str) -> str | None:
    try:
        value = decode_json(text.encode())
    except (CodecError, UnicodeEncodeError):
        return "JSON"
    if _NUL_IN_JSON.search(text):
        return "JSON without NUL"
    if _LONG_NUMBER.search(text) and _LONG_NUMBER.search(_JSON_STRING.sub("", text)):
        return "JSON with numbers of fewer digits"
    fits, words = _SHAPES[field.kind]
    return None if fits(value) else words


def _is_list_of(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _read_timestamp(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


_TAKEN: dict[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.INTEGER: (int,),
    Kind.DECIMAL: (int, float, Decimal, str),
    Kind.FLOAT: (int, float),
    Kind.BOOLEAN: (bool,),
    Kind.DATE: (date, str),
    Kind.TIMESTAMP: (datetime, str),
    Kind.UUID: (UUID, str),
}
_SHAPES: dict[Kind, tuple[Callable[[object], bool], str]] = {
    Kind.JSON: (lambda _: True, "JSON"),
    Kind.OBJECT: (lambda value: isinstance(value, dict), "a JSON object"),
    Kind.TEXT_LIST: (_is_list_of(str), "a JSON array of strings"),
    Kind.OBJECT_LIST: (_is_list_of(dict), "a JSON array of objects"),
}
_EXPLAIN: dict[Kind, Callable[[Field, str], str | None]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.FLOAT: _float,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _timestamp,
    Kind.UUID: _uuid,
    **dict.fromkeys(_SHAPES, _json),
}
_READ: dict[Kind, Callable[[str], Value]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.DECIMAL: Decimal,
    Kind.FLOAT: float,
    Kind.BOOLEAN: lambda text: _BOOLEANS[text.lower()],
    Kind.DATE: date.fromisoformat,
    Kind.TIMESTAMP: _read_timestamp,
    Kind.UUID: UUID,
    **dict.fromkeys(_SHAPES, lambda text: decode_json(text.encode())),
}
