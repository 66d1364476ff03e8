"""JSON Schema: compiled once, and what it has against a value said in one line that begins with the field."""

from collections.abc import Callable, Mapping
from typing import Any

_LONGEST = 500
Check = Callable[[Any], str | None]


class BadSchema(ValueError):
    """This is no JSON Schema."""


def compile_schema(schema: Mapping[str, Any], name: str) -> Check:
    """What tells what is wrong with a value, which goes by this name. Raises a `BadSchema`."""
    import jsonschema_rs  # only those who have schemas load it

    try:
        validator = jsonschema_rs.validator_for(dict(schema), retriever=_refuse, mask="the value")
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise BadSchema(str(error).split("\n")[0]) from None

    def check(value: Any) -> str | None:
        try:
            if validator.is_valid(value):
                return None
            wrong = next(iter(validator.iter_errors(value)))
        except (ValueError, RecursionError) as error:
            return f"{name}: {error}"
        path = ".".join([name, *map(str, wrong.instance_path)])
        return f"{path}: {wrong.message[:_LONGEST]}"

    return check


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is elsewhere: a schema has to be whole")
