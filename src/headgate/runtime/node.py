"""The node: a Python function between streams, declared where it is written and found by its module's name."""

import importlib
import inspect
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from headgate.core.message import Message
from headgate.errors import NodeError
from headgate.runtime.config.view import Config, defaults_only

Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__headgate_node__"
_CONFIG = re.compile(r"(\w+\.)*Config\[")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A function that is a node, and the streams it names."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def is_source(self) -> bool:
        """It makes messages of its own: an async generator that takes none."""
        return inspect.isasyncgenfunction(self.function) and not taken(self.function)

    @property
    def configured_by(self) -> str | None:
        """The name of the parameter that gets its settings."""
        return next((p.name for p in _parameters(self.function) if _is_config(p.annotation)), None)


def node(
    name: str | None = None,
    *,
    input: str | Sequence[str] = (),  # noqa: A002 - the word of the YAML file
    output: str | Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Declare a function as a node.

    It gets the value of each message of its input streams, decoded and converted to the type of its
    parameter; a parameter of type `Message` gets the whole message, one of type `list[Message]` a batch, and
    in a `Message[Order]` the value is an `Order`. A parameter of type `Config[...]` gets its settings. What it
    returns or yields is published to its output streams: a value, a `Message`, a list of either, or None for
    nothing. A plain function runs in a thread. An async generator that takes no message is a source.
    """

    def mark(function: Function) -> Function:
        declaration = Declaration(name or function.__name__, function, _names(input), _names(output))
        _refuse_impossible(declaration)
        setattr(function, _MARK, declaration)
        return function

    return mark


def _names(streams: str | Sequence[str]) -> tuple[str, ...]:
    return (streams,) if isinstance(streams, str) else tuple(streams)


def _refuse_impossible(declaration: Declaration) -> None:
    parameters = len(taken(declaration.function))
    if parameters > 1:
        raise NodeError(f"node {declaration.name!r} takes {parameters} parameters; a node takes one, or none")
    if sum(_is_config(parameter.annotation) for parameter in _parameters(declaration.function)) > 1:
        raise NodeError(f"node {declaration.name!r} has several parameters for settings; name them in one type")
    if parameters == 0 and not declaration.is_source:
        raise NodeError(f"node {declaration.name!r} has no parameter and is no async generator: it would never run")


def taken(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that get what a node reads: all but the one for its settings."""
    return [parameter for parameter in _parameters(function) if not _is_config(parameter.annotation)]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _is_config(annotation: Any) -> bool:
    # As text where annotations are not evaluated: what it names may not be there yet.
    if isinstance(annotation, str):
        return _CONFIG.match(annotation) is not None
    return get_origin(annotation) is Config


def discover(modules: Sequence[str]) -> dict[str, Declaration]:
    """The nodes of these modules, by name. The modules are imported; a name that stands twice is an error."""
    found: dict[str, Declaration] = {}
    for module_name in modules:
        for declaration in declared_in(_import(module_name)):
            other = found.setdefault(declaration.name, declaration)
            if other.function is not declaration.function:
                raise NodeError(
                    f"two nodes are named {declaration.name!r}: {_place(other)} and {_place(declaration)}; rename one"
                )
    return found


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise NodeError(
            f"module {name!r} of runtime.discovery_modules is not found beside the configuration or installed"
        ) from None


def declared_in(module: ModuleType) -> list[Declaration]:
    """The nodes that a module holds, in the order of their names."""
    # Statically: what else a module holds may answer to any name, or raise.
    marked = (inspect.getattr_static(value, _MARK, None) for _, value in sorted(vars(module).items()))
    return [mark for mark in marked if isinstance(mark, Declaration)]


def _place(declaration: Declaration) -> str:
    return f"{declaration.function.__module__}.{declaration.function.__qualname__}"


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


def wired(
    found: dict[str, Declaration],
    wiring: Iterable[tuple[str, tuple[str, ...] | None, tuple[str, ...] | None]],
) -> dict[str, Declaration]:
    """The nodes with what the file says of their streams: (name, inputs or None, outputs or None)."""
    nodes = dict(found)
    for name, inputs, outputs in wiring:
        if name not in nodes:
            known = ", ".join(sorted(nodes)) or "none"
            raise NodeError(f"the file wires node {name!r}, but the discovery modules declare: {known}")
        was = nodes[name]
        nodes[name] = Declaration(
            name,
            was.function,
            was.inputs if inputs is None else inputs,
            was.outputs if outputs is None else outputs,
        )
    return nodes
