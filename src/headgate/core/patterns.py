"""The patterns: what accepts the text of a field, as a regular expression that is part of one for whole lines.

They are written apart from the explanations in `kinds`, and a property test holds the two together.
"""

import re

from headgate.core.entity import LARGEST_EXPONENT, MOST_FLOAT_DIGITS, Field, Kind
from headgate.core.number_range import integers

_MONTH_AND_DAY = "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = f"(?!0000)(?:[0-9]{{4}}-{_MONTH_AND_DAY}|{_LEAP_YEAR}-02-29)"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,6}+)?+)?+"
_OFFSET = "[+-](?:0[0-9]|1[0-4]):[0-5][0-9]"
# By its offset, a time on the first or the last day that there is may lie in a year that there is not.
_TIMESTAMP = f"(?:{_DATE}[T ]{_CLOCK}Z?|(?!0001-01-01|9999-12-31){_DATE}[T ]{_CLOCK}{_OFFSET})"
_BOOLEAN = "(?:[tT](?:[rR][uU][eE])?+|[fF](?:[aA][lL][sS][eE])?+|[yY](?:[eE][sS])?+|[nN][oO]?+|[01])"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_FRACTION = f"(?:[.][0-9]{{1,{MOST_FLOAT_DIGITS}}}+)?+"
_FLOAT = (
    f"-?+(?:[1-9]{_FRACTION}[eE][+-]?+0?{integers(0, LARGEST_EXPONENT)}"
    f"|(?:[1-9][0-9]{{0,{MOST_FLOAT_DIGITS - 1}}}+|0){_FRACTION})"
)
_FIXED = {
    Kind.FLOAT: _FLOAT,
    Kind.BOOLEAN: _BOOLEAN,
    Kind.DATE: _DATE,
    Kind.TIMESTAMP: _TIMESTAMP,
    Kind.UUID: _UUID,
}


def pattern(field: Field, character: str) -> str:
    """What accepts the field's text before a delimiter; `character` is the class of what a text may hold."""
    accepts = _pattern(field, character)
    return f"(?:{accepts}|)" if field.nullable else f"(?:{accepts})"


def _pattern(field: Field, character: str) -> str:
    if field.kind is Kind.TEXT:
        return _text_pattern(field, character)
    if field.kind is Kind.INTEGER:
        return integers(field.minimum, field.maximum)
    if field.kind is Kind.DECIMAL:
        return _decimal_pattern(*field.digits)
    return _FIXED[field.kind]


def _text_pattern(field: Field, character: str) -> str:
    if field.choices:
        return "|".join(map(re.escape, field.choices))
    most = "" if field.max_length is None else field.max_length
    return f"{character}{{{max(1, field.min_length)},{most}}}+"


def _decimal_pattern(before: int, after: int) -> str:
    whole = f"(?:[1-9][0-9]{{0,{before - 1}}}+|0)" if before else "0"
    return f"-?+{whole}" + (f"(?:[.][0-9]{{1,{after}}}+)?+" if after else "")
