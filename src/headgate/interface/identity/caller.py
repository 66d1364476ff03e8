"""The caller: who sends a request, as far as the gate knows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody. The name stands in logs and counts for limits; it is no secret."""

    name: str
    known: bool = True
    named: bool = True


ANYONE = Caller("anyone", named=False)  # where nobody is asked
STRANGER = Caller("stranger", known=False, named=False)  # where all are, and this one did not say
