"""The references: rows of one block that refer to each other, and which of them fall when one does."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A row that stands: the key that nobody but this block brings, and those of its table that it needs."""

    line: int
    brings: Key | None
    needs: tuple[Key, ...] = ()


def falling(links: Sequence[Link], lost: Iterable[int], spare: Collection[Key] = ()) -> set[int]:
    """Those that are lost, those that refer to them and to nothing else, and so on until nothing changes.

    Keys that are `spare` may yet be brought by other rows, when those that stand fall: nothing falls with them for now.
    """
    brought = Counter(link.brings for link in links if link.brings is not None)
    by_line = {link.line: link for link in links}
    dependents: dict[Key, list[int]] = defaultdict(list)
    for link in links:
        for key in link.needs:
            dependents[key].append(link.line)
    fallen: set[int] = set()
    waiting = list(lost)
    while waiting:
        line = waiting.pop()
        if line in fallen:
            continue
        fallen.add(line)
        if (gone := by_line[line].brings) is not None:
            brought[gone] -= 1
            if not brought[gone] and gone not in spare:
                waiting += dependents[gone]
    return fallen
