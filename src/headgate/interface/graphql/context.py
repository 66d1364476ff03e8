"""The context: for whom a query is carried out, and what they may do with each thing that it names."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from headgate.core.message import Headers
from headgate.core.position import At
from headgate.core.scopes import Keys
from headgate.errors import Forbidden, Unavailable
from headgate.interface.identity.caller import Caller
from headgate.runtime.tasks import finish_or_cancel

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Context:
    """One request. `drained` returns when the gate shuts down and nobody may wait longer."""

    caller: Caller
    path: str
    drained: Callable[[], Awaitable[object]]
    trace: Headers = ()
    resumed: At | None = None  # the last event that the client had

    def keys(self, verb: str, stream: str) -> Keys:
        """The keys of the messages of a stream with which the caller may do this. Raises `Forbidden`."""
        return self.caller.permitted(verb, [self.path, stream])

    def permit(self, verb: str, path: str) -> None:
        """Refuse what the caller may not do, or may do with some keys of messages alone. Raises `Forbidden`."""
        if self.caller.permitted(verb, [self.path, path]).patterns:
            told = "knows nothing of keys of messages, and this permission is for some keys alone"
            raise Forbidden(f"{path[:200]} {told}")

    async def unless_drained(self, work: Awaitable[Value]) -> Value:
        """The result of this, unless the gate shuts down first. Raises `Unavailable` then."""
        result: Any = await finish_or_cancel(_held(work), self.drained)
        if result is None:
            raise Unavailable("the gate is shutting down, and this was not done yet")
        held: Value = result[0]
        return held


async def _held(work: Awaitable[Value]) -> tuple[Value]:
    return (await work,)
