"""The stage: a table beside an entity's own, where rows that may be bad are looked at before they go on.

The database finds the rows that may not stand: keys that are there already or come twice, and references to nothing.
Only those are looked at one after the other, as if they had come alone; all others go on together.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from headgate.core.entity import DELIMITER, Entity, Fault, ForeignKey, Layout, Storage
from headgate.core.table import quoted
from headgate.store import wording
from headgate.store.base import Duplicates, Outcome
from headgate.store.postgresql.failures import is_race

UNIQUE = "23505"
_DETAIL = re.compile(r"Key \((.*)\)=\((.*)\) (?:already exists|is not present)")
LINE = quoted("headgate_line")
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class _Key:
    """Columns of which no two rows have the same."""

    columns: tuple[str, ...]
    identifies: bool  # an update is made where this is the same


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A row that may not stand, and what speaks against it."""

    line: int
    taken: tuple[bool, ...]  # by key: it is in the table
    keys: tuple[tuple[str, ...] | None, ...]  # by key: the values; None where one is null
    missing: tuple[bool, ...]  # by foreign key: it refers to nothing
    references: tuple[tuple[str, ...], ...]


class Stage:
    """The stage of one entity."""

    def __init__(self, entity: Entity) -> None:
        assert entity.storage is not None
        self.entity = entity
        self.storage: Storage = entity.storage
        self.table = self.storage.table
        self._name = quoted(f"headgate_stage_{self.table}"[:63])
        columns = [field.column for field in entity.stored]
        self._columns = [*self.storage.primary_key, *columns] if self.storage.generated else columns
        self._keys = tuple(_keys(self.storage))

    def __repr__(self) -> str:
        return f"<Stage of {self.entity.name}>"

    def create(self, connection: Connection) -> None:
        """Make it. It lasts as long as the session, and is empty after each commit."""
        columns = ", ".join(map(quoted, self._columns))
        connection.execute(
            f"DROP TABLE IF EXISTS pg_temp.{self._name};"
            f"CREATE TEMP TABLE {self._name} ON COMMIT DELETE ROWS AS"
            f" SELECT NULL::bigint AS {LINE}, {columns} FROM {quoted(self.table)} WITH NO DATA".encode()
        )
        if self.storage.generated:
            [key] = self.storage.primary_key
            [[sequence]] = connection.execute(
                "SELECT quote_literal(pg_get_serial_sequence(%s, %s))", (quoted(self.table), key)
            ).fetchall()
            connection.execute(
                f"ALTER TABLE pg_temp.{self._name} ALTER {quoted(key)} SET DEFAULT nextval({sequence})".encode()
            )

    def empty(self, connection: Connection) -> None:
        """Take out what an earlier block of this transaction left."""
        connection.execute(f"TRUNCATE pg_temp.{self._name}".encode())

    def copy_statement(self, layout: Layout) -> str:
        """What PostgreSQL is told before numbered rows of a layout are sent to the stage."""
        columns = ", ".join([LINE, *map(quoted, layout.columns)])
        return f"COPY pg_temp.{self._name} ({columns}) FROM STDIN (FORMAT text, DELIMITER '{DELIMITER}', NULL '')"

    def settle(self, connection: Connection, duplicates: Duplicates, *, thorough: bool) -> Outcome:
        """Let go on what may. Where others are in the way it raises, unless it is to be `thorough`."""
        verdict = _Verdict(self.entity, self._keys, duplicates)
        if duplicates is Duplicates.SKIP:
            verdict.skipped += self._pass_over(connection)
        passed = len(verdict.skipped)
        for suspect in self._suspects(connection):
            verdict.judge(suspect)
        self._remove(connection, [*verdict.skipped[passed:], *(fault.line_number for fault in verdict.faults)])
        faults = [*verdict.faults]
        ids = self._ids(connection)
        faults += self._insert(connection, verdict.updated, thorough=thorough)
        faults += self._update(connection, verdict.updated, thorough=thorough)
        refused = {fault.line_number for fault in faults}
        return Outcome(
            tuple(faults),
            tuple(verdict.skipped),
            tuple(line for line in verdict.updated if line not in refused),
            {line: made for line, made in ids.items() if line not in refused},
        )

    def _pass_over(self, connection: Connection) -> Iterator[int]:
        """Take out the rows whose keys are there: nobody asks what else they are."""
        for key in self._keys:
            found = connection.execute(
                f"DELETE FROM pg_temp.{self._name} s USING {quoted(self.table)} t"
                f" WHERE {_same(key.columns, key.columns)} RETURNING s.{LINE}".encode()
            )
            yield from (line for (line,) in found.fetchall())

    def _suspects(self, connection: Connection) -> Iterator[_Suspect]:
        if not self._keys and not self.storage.foreign_keys:
            return
        found = connection.execute(self._query().encode()).fetchall()
        for line, *facts in found:
            values = iter(facts)
            taken, keys = [], []
            for key in self._keys:
                taken.append(bool(next(values)))
                next(values)  # whether it comes twice
                texts = tuple(next(values) for _ in key.columns)
                keys.append(None if None in texts else texts)
            missing, references = [], []
            for reference in self.storage.foreign_keys:
                missing.append(bool(next(values)))
                references.append(tuple(next(values) or "" for _ in reference.columns))
            yield _Suspect(line, tuple(taken), tuple(keys), tuple(missing), tuple(references))

    def _query(self) -> str:
        # Joins, not EXISTS: that may be made a hash of the whole table, whatever the planner is told.
        facts, doubts, joins = [], [], []
        for at, key in enumerate(self._keys):
            columns = ", ".join(f"s.{quoted(column)}" for column in key.columns)
            joins.append(f"LEFT JOIN {quoted(self.table)} k{at} ON {_same(key.columns, key.columns, f'k{at}')}")
            facts.append(f"k{at}.{quoted(key.columns[0])} IS NOT NULL AS taken_{at}")
            facts.append(f"{_not_null(key.columns)} AND count(*) OVER (PARTITION BY {columns}) > 1 AS twice_{at}")
            facts += [f"s.{quoted(column)}::text" for column in key.columns]
            doubts += [f"taken_{at}", f"twice_{at}"]
        for at, reference in enumerate(self.storage.foreign_keys):
            there = _same(reference.references, reference.columns, f"f{at}")
            joins.append(f"LEFT JOIN {quoted(reference.table)} f{at} ON {there}")
            facts.append(f"{self._missing(reference, f'f{at}')} AS missing_{at}")
            facts += [f"s.{quoted(column)}::text" for column in reference.columns]
            doubts.append(f"missing_{at}")
        return (
            f"SELECT * FROM (SELECT s.{LINE}, {', '.join(facts)} FROM pg_temp.{self._name} s {' '.join(joins)}) found"
            f" WHERE {' OR '.join(doubts)} ORDER BY {LINE}"
        )

    def _missing(self, key: ForeignKey, parent: str) -> str:
        missing = f"{_not_null(key.columns)} AND {parent}.{quoted(key.references[0])} IS NULL"
        if key.table == self.table:
            there = _same(key.references, key.columns)
            missing += f" AND NOT EXISTS (SELECT FROM pg_temp.{self._name} t WHERE {there})"
        return missing

    def _remove(self, connection: Connection, lines: Sequence[int]) -> None:
        if lines:
            connection.execute(
                f"DELETE FROM pg_temp.{self._name} WHERE {LINE} = ANY(%s::bigint[])".encode(), (list(lines),)
            )

    def _ids(self, connection: Connection) -> dict[int, int]:
        if not self.storage.generated:
            return {}
        key = quoted(self.storage.primary_key[0])
        return dict(connection.execute(f"SELECT {LINE}, {key} FROM pg_temp.{self._name}".encode()).fetchall())

    def _insert(self, connection: Connection, updated: Sequence[int], *, thorough: bool) -> list[Fault]:
        columns = ", ".join(map(quoted, self._columns))
        # In the order of the key, so that two sessions with the same rows wait for each other and do not lock.
        order = ", ".join(map(quoted, self._keys[0].columns)) if self._keys else LINE
        statement = (
            f"INSERT INTO {quoted(self.table)} ({columns}) SELECT {columns} FROM pg_temp.{self._name}"
            f" WHERE {LINE} BETWEEN %s AND %s AND {LINE} <> ALL(%s::bigint[]) ORDER BY {order}"
        )
        return self._go_on(connection, statement, list(updated), thorough=thorough)

    def _update(self, connection: Connection, updated: Sequence[int], *, thorough: bool) -> list[Fault]:
        if not updated:
            return []
        identity = next(key.columns for key in self._keys if key.identifies)
        named = ", ".join(map(quoted, identity))
        changed = [column for column in self._columns if column not in (*identity, *self.storage.primary_key)]
        values = ", ".join(f"{quoted(column)} = s.{quoted(column)}" for column in changed or identity[:1])
        statement = (
            f"UPDATE {quoted(self.table)} t SET {values} FROM (SELECT DISTINCT ON ({named}) * FROM pg_temp.{self._name}"
            f" WHERE {LINE} BETWEEN %s AND %s AND {LINE} = ANY(%s::bigint[]) ORDER BY {named}, {LINE} DESC) s"
            f" WHERE {_same(identity, identity)}"
        )
        return self._go_on(connection, statement, list(updated), thorough=thorough)

    def _go_on(self, connection: Connection, statement: str, lines: list[int], *, thorough: bool) -> list[Fault]:
        """Do this with all lines; those that the database refuses are found by halves."""
        limits = connection.execute(f"SELECT min({LINE}), max({LINE}) FROM pg_temp.{self._name}".encode()).fetchone()
        if limits is None or limits[0] is None:
            return []
        faults: list[Fault] = []
        open_ranges = [(int(limits[0]), int(limits[1]))]
        while open_ranges:
            first, last = open_ranges.pop()
            connection.execute(b"SAVEPOINT half")
            try:
                connection.execute(statement.encode(), (first, last, lines))
            except (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException) as error:
                if is_race(error) and not thorough:
                    raise
                connection.execute(b"ROLLBACK TO half")
                if first == last:
                    faults.append(_fault(self.entity, first, error))
                else:
                    middle = (first + last) // 2
                    open_ranges += [(middle + 1, last), (first, middle)]
            else:
                connection.execute(b"RELEASE half")
        return faults


