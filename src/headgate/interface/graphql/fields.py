"""Fields, types and scalars that are made of data: what a file declares has no Python classes to decorate."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from keyword import iskeyword
from typing import Annotated, Any, NewType

import strawberry
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type
from strawberry.types.field import StrawberryField

Long = NewType("Long", int)
Text = NewType("Text", object)
Resolve = Callable[[Any, Any, dict[str, Any]], Any]  # source, context, arguments


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"a Long is a whole number, not {value!r:.80}")
    return int(value)


def _read(source: Any, name: str) -> Any:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name)


CONFIG = StrawberryConfig(
    auto_camel_case=False,
    default_resolver=_read,
    scalar_map={
        Long: strawberry.scalar(
            name="Long", description="A whole number of 64 bits.", serialize=_whole, parse_value=_whole
        ),
        Text: strawberry.scalar(
            name="Text", description='A string; bytes that are no text are an object: `{base64: "..."}`.'
        ),
    },
)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a field. Without a default it has to be given."""

    name: str
    type: Any
    meaning: str = ""
    default: Any = Parameter.empty


def field(name: str, gives: Any, resolve: Resolve, arguments: Sequence[Argument] = (), meaning: str = "") -> Any:
    """A field that is resolved by a function of the source, the context and the arguments that were given."""
    return _field(strawberry.field, name, gives, resolve, arguments, meaning)


def subscription(name: str, gives: Any, resolve: Resolve, arguments: Sequence[Argument], meaning: str) -> Any:
    """The same for what is subscribed to."""
    return _field(strawberry.subscription, name, gives, resolve, arguments, meaning)


def _field(
    make: Any, name: str, gives: Any, resolve: Resolve, arguments: Sequence[Argument], meaning: str
) -> StrawberryField:
    # Strawberry reads a function's signature: this one is written down for it.
    def resolver(root: Any, info: Any, **given: Any) -> Any:
        named = {argument.name: given[_safe(argument.name)] for argument in arguments if _safe(argument.name) in given}
        return resolve(root, info.context, {k: v for k, v in named.items() if v is not None})

    parameters = [
        Parameter("root", Parameter.POSITIONAL_OR_KEYWORD, annotation=Any),
        Parameter("info", Parameter.POSITIONAL_OR_KEYWORD, annotation=strawberry.Info),
        *map(_parameter, arguments),
    ]
    resolver.__signature__ = Signature(parameters, return_annotation=gives)  # type: ignore[attr-defined]
    resolver.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": gives}
    resolver.__name__ = name
    made: StrawberryField = make(resolver=resolver, name=name, description=meaning or None)
    return made


def _parameter(argument: Argument) -> Parameter:
    told = strawberry.argument(name=argument.name, description=argument.meaning or None)
    annotation: Any = Annotated[argument.type, told]
    return Parameter(_safe(argument.name), Parameter.KEYWORD_ONLY, annotation=annotation, default=argument.default)


def _safe(name: str) -> str:
    return f"{name}_" if iskeyword(name) else name


class Names:
    """The names of a schema's types. Strawberry writes them in camel case, so they are made that way here."""

    def __init__(self) -> None:
        self._taken = {*_ROOTS, *_FIXED, *_SCALARS}

    def free(self, *parts: str) -> str:
        """A name of these parts that nothing else has."""
        words = [word for part in parts for word in part.split("_") if word]
        name = free = "".join(word[:1].upper() + word[1:] for word in words)
        number = 1
        while free in self._taken:
            number += 1
            free = f"{name}{number}"
        self._taken.add(free)
        return free


_ROOTS = ("Query", "Mutation", "Subscription")
_FIXED = ("Stream", "Message", "MessageInput", "Header", "HeaderInput", "Window", "Published", "PublishError", "Pushed")
_SCALARS = ("Int", "Float", "String", "Boolean", "ID", "JSON", "Long", "Text")


def record(name: str, members: Mapping[str, tuple[Any, str]]) -> type:
    """A type of plain members: their types and meanings by their names."""
    fields = [
        strawberry.field(name=key, graphql_type=gives, description=meaning or None)
        for key, (gives, meaning) in members.items()
    ]
    return create_type(name, fields)


def entry(name: str, members: Mapping[str, tuple[Any, str]]) -> type:
    """The same for what is given; what is left out is `UNSET`."""
    fields = [
        strawberry.field(name=key, graphql_type=takes, description=meaning or None, default=strawberry.UNSET)
        for key, (takes, meaning) in members.items()
    ]
    return create_type(name, fields, is_input=True)


def maybe(shape: Any) -> Any:
    """The same type, or nothing."""
    return shape | None


def many(shape: Any) -> Any:
    """A list of these."""
    return list[shape]


def flow(shape: Any) -> Any:
    """These or nothing, one after the other."""
    return AsyncGenerator[shape | None, None]


def plain(value: Any) -> Any:
    """What was given, as plain data: without what was left out."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(type(value), "__strawberry_definition__"):
        members = {member.name: getattr(value, member.name) for member in type(value).__strawberry_definition__.fields}
        return {name: plain(item) for name, item in members.items() if item is not strawberry.UNSET}
    return value


__all__ = [
    "CONFIG",
    "JSON",
    "Argument",
    "Long",
    "Names",
    "Text",
    "entry",
    "field",
    "flow",
    "many",
    "maybe",
    "plain",
    "record",
    "subscription",
]
