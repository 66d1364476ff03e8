"""What one row of the campaign found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A row: what was done, what was counted, and whether that is what was promised."""

    row: int
    name: str
    figures: str
    passed: bool
