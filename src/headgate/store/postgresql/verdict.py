"""The verdict: what becomes of suspects, one after the other, as if each row had come alone."""

from collections.abc import Sequence

from headgate.core.entity import Entity, Fault
from headgate.store import wording
from headgate.store.base import Duplicates
from headgate.store.postgresql.suspects import Key, Suspect
from headgate.store.references import Link, falling


class Verdict:
    """What was decided about the suspects of one block. `final`: rows that hang on others are not given the benefit."""

    def __init__(self, entity: Entity, keys: Sequence[Key], duplicates: Duplicates, *, final: bool = False) -> None:
        self.faults: list[Fault] = []
        self.skipped: list[int] = []
        self.updated: list[int] = []
        self.hangs_together = False  # rows were judged by other rows of the block
        assert entity.storage is not None
        self._entity, self._keys, self._duplicates, self._final = entity, keys, duplicates, final
        self._foreign_keys = entity.storage.foreign_keys
        self._all: Sequence[Suspect] = ()
        self._kept: list[set[tuple[str, ...]]] = [set() for _ in keys]

    def judge(self, suspects: Sequence[Suspect]) -> None:
        """Decide about all of them. What refers to a row that does not stand does not stand either, and so on."""
        self._all = suspects
        fallen: set[int] = set()
        while more := self._round(suspects, fallen):
            fallen |= more

    def _round(self, suspects: Sequence[Suspect], fallen: set[int]) -> set[int]:
        self.faults, self.skipped, self.updated = [], [], []
        self._kept = [set() for _ in self._keys]
        standing = [suspect for suspect in suspects if self._stands(suspect, suspect.line in fallen)]
        return self._falling([suspect for suspect in suspects if suspect.line not in fallen], standing)

    def _stands(self, suspect: Suspect, has_fallen: bool) -> bool:
        taken = [at for at in range(len(self._keys)) if suspect.taken[at] or suspect.keys[at] in self._kept[at]]
        if not taken:
            return self._refers_well(suspect, has_fallen) and self._keep(suspect)
        within = not any(suspect.taken)
        self.hangs_together |= within
        policy = Duplicates.ERROR if within and self._final else self._duplicates
        if policy is Duplicates.SKIP:
            self.skipped.append(suspect.line)
            return False
        if policy is Duplicates.UPDATE and any(self._keys[at].identifies for at in taken):
            if not self._refers_well(suspect, has_fallen):
                return False
            self.updated.append(suspect.line)
            return self._keep(suspect)
        columns = self._keys[taken[0]].columns
        values = dict(zip(columns, suspect.keys[taken[0]] or (), strict=False))
        self.faults.append(wording.duplicate(self._entity, suspect.line, columns, values))
        return False

    def _keep(self, suspect: Suspect) -> bool:
        for kept, key in zip(self._kept, suspect.keys, strict=True):
            if key is not None:
                kept.add(key)
        return True

    def _refers_well(self, suspect: Suspect, has_fallen: bool) -> bool:
        facts = zip(self._foreign_keys, suspect.missing, suspect.beside, suspect.references, strict=True)
        for key, missing, beside, texts in facts:
            if missing and (has_fallen or not beside):
                values = dict(zip(key.columns, texts, strict=True))
                self.faults.append(wording.foreign_key(self._entity, suspect.line, key.columns, values))
                return False
        return True

    def _falling(self, suspects: Sequence[Suspect], standing: Sequence[Suspect]) -> set[int]:
        """Those that stand on a row of the block that does not."""
        found: set[int] = set()
        for at, reference in enumerate(self._foreign_keys):
            key = next((at for at, key in enumerate(self._keys) if key.columns == reference.references), None)
            if key is None or not any(suspect.beside[at] for suspect in suspects):
                continue
            self.hangs_together = True
            # A key that no suspect brings is brought by a row that nothing speaks against.
            doubtful = {suspect.keys[key] for suspect in self._all}
            brought = {suspect.keys[key] for suspect in standing}
            needing = {suspect.line: suspect.references[at] for suspect in standing if suspect.missing[at]}
            lost = [line for line, texts in needing.items() if texts in doubtful and texts not in brought]
            links = [
                Link(
                    suspect.line,
                    None if suspect.taken[key] else suspect.keys[key],
                    (needing[suspect.line],) if suspect.line in needing else (),
                )
                for suspect in standing
            ]
            stands = {suspect.line for suspect in standing}
            spare = {suspect.keys[key] or () for suspect in suspects if suspect.line not in stands}
            found |= falling(links, lost, spare)
        return found
