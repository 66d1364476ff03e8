"""The caller: who sends a request, as far as the gate knows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody. The name stands in logs and counts for limits; it is no secret."""

    name: str
    known: bool = True


ANYONE = Caller("anyone")  # where nobody is asked
STRANGER = Caller("stranger", known=False)  # where all are, and this one did not say
