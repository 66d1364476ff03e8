"""The call: how a node's function wants its messages, and what becomes of what it returns."""

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from headgate.core.message import Message
from headgate.errors import NodeError
from headgate.runtime.config.view import Config, defaults_only
from headgate.runtime.node import Declaration, taken

Configure = Callable[[Any], Config[Any]]
"""The live view of the settings of a type. Raises a `NodeError` for a type that cannot be one."""


class Call:
    """How a node's function wants its messages."""

    def __init__(self, declaration: Declaration, configure: Configure = defaults_only) -> None:
        self.function = configured(declaration, configure)
        wants = _annotation(declaration, next((parameter.name for parameter in taken(declaration.function)), None))
        self.takes_batch = get_origin(wants) in (list, Sequence) and _is_message(get_args(wants)[0])
        if self.takes_batch:
            [wants] = get_args(wants)
        self.takes_message = _is_message(wants)
        self._value = next(iter(get_args(wants)), Any) if self.takes_message else wants
        self.is_async = inspect.iscoroutinefunction(declaration.function)
        self.is_generator = inspect.isasyncgenfunction(declaration.function)

    def converted(self, message: Message[Any]) -> Message[Any]:
        """The message with its value as the function wants it. May raise a `ValidationError`."""
        return message if self._value is Any else replace(message, value=msgspec.convert(message.value, self._value))

    def argument(self, messages: Sequence[Message[Any]]) -> Any:
        """What the function is called with for these messages."""
        if self.takes_batch:
            return list(messages)
        return messages[0] if self.takes_message else messages[0].value


def configured(declaration: Declaration, configure: Configure) -> Callable[..., Any]:
    """The function of a node, with its settings given to it where it takes some. May raise a `NodeError`."""
    name = declaration.configured_by
    if name is None:
        return declaration.function
    [declared] = get_args(_annotation(declaration, name)) or [None]
    return partial(declaration.function, **{name: configure(declared)})


def _annotation(declaration: Declaration, parameter: str | None) -> Any:
    if parameter is None:
        return Any
    try:
        return get_type_hints(declaration.function).get(parameter, Any)
    except Exception as error:  # noqa: BLE001 - an annotation may be any expression
        raise NodeError(f"the annotations of node {declaration.name!r} cannot be read: {error}") from None


def _is_message(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) is Message


def results(returned: Any) -> list[Any]:
    """What a call returned, as a list of values or messages to publish."""
    if returned is None:
        return []
    return list(returned) if isinstance(returned, list | tuple) else [returned]


async def gather(values: AsyncIterator[Any]) -> list[Any]:
    """What a generator node yielded for one message."""
    return [item async for value in values for item in results(value)]


def in_thread(function: Callable[..., Any], argument: Any) -> list[Any]:
    """Call a plain function, and run it to its end if it is a generator."""
    try:
        returned = function(argument)
        values = returned if isinstance(returned, Generator) else [returned]
        return [item for value in values for item in results(value)]
    except StopIteration as error:  # which no future can carry, so that nobody would ever hear of it
        raise RuntimeError("the function raised StopIteration") from error
