"""The book of commands as a table, in SQL that SQLite and PostgreSQL understand alike."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from headgate.core.command_status import ANSWERED, NOT_IN_TIME, Status, line_of
from headgate.errors import Unavailable
from headgate.store.commands import CommandQuery, CommandRow, Step

TABLE = "headgate_commands"
_COLUMNS = [field.name for field in fields(CommandRow) if field.name != "number"]
_ALL = ", ".join([*_COLUMNS, "number"])
_MAY_EXPIRE = f"status < {Status.EXPIRED:d} AND expires IS NOT NULL"
_facts = attrgetter(*_COLUMNS)
_AS_THEY_COME = ", ".join("?" for _ in _COLUMNS)
_LONGEST_HISTORY = 8000  # characters; a device may answer again and again

INDEXES = [
    f"CREATE UNIQUE INDEX IF NOT EXISTS headgate_commands_key ON {TABLE} (scope, key) WHERE key IS NOT NULL",
    f"CREATE INDEX IF NOT EXISTS headgate_commands_device ON {TABLE} (scope, device_id, number)",
    f"CREATE INDEX IF NOT EXISTS headgate_commands_due ON {TABLE} (scope, due) WHERE status = 0",
    f"CREATE INDEX IF NOT EXISTS headgate_commands_expires ON {TABLE} (scope, expires) WHERE {_MAY_EXPIRE}",
]


def table(text: str, number: str, real: str, blob: str) -> str:
    """What makes the table, with a database's own words for types."""
    return f"""CREATE TABLE IF NOT EXISTS {TABLE} (
        number {number}, request_id {text} NOT NULL, scope {text} NOT NULL, device_id {text} NOT NULL,
        command_type {text} NOT NULL, protocol {text} NOT NULL, status smallint NOT NULL, accepted {real} NOT NULL,
        updated {real} NOT NULL, priority smallint NOT NULL, published {real}, expires {real}, due {real},
        publish_by {real}, taken smallint NOT NULL, key {text}, fingerprint {text}, body {blob},
        history {text} NOT NULL,
        UNIQUE (scope, request_id)
    )"""


def _unless_known(column: str) -> str:
    return f"{column} = CASE WHEN {TABLE}.{column} = '' THEN excluded.{column} ELSE {TABLE}.{column} END"


_ACCEPT = f"INSERT INTO {TABLE} ({', '.join(_COLUMNS)}) VALUES ({_AS_THEY_COME}) ON CONFLICT DO NOTHING"
_ADVANCE = f"""
INSERT INTO {TABLE} (request_id, scope, device_id, command_type, protocol, status, accepted, updated, priority,
    published, expires, taken, history)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT (scope, request_id) DO UPDATE SET
    {_unless_known("device_id")}, {_unless_known("command_type")}, {_unless_known("protocol")},
    status = CASE WHEN excluded.status > {TABLE}.status AND {TABLE}.status < {ANSWERED:d}
        THEN excluded.status ELSE {TABLE}.status END,
    accepted = CASE WHEN {TABLE}.fingerprint IS NULL AND excluded.accepted < {TABLE}.accepted
        THEN excluded.accepted ELSE {TABLE}.accepted END,
    updated = CASE WHEN excluded.updated > {TABLE}.updated THEN excluded.updated ELSE {TABLE}.updated END,
    priority = CASE WHEN {TABLE}.command_type = '' THEN excluded.priority ELSE {TABLE}.priority END,
    published = COALESCE({TABLE}.published, excluded.published),
    expires = COALESCE({TABLE}.expires, excluded.expires),
    body = NULL, taken = 1,
    history = {TABLE}.history || excluded.history
WHERE {{position}}({TABLE}.history, excluded.history) = 0
    AND length({TABLE}.history) < {_LONGEST_HISTORY}
"""
_SELECT = f"SELECT {_ALL} FROM {TABLE} WHERE scope = ?"
_DUE = f"{_SELECT} AND status = 0 AND due <= ? AND (expires IS NULL OR expires > ?)"
_DUE += " ORDER BY priority DESC, due, number LIMIT ?"
_NEXT_DUE = f"SELECT min(due) FROM {TABLE} WHERE scope = ? AND status = 0"
_TAKE = f"UPDATE {TABLE} SET taken = 1 WHERE scope = ? AND request_id = ? AND status = 0"
_CANCEL = f"""
UPDATE {TABLE} SET status = {Status.CANCELLED:d}, updated = ?, body = NULL, history = history || ?
WHERE scope = ? AND request_id = ? AND status = 0 AND taken = 0
"""
_REVIVE = f"""
UPDATE {TABLE} SET status = 0, taken = 1, due = ?, publish_by = ?, body = ?
WHERE scope = ? AND request_id = ? AND status = {Status.GIVEN_UP:d}
"""
# What is being sent may be on the stream before the book knows of it, so it is left for a while.
_FREE = f"(status > {Status.GIVEN_UP:d} OR (status = 0 AND (taken = 0 OR expires <= ?)))"
_OVER = f"{_MAY_EXPIRE} AND expires <= ? AND {_FREE}"
_SENDING_SECONDS = 60.0
_UNPUBLISHED = "status = 0 AND due <= ? AND publish_by <= ?"
_EXPIRE = f"""
UPDATE {TABLE} SET status = ?, updated = ?, body = NULL, history = history || ?
WHERE scope = ? AND {{term}} AND number IN (SELECT number FROM {TABLE} WHERE scope = ? AND {{term}} LIMIT 10000)
RETURNING request_id
"""
_FORGET = f"""
DELETE FROM {TABLE} WHERE number IN
    (SELECT number FROM {TABLE} WHERE scope = ? AND accepted < ? AND updated < ? AND COALESCE(due, 0) < ?
        AND status <> 0 ORDER BY number LIMIT ?)
"""


