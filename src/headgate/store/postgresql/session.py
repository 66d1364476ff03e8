"""The session: one connection that writes, with at most one transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from headgate.core.entity import Entity
from headgate.core.rows import Rows
from headgate.core.table import copy_statement, in_order
from headgate.errors import StorageFull, Unavailable, Uncertain
from headgate.store.base import Block, Duplicates, Outcome, Posted
from headgate.store.command_table import CommandTable
from headgate.store.postgresql.failures import failure, is_held, is_race, told, translated
from headgate.store.postgresql.sieve import keys_alone, repeated, without
from headgate.store.postgresql.stage import Stage
from headgate.store.postgresql.wire import Exchange

_ATTEMPTS = 5  # at a block that others are in the way of
_THOROUGH = 2  # how many of them suppose that who took a key did so meanwhile
# What somebody defers to the end of the transaction would be told there, and nobody would know of which row.
_BEGIN = b"BEGIN; SET CONSTRAINTS ALL IMMEDIATE"
_PATIENCE, _CALM = b"SET LOCAL lock_timeout = '1s'", b"SET LOCAL lock_timeout = 0"


class PostgreSQLSession(CommandTable):
    """A connection to the server."""

    position = "strpos"

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        where: str,
        prepared: Callable[[], tuple[int, Sequence[Entity]]],
    ) -> None:
        self._connection, self._where, self._prepared = connection, where, prepared
        self._version = -1
        self._hurries = False  # this transaction does not wait for others for long
        self._sieves = True  # of what is sorted, lately, there was nothing to say but that it is there
        self._stages: dict[str, Stage] = {}  # by entity, parents first

    def __repr__(self) -> str:
        return f"<PostgreSQLSession at {self._where}>"

    @property
    def is_open(self) -> bool:
        return self._connection.info.transaction_status != TransactionStatus.IDLE

    def offer(self, block: Block) -> bool:
        with self._translated():
            if not self.is_open:
                self._hurries = self._copied_alone(block)
                return self._hurries
            self._begin()
            taken = self._copied(block, b"SAVEPOINT offer; " + _PATIENCE, b"RELEASE offer; " + _CALM)
            if not taken:
                self._connection.execute(b"ROLLBACK TO offer; RELEASE offer")
        return taken

    def insert(self, block: Block) -> bool:
        with self._translated():
            return self._copied_alone(block, b"COMMIT")

    def _copied_alone(self, block: Block, after: bytes = b"") -> bool:
        """Copy into a transaction that begins with it, and needs no savepoint."""
        self._prepare()
        taken = self._copied(block, _BEGIN + b"; " + _PATIENCE, after)
        if not taken and self.is_open:
            self._connection.execute(b"ROLLBACK")
        return taken

    def _copied(self, block: Block, before: bytes, after: bytes) -> bool:
        """Copy the rows of a block into their tables, between these statements; False when a row is refused."""
        rows = self._ordered(block.rows)
        copies = [copy_statement(of.layout, self._stages[of.layout.entity].table).encode() for of in rows]
        exchange = Exchange(self._connection.pgconn)
        try:
            exchange.run(b"; ".join([before, *copies, after]), [of.data for of in rows])
        except psycopg.Error as error:
            if failure(error, self._where) is None:
                return False
            if after == b"COMMIT" and exchange.copied == len(rows):
                self._check_certain(error)
            raise
        return True

    def _check_certain(self, error: psycopg.Error) -> None:
        if self._connection.broken:
            what = "went while it was committing, and this may be kept"
            raise Uncertain(f"the database at {self._where} {what}: {told(error)}") from None

    def sort(self, block: Block, duplicates: Mapping[str, Duplicates], *, waits: bool = True) -> Outcome | None:
        with self._translated():
            self._begin()
            groups = self._grouped(self._ordered(block.numbered()))
            for attempt in range(_ATTEMPTS):
                self._connection.execute(b"SAVEPOINT sort" if waits else b"SAVEPOINT sort; " + _PATIENCE)
                try:
                    outcome = self._sorted(groups, duplicates, attempt)
                except psycopg.Error as error:
                    if failure(error, self._where) is not None or not is_race(error):
                        raise
                    self._connection.execute(b"ROLLBACK TO sort")
                    if is_held(error) and not waits:
                        return None
                    if attempt + 1 == _ATTEMPTS:
                        raise Unavailable("others hold the same rows for too long; try again") from None
                else:
                    self._connection.execute(b"RELEASE sort" if waits else b"RELEASE sort; " + _CALM)
                    return outcome
        raise AssertionError("the last attempt returns or raises")

    def _sorted(
        self, groups: Mapping[str, Sequence[Rows]], duplicates: Mapping[str, Duplicates], attempt: int
    ) -> Outcome:
        found: list[Outcome] = []
        for name, group in groups.items():
            stage, policy = self._stages[name], duplicates.get(name, Duplicates.ERROR)
            # At a second attempt somebody is in the way, and the stage goes about it in the order of the keys.
            sieves = self._sieves and policy is Duplicates.SKIP and attempt == 0
            if sieves and (outcome := self._sieved(stage, group)):
                found.append(outcome)
                continue
            stage.empty(self._connection)
            self._copy([(stage.copy_statement(rows.layout), rows.data) for rows in group])
            found.append(stage.settle(self._connection, policy, thorough=attempt >= _THOROUGH))
            self._sieves = not (found[-1].faults or found[-1].updated)
        return _joined(found)

    def _sieved(self, stage: Stage, group: Sequence[Rows]) -> Outcome | None:
        """Pass over rows whose keys are there and insert the others; None, and nothing done, when one is refused."""
        keys = [data for rows in group if (data := keys_alone(rows, stage.key_columns)) is not None]
        if not stage.key_columns or stage.storage.generated or len(keys) < len(group):
            return None
        self._connection.execute(b"SAVEPOINT sieve")
        try:
            stage.empty(self._connection)
            self._copy([(stage.keys_statement(), data) for data in keys])
            passed = set(stage.known(self._connection))
            passed |= repeated(keys, stage.key_places, passed)
            self._copy([(copy_statement(rows.layout, stage.table), without(rows, passed)) for rows in group])
        except psycopg.Error as error:
            if is_held(error) or failure(error, self._where) is not None:
                raise
            self._connection.execute(b"ROLLBACK TO sieve; RELEASE sieve")
            return None
        self._connection.execute(b"RELEASE sieve")
        return Outcome(skipped=tuple(sorted(passed)))

    def _copy(self, copies: Sequence[tuple[str, bytes]]) -> None:
        statements = b"; ".join(statement.encode() for statement, _ in copies)
        Exchange(self._connection.pgconn).run(statements, [data for _, data in copies])

    @contextmanager
    def attempt(self) -> Iterator[Callable[[], None]]:
        with self._translated():
            self._begin()
            self._connection.execute(b"SAVEPOINT attempt")
        yield self._undo_attempt
        with self._translated():
            self._connection.execute(b"RELEASE attempt")

    def _undo_attempt(self) -> None:
        with self._translated():
            self._connection.execute(b"ROLLBACK TO attempt")

    def commit(self) -> None:
        with self._translated():
            if self._connection.info.transaction_status == TransactionStatus.INERROR:
                # PostgreSQL would answer such a COMMIT with a quiet rollback.
                self._connection.execute(b"ROLLBACK")
                raise Unavailable("the transaction had failed; nothing of it is kept")
            if self.is_open:
                try:
                    self._connection.execute(b"COMMIT")
                except psycopg.Error as error:
                    self._check_certain(error)
                    raise

    def rollback(self) -> None:
        with translated(self._where):
            if self.is_open:
                self._connection.execute(b"ROLLBACK")

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()

    def note(self, scope: str, name: str) -> bytes | None:
        with self._translated():
            found = self._connection.execute(
                "SELECT value FROM headgate_notes WHERE scope = %s AND name = %s", (scope, name)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def take_note(self, scope: str, name: str, value: bytes, expected: bytes | None) -> bool:
        with self._translated():
            self._begin()
            if expected is None:
                done = self._connection.execute(
                    "INSERT INTO headgate_notes (scope, name, value) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    (scope, name, value),
                )
            else:
                done = self._connection.execute(
                    "UPDATE headgate_notes SET value = %s, written = now()"
                    " WHERE scope = %s AND name = %s AND value = %s",
                    (value, scope, name, expected),
                )
        return done.rowcount == 1

    def forget_notes(self, scope: str, older_than: float) -> int:
        with self._translated():
            self._begin()
            return self._connection.execute(
                "DELETE FROM headgate_notes WHERE scope = %s AND written < now() - make_interval(secs => %s)",
                (scope, older_than),
            ).rowcount

    def post(self, stream: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        with self._translated():
            self._begin()
            with self._connection.cursor() as cursor:
                statement = b"COPY headgate_outbox (stream, key, value) FROM STDIN"
                with cursor.copy(statement) as copy:
                    for key, value in messages:
                        copy.write_row((stream, key, value))

    def posted(self, stream: str, most: int) -> list[Posted]:
        with self._translated():
            found = self._connection.execute(
                "SELECT id, key, value FROM headgate_outbox WHERE stream = %s ORDER BY id LIMIT %s", (stream, most)
            ).fetchall()
        return [Posted(*row) for row in found]

    def settle(self, stream: str, ids: Sequence[int]) -> None:
        with self._translated():
            self._begin()
            self._connection.execute(
                "DELETE FROM headgate_outbox WHERE stream = %s AND id = ANY(%s::bigint[])", (stream, list(ids))
            )

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(_marked(statement), values).fetchall()

    def _done(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._translated():
            self._begin()
            cursor = self._connection.execute(_marked(statement), values)
            return cursor.fetchall() if cursor.description else []

    def _done_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        with self._translated():
            self._begin()
            marked = _marked(statement)
            with self._connection.pipeline():
                cursors = [self._connection.execute(marked, row) for row in rows]
            return [cursor.rowcount for cursor in cursors]

    def _done_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with self._translated():
                self._begin()
                self._connection.cursor().executemany(_marked(statement), rows)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self._where):
                yield
        except StorageFull:
            self.rollback()
            raise
        except psycopg.Error as error:
            # Not about any row, or it would have been told there: somebody has to look at the database.
            raise Unavailable(f"the database at {self._where} cannot be used: {told(error)}") from None

    def _begin(self) -> None:
        """Begin a transaction, if there is none; what goes on in one waits for others as long as it takes."""
        if self.is_open:
            if self._hurries:
                self._connection.execute(_CALM)
                self._hurries = False
            return
        self._prepare()
        self._connection.execute(_BEGIN)

    def _prepare(self) -> None:
        """Have a stage for each of the entities, as they are now."""
        version, entities = self._prepared()
        if version != self._version:
            self._stages = {entity.name: Stage(entity, at) for at, entity in enumerate(in_order(entities))}
            for stage in self._stages.values():
                stage.create(self._connection)
            self._version = version

    def _ordered(self, rows: Sequence[Rows]) -> list[Rows]:
        order = {name: at for at, name in enumerate(self._stages)}
        return sorted(rows, key=lambda found: order[found.layout.entity])

    def _grouped(self, rows: Sequence[Rows]) -> dict[str, list[Rows]]:
        groups: dict[str, list[Rows]] = defaultdict(list)
        for found in rows:
            groups[found.layout.entity].append(found)
        return groups


@lru_cache(256)
def _marked(statement: str) -> bytes:
    """A statement with the marks for values that psycopg knows."""
    return statement.replace("%", "%%").replace("?", "%s").encode()


def _joined(found: Sequence[Outcome]) -> Outcome:
    return Outcome(
        tuple(sorted((fault for outcome in found for fault in outcome.faults), key=lambda fault: fault.line_number)),
        tuple(number for outcome in found for number in outcome.skipped),
        tuple(number for outcome in found for number in outcome.updated),
        {number: made for outcome in found for number, made in outcome.ids.items()},
    )
