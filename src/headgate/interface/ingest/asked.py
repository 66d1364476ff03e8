"""What a client asks for beside its messages: the parameters of an ingest request."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from headgate.core.entity import Entity
from headgate.errors import InvalidParameter
from headgate.interface.exchange import Request
from headgate.interface.idempotency import key_of
from headgate.interface.route import Parameter
from headgate.runtime.ingest.intake import Intake
from headgate.store.base import Duplicates

T = TypeVar("T")
_YES_NO = {"true": True, "false": False}


class Asked(NamedTuple):
    """The parameters of a request."""

    atomic: bool = False
    duplicates: Duplicates | None = None
    dry_run: bool = False
    entity: Entity | None = None
    every: bool = True  # an event for each message
    key: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it has to be one transaction."""
        return self.atomic or self.dry_run or self.key is not None


def asked(request: Request, intake: Intake) -> Asked:
    """What this request asks for. Raises an `InvalidParameter`."""
    if not request.scope["query_string"]:  # most ask for nothing
        return Asked(atomic=intake.terms.atomic, entity=intake.only, key=key_of(request))
    if unknown := request.query.keys() - _NAMES:
        raise InvalidParameter(f"{min(unknown)[:80]!r} is unknown here; there are {', '.join(sorted(_NAMES))}")
    mode = _one_of(request, "mode", {"best_effort": False, "atomic": True})
    every = _one_of(request, "progress", {"line": True, "batch": False})
    return Asked(
        atomic=intake.terms.atomic if mode is None else mode,
        duplicates=_one_of(request, "on_duplicate", {word.value: word for word in Duplicates}),
        dry_run=bool(_one_of(request, "dry_run", _YES_NO)),
        entity=_entity(request, intake),
        every=every is not False,
        key=key_of(request),
    )


def _one_of(request: Request, name: str, words: Mapping[str, T]) -> T | None:
    text = request.parameter(name)
    if text is None:
        return None
    if text not in words:
        raise InvalidParameter(f"{name!r} must be one of {', '.join(words)}, not {text[:80]!r}")
    return words[text]


def _entity(request: Request, intake: Intake) -> Entity | None:
    name = request.parameter("entity")
    if name is None:
        return intake.only
    entity = intake.entity(name)
    if entity is None:
        known = ", ".join(entity.name for entity in intake.entities)
        raise InvalidParameter(f"there is no entity {name[:80]!r} here; there are {known}")
    return entity


PARAMETERS = [
    Parameter("mode", "Keep what is good, or all or nothing.", {"type": "string", "enum": ["best_effort", "atomic"]}),
    Parameter(
        "on_duplicate",
        "What becomes of a row whose key is there already.",
        {"type": "string", "enum": [word.value for word in Duplicates]},
    ),
    Parameter("dry_run", "Try everything, and keep nothing.", {"type": "boolean"}),
    Parameter("entity", "Whose records JSON objects and rows of CSV are.", {"type": "string"}),
]
PROGRESS = Parameter(
    "progress", "An event for each message, or for each piece.", {"type": "string", "enum": ["line", "batch"]}
)
_NAMES = {parameter.name for parameter in [*PARAMETERS, PROGRESS]}
