"""The caller: who sends a request, as far as the gate knows, and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.core.scopes import ALL_KEYS, EVERYTHING, Keys, Scope, granted
from headgate.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody. The name stands in logs and counts for limits; it is no secret."""

    name: str
    known: bool = True
    named: bool = True
    scopes: tuple[Scope, ...] = EVERYTHING

    def keys(self, verb: str, targets: Sequence[str]) -> Keys | None:
        """The keys of messages with which this caller may do this to a thing that has these names; None: it may not."""
        return ALL_KEYS if self.scopes is EVERYTHING else granted(self.scopes, verb, targets)

    def permitted(self, verb: str, targets: Sequence[str]) -> Keys:
        """The same, where it is needed. Raises `Forbidden`."""
        keys = self.keys(verb, targets)
        if keys is None:
            raise Forbidden(
                f"{self.name} may not {verb} {targets[0][:200]}; it takes the scope {verb}:{targets[-1][:200]}"
            )
        return keys


ANYONE = Caller("anyone", named=False)  # where nobody is asked
STRANGER = Caller("stranger", known=False, named=False)  # where all are, and this one did not say
