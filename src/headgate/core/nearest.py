"""The nearest known word: what somebody probably meant."""

from collections.abc import Collection
from difflib import get_close_matches

_MOST_COMPARED, _LONGEST_COMPARED = 200, 60


def nearest(word: str, known: Collection[str]) -> str:
    """A hint at the known word that was probably meant, or nothing."""
    # Comparing takes time, and a file may hold thousands of names: only short ones, of a like length, not too many.
    alike = sorted(other for other in known if abs(len(other) - len(word)) <= 6 and len(word) <= _LONGEST_COMPARED)
    close = get_close_matches(word, alike[:_MOST_COMPARED], n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
