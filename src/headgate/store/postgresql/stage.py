"""The stage: a table beside an entity's own, where rows that may be bad are looked at before they go on.

The database finds the rows that may not stand: keys that are there already or come twice, and references to nothing.
Only those are looked at one after the other, as if they had come alone; all others go on together.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from headgate.core.entity import DELIMITER, Entity, Fault, Layout, Storage
from headgate.core.table import quoted
from headgate.errors import Unavailable
from headgate.store import wording
from headgate.store.base import Duplicates, Outcome
from headgate.store.postgresql.failures import UNIQUE, is_race, told
from headgate.store.postgresql.halves import Halves
from headgate.store.postgresql.suspects import LINE, Suspect, keys_of, looking_up, query, read, same
from headgate.store.postgresql.verdict import Verdict

_ROUNDS = 20  # of judging again what hung on rows that the database then refused
_DETAIL = re.compile(r"Key \((.*)\)=\((.*)\) (?:already exists|is not present)")
# What the table itself fills in where a row has nothing. An identity is no default, but has a sequence.
_DEFAULTS = """
SELECT attname, coalesce(pg_get_expr(adbin, adrelid),
       'nextval(' || quote_literal(pg_get_serial_sequence(attrelid::regclass::text, attname)) || ')')
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = %s::regclass AND attname = ANY(%s::text[]) AND (atthasdef OR attidentity <> '')
"""
Connection = psycopg.Connection[Any]


class Stage:
    """The stage of one entity; its number tells it from those of others."""

    def __init__(self, entity: Entity, number: int) -> None:
        assert entity.storage is not None
        self.entity = entity
        self.storage: Storage = entity.storage
        self.table = self.storage.table
        self._name = f"pg_temp.headgate_stage_{number}"
        self._index = f"headgate_stage_{number}_index"
        columns = [field.column for field in entity.stored]
        self._columns = [*self.storage.primary_key, *columns] if self.storage.generated else columns
        self._keys = keys_of(self.storage)
        self.key_columns = tuple(dict.fromkeys(column for key in self._keys for column in key.columns))
        self.key_places = [[self.key_columns.index(column) for column in key.columns] for key in self._keys]
        self._is_linked = any(key.table == self.table for key in self.storage.foreign_keys)

    def __repr__(self) -> str:
        return f"<Stage of {self.entity.name}>"

    def create(self, connection: Connection) -> None:
        """Make it. It lasts as long as the session, and is empty after each commit."""
        columns = ", ".join(map(quoted, self._columns))
        granted = "SELECT has_any_column_privilege(%s::regclass, 'INSERT')"
        if connection.execute(granted, (quoted(self.table),)).fetchone() != (True,):
            raise Unavailable(f"the database lets its user not write to the table {self.table}")
        connection.execute(
            f"DROP TABLE IF EXISTS {self._name};"
            f"CREATE TEMP TABLE {self._name} ON COMMIT DELETE ROWS AS"
            f" SELECT NULL::bigint AS {LINE}, {columns} FROM {quoted(self.table)} WITH NO DATA".encode()
        )
        for column, default in connection.execute(_DEFAULTS, (quoted(self.table), self._columns)).fetchall():
            connection.execute(f"ALTER TABLE {self._name} ALTER {quoted(column)} SET DEFAULT {default}".encode())

    def empty(self, connection: Connection) -> None:
        """Take out what an earlier block of this transaction left."""
        connection.execute(f"TRUNCATE {self._name}".encode())

    def copy_statement(self, layout: Layout) -> str:
        """What PostgreSQL is told before numbered rows of a layout are sent to the stage."""
        return self._copy_of(layout.columns)

    def keys_statement(self) -> str:
        """What it is told before numbers and keys alone are sent there."""
        return self._copy_of(self.key_columns)

    def _copy_of(self, columns: Sequence[str]) -> str:
        names = ", ".join([LINE, *map(quoted, columns)])
        return f"COPY {self._name} ({names}) FROM STDIN (FORMAT text, DELIMITER '{DELIMITER}', NULL '')"

    def known(self, connection: Connection) -> list[int]:
        """The rows whose keys are in the table."""
        with looking_up(connection):
            return [*self._pass_over(connection)]

    def settle(self, connection: Connection, duplicates: Duplicates, *, thorough: bool) -> Outcome:
        """Let go on what may. Where others are in the way it raises, unless it is to be `thorough`."""
        refused: dict[int, Fault | None] = {}  # by the database; None for what is passed over
        for attempt in range(_ROUNDS):
            final = attempt + 1 == _ROUNDS
            connection.execute(b"SAVEPOINT stage")
            self._remove(connection, list(refused))
            verdict = Verdict(self.entity, self._keys, duplicates, final=final)
            with looking_up(connection):
                passed = [*self._pass_over(connection)] if duplicates is Duplicates.SKIP else []
                suspects = [*self._suspects(connection)]
            verdict.judge(suspects)
            self._remove(connection, [*verdict.skipped, *(fault.line_number for fault in verdict.faults)])
            ids = self._ids(connection)
            halves = Halves(
                connection,
                lambda: self._lines(connection),
                lambda error: is_race(error) and not thorough,
                beside=self._is_linked and not final,
            )
            self._go_on(halves, verdict.updated)
            refused |= {line: self._refusal(line, error, duplicates) for line, error in halves.errors.items()}
            if final or not (halves.missed or (halves.errors and verdict.hangs_together)):
                break
            # What was refused for the sake of a row that is refused itself gets another hearing.
            connection.execute(b"ROLLBACK TO stage")
        connection.execute(b"RELEASE stage")
        verdict.skipped += passed
        return _outcome(verdict, refused, ids)

    def _pass_over(self, connection: Connection) -> Iterator[int]:
        """Take out the rows whose keys are there: nobody asks what else they are."""
        for key in self._keys:
            found = connection.execute(
                f"DELETE FROM {self._name} s USING {quoted(self.table)} t"
                f" WHERE {same(key.columns, key.columns)} RETURNING s.{LINE}".encode()
            )
            yield from (line for (line,) in found.fetchall())

    def _suspects(self, connection: Connection) -> Iterator[Suspect]:
        if self._keys or self.storage.foreign_keys:
            statement = query(self.storage, self._keys, self._name)
            for row in connection.execute(statement.encode()).fetchall():
                yield read(row, self.storage, self._keys)

    def _remove(self, connection: Connection, lines: list[int]) -> None:
        if lines:
            statement = f"DELETE FROM {self._name} WHERE {LINE} IN (SELECT unnest(%s::bigint[]))"
            connection.execute(statement.encode(), (lines,))

    def _lines(self, connection: Connection) -> list[int]:
        # Ranges of lines are looked for from here on.
        connection.execute(f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._name} ({LINE})".encode())
        return [line for (line,) in connection.execute(f"SELECT {LINE} FROM {self._name} ORDER BY 1".encode())]

    def _ids(self, connection: Connection) -> dict[int, int]:
        if not self.storage.generated:
            return {}
        key = quoted(self.storage.primary_key[0])
        return dict(connection.execute(f"SELECT {LINE}, {key} FROM {self._name}".encode()).fetchall())

    def _go_on(self, halves: Halves, updated: Sequence[int]) -> None:
        halves.do(self._insert(), updated)
        if updated:
            halves.do(self._update(), updated)

    def _insert(self) -> str:
        columns = ", ".join(map(quoted, self._columns))
        # In the order of the key, so that two sessions with the same rows wait for each other and do not lock.
        order = ", ".join(map(quoted, self._keys[0].columns)) if self._keys else LINE
        return (
            f"INSERT INTO {quoted(self.table)} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {self._name}"
            f" WHERE {LINE} BETWEEN %s AND %s AND {LINE} NOT IN (SELECT unnest(%s::bigint[])) ORDER BY {order}"
        )

    def _update(self) -> str:
        """Of several rows with one key the last one's values stay."""
        identity = next(key.columns for key in self._keys if key.identifies)
        named = ", ".join(map(quoted, identity))
        changed = [column for column in self._columns if column not in (*identity, *self.storage.primary_key)]
        values = ", ".join(f"{quoted(column)} = s.{quoted(column)}" for column in changed or identity[:1])
        return (
            f"UPDATE {quoted(self.table)} t SET {values} FROM (SELECT DISTINCT ON ({named}) * FROM {self._name}"
            f" WHERE {LINE} BETWEEN %s AND %s AND {LINE} IN (SELECT unnest(%s::bigint[]))"
            f" ORDER BY {named}, {LINE} DESC) s WHERE {same(identity, identity)}"
        )

    def _refusal(self, line: int, error: psycopg.Error, duplicates: Duplicates) -> Fault | None:
        """What the database has against one row, in our words where they say the same."""
        if error.sqlstate == UNIQUE and duplicates is Duplicates.SKIP:
            return None
        if match := _DETAIL.match(error.diag.message_detail or ""):
            columns, texts = match[1].replace('"', "").split(", "), match[2].split(", ")
            if len(columns) == len(texts):
                word = wording.duplicate if error.sqlstate == UNIQUE else wording.foreign_key
                return word(self.entity, line, columns, dict(zip(columns, texts, strict=True)))
        return wording.other(self.entity, line, told(error), error.diag.column_name)


def _outcome(verdict: Verdict, refused: dict[int, Fault | None], ids: dict[int, int]) -> Outcome:
    updated = [line for line in verdict.updated if line not in refused]
    passed = [line for line, fault in refused.items() if fault is None]
    return Outcome(
        (*verdict.faults, *(fault for fault in refused.values() if fault is not None)),
        (*verdict.skipped, *passed),
        tuple(updated),
        {line: made for line, made in ids.items() if line not in refused and line not in verdict.updated},
    )