class _Verdict:
    """What becomes of suspects, one after the other, as if each had come alone."""

    def __init__(self, entity: Entity, keys: Sequence[_Key], duplicates: Duplicates) -> None:
        self.faults: list[Fault] = []
        self.skipped: list[int] = []
        self.updated: list[int] = []
        assert entity.storage is not None
        self._entity, self._keys, self._duplicates = entity, keys, duplicates
        self._foreign_keys = entity.storage.foreign_keys
        self._kept: list[set[tuple[str, ...]]] = [set() for _ in keys]

    def judge(self, suspect: _Suspect) -> None:
        """Decide about the next one."""
        taken = [at for at in range(len(self._keys)) if suspect.taken[at] or suspect.keys[at] in self._kept[at]]
        if not taken:
            if not self._refers_to_nothing(suspect):
                self._keep(suspect)
        elif self._duplicates is Duplicates.SKIP:
            self.skipped.append(suspect.line)
        elif self._duplicates is Duplicates.UPDATE and any(self._keys[at].identifies for at in taken):
            if not self._refers_to_nothing(suspect):
                self.updated.append(suspect.line)
                self._keep(suspect)
        else:
            columns = self._keys[taken[0]].columns
            values = dict(zip(columns, suspect.keys[taken[0]] or (), strict=False))
            self.faults.append(wording.duplicate(self._entity, suspect.line, columns, values))

    def _keep(self, suspect: _Suspect) -> None:
        for kept, key in zip(self._kept, suspect.keys, strict=True):
            if key is not None:
                kept.add(key)

    def _refers_to_nothing(self, suspect: _Suspect) -> bool:
        for key, missing, texts in zip(self._foreign_keys, suspect.missing, suspect.references, strict=True):
            if missing:
                values = dict(zip(key.columns, texts, strict=True))
                self.faults.append(wording.foreign_key(self._entity, suspect.line, key.columns, values))
                return True
        return False


def _keys(storage: Storage) -> Iterator[_Key]:
    if storage.primary_key and not storage.generated:
        yield _Key(storage.primary_key, identifies=True)
    if storage.unique and storage.unique != storage.primary_key:
        yield _Key(storage.unique, identifies=storage.generated)


def _fault(entity: Entity, line: int, error: psycopg.Error) -> Fault:
    """What the database has against one row, in our words where they say the same."""
    if match := _DETAIL.match(error.diag.message_detail or ""):
        columns, texts = match[1].replace('"', "").split(", "), match[2].split(", ")
        if len(columns) == len(texts):
            word = wording.duplicate if error.sqlstate == UNIQUE else wording.foreign_key
            return word(entity, line, columns, dict(zip(columns, texts, strict=True)))
    return wording.other(entity, line, error.diag.message_primary or "refused")


def _same(columns: Sequence[str], others: Sequence[str], table: str = "t") -> str:
    pairs = zip(columns, others, strict=True)
    return " AND ".join(f"{table}.{quoted(column)} = s.{quoted(other)}" for column, other in pairs)


def _not_null(columns: Sequence[str]) -> str:
    return " AND ".join(f"s.{quoted(column)} IS NOT NULL" for column in columns)
