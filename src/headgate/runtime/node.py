"""The node: a Python function between streams, declared where it is written and found by its module's name."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Literal, TypeVar, get_origin

from headgate.core.schedule import Order
from headgate.errors import NodeError
from headgate.runtime.config.view import Config

Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__headgate_node__"
_CONFIG = re.compile(r"(\w+\.)*Config\[")


@dataclass(frozen=True, slots=True)
class Manners:
    """How a node deals with its messages; what its file does not say is as its function says."""

    stage: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    concurrency: int | None = None  # None: one, or as many as its group has workers
    batch: int = 1000
    order: str = "key"
    retries: int = 0
    retry_delay: float = 0.1  # seconds before the first retry, twice as long before each further one
    timeout: float | None = None  # seconds for one call
    dead_letters: str | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """A function that is a node, the streams it names and how it deals with what is in them."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    manners: Manners = Manners()

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
    stage: str | None = None,
    tags: str | Sequence[str] = (),
    group: str | None = None,
    concurrency: int | None = None,
    batch: int = 1000,
    order: Literal["stream", "key", "none"] = "key",
    retries: int = 0,
    retry_delay: float = 0.1,
    timeout: float | None = None,
    dead_letters: str | None = None,
) -> Callable[[Function], Function]:
    """Declare a function as a node.

    It gets the value of each message of its input streams, decoded and converted to the type of its
    parameter; a parameter of type `Message` gets the whole message, one of type `list[Message]` a batch, and
    in a `Message[Order]` the value is an `Order`. A parameter of type `Config[...]` gets its settings. What it
    returns or yields is published to its output streams: a value, a `Message`, a list of either, or None for
    nothing. A plain function runs in a thread. An async generator that takes no message is a source.

    The other arguments are those of `nodes:` in the file, which wins where it says something.
    """
    manners = Manners(
        stage, _names(tags), group, concurrency, batch, order, retries, retry_delay, timeout, dead_letters
    )

    def mark(function: Function) -> Function:
        declaration = Declaration(name or function.__name__, function, _names(input), _names(output), manners)
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
    for what, value, least in _numbers(declaration.manners):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            raise NodeError(f"node {declaration.name!r}: {what} must be a number of {least} or more, not {value!r}")
    if declaration.manners.order not in tuple(Order):
        raise NodeError(f"node {declaration.name!r}: order must be one of {', '.join(Order)}")


def _numbers(manners: Manners) -> Iterator[tuple[str, Any, float]]:
    yield from (("batch", manners.batch, 1), ("retries", manners.retries, 0), ("retry_delay", manners.retry_delay, 0))
    if manners.concurrency is not None:
        yield "concurrency", manners.concurrency, 1
    if manners.timeout is not None:
        yield "timeout", manners.timeout, 0.001


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


def wired(
    found: dict[str, Declaration],
    wiring: Iterable[tuple[str, tuple[str, ...] | None, tuple[str, ...] | None, Mapping[str, Any]]],
) -> dict[str, Declaration]:
    """The nodes with what the file says of them: (name, inputs or None, outputs or None, manners)."""
    nodes = dict(found)
    for name, inputs, outputs, manners in wiring:
        if name not in nodes:
            known = ", ".join(sorted(nodes)) or "none"
            raise NodeError(f"the file wires node {name!r}, but the discovery modules declare: {known}")
        was = nodes[name]
        nodes[name] = replace(
            was,
            inputs=was.inputs if inputs is None else inputs,
            outputs=was.outputs if outputs is None else outputs,
            manners=replace(was.manners, **manners),
        )
    return nodes