class CommandTable(ABC):
    """A session's side of the table; the databases differ in how a statement is sent."""

    position = "instr"  # the function that finds a text in another one

    @abstractmethod
    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What a query gives."""

    @abstractmethod
    def _done(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Do this in the transaction, and give what it returns, if it returns anything."""

    @abstractmethod
    def _done_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Do this for each row, in the transaction, and tell for each how many rows it touched."""

    @abstractmethod
    def _done_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Do this for each row, in the transaction, as fast as it goes."""

    def accept_commands(self, rows: Sequence[CommandRow]) -> list[CommandRow | None]:
        inserted = self._done_each(_ACCEPT, [_values(row) for row in rows])
        return [None if done else self._there(row) for row, done in zip(rows, inserted, strict=True)]

    def _there(self, row: CommandRow) -> CommandRow | None:
        query = f"{_SELECT} AND (key = ? OR request_id = ?)"
        found = [_row(values) for values in self._rows(query, (row.scope, row.key, row.request_id))]
        if not found:
            raise Unavailable("a command with this key was forgotten just now; try again")
        return next((other for other in found if row.key is not None and other.key == row.key), found[0])

    def advance_commands(self, scope: str, steps: Sequence[Step]) -> None:
        self._done_many(_ADVANCE.format(position=self.position), [_step(scope, step) for step in steps])

    def find_commands(self, scope: str, request_ids: Sequence[str]) -> list[CommandRow]:
        if not request_ids:
            return []
        marks = ", ".join("?" for _ in request_ids)
        return [_row(row) for row in self._rows(f"{_SELECT} AND request_id IN ({marks})", (scope, *request_ids))]

    def list_commands(self, query: CommandQuery) -> list[CommandRow]:
        terms: list[tuple[str, Any]] = [
            ("device_id = ?", query.device_id),
            ("command_type = ?", query.command_type),
            ("accepted >= ?", query.since),
            ("accepted < ?", query.until),
            ("number < ?", query.before),
        ]
        asked = [(term, value) for term, value in terms if value is not None]
        where = "".join(f" AND {term}" for term, _ in asked)
        if query.statuses:
            where += f" AND status IN ({', '.join(str(int(status)) for status in query.statuses)})"
        statement = f"{_SELECT}{where} ORDER BY number DESC LIMIT ?"
        values = (query.scope, *(value for _, value in asked), query.most)
        return [_row(row) for row in self._rows(statement, values)]

    def due_commands(self, scope: str, now: float, most: int) -> list[CommandRow]:
        return [_row(row) for row in self._rows(_DUE, (scope, now, now, most))]

    def next_due(self, scope: str) -> float | None:
        [[found]] = self._rows(_NEXT_DUE, (scope,))
        return None if found is None else float(found)

    def take_commands(self, scope: str, request_ids: Sequence[str]) -> list[str]:
        taken = self._done_each(_TAKE, [(scope, request_id) for request_id in request_ids])
        return [request_id for request_id, done in zip(request_ids, taken, strict=True) if done]

    def cancel_command(self, scope: str, request_id: str, at: float) -> CommandRow | None:
        self._done(_CANCEL, (at, line_of(Status.CANCELLED, at), scope, request_id))
        return next(iter(self.find_commands(scope, [request_id])), None)

    def revive_command(self, row: CommandRow) -> bool:
        values = (row.due, row.publish_by, row.body, row.scope, row.request_id)
        return self._done_each(_REVIVE, [values]) == [1]

    def expire_commands(self, scope: str, now: float) -> list[tuple[str, Status]]:
        late = line_of(Status.GIVEN_UP, now, NOT_IN_TIME)
        unpublished = self._ended(_UNPUBLISHED, Status.GIVEN_UP, late, scope, now, (now, now))
        over = line_of(Status.EXPIRED, now)
        expired = self._ended(_OVER, Status.EXPIRED, over, scope, now, (now, now - _SENDING_SECONDS))
        return [
            *((request_id, Status.EXPIRED) for [request_id] in expired),
            *((request_id, Status.GIVEN_UP) for [request_id] in unpublished),
        ]

    def _ended(
        self, term: str, status: Status, line: str, scope: str, now: float, moments: tuple[float, float]
    ) -> list[tuple[Any, ...]]:
        values = (int(status), now, line, scope, *moments, scope, *moments)
        return self._done(_EXPIRE.format(term=term), values)

    def forget_commands(self, scope: str, before: float, most: int) -> int:
        [count] = self._done_each(_FORGET, [(scope, before, before, before, most)])
        return count


def _values(row: CommandRow) -> tuple[Any, ...]:
    # Databases have no enumerations, and one of them no booleans.
    return tuple(int(value) if isinstance(value, int) else value for value in _facts(row))


def _row(values: Sequence[Any]) -> CommandRow:
    found = dict(zip([*_COLUMNS, "number"], values, strict=True))
    found["status"], found["taken"] = Status(found["status"]), bool(found["taken"])
    found["body"] = None if found["body"] is None else bytes(found["body"])
    return CommandRow(**found)


def _step(scope: str, step: Step) -> tuple[Any, ...]:
    accepted = step.at if step.accepted is None else step.accepted
    return (
        step.request_id,
        scope,
        step.device_id,
        step.command_type,
        step.protocol,
        int(step.status),
        accepted,
        step.at,
        step.priority,
        step.at if step.status is Status.PUBLISHED else None,
        step.expires,
        line_of(step.status, step.at, step.detail),
    )
