"""The suspects: rows of a stage that may not stand, and what speaks against each. All of it is found by one query."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import psycopg

from headgate.core.entity import ForeignKey, Storage
from headgate.core.table import quoted

LINE = quoted("headgate_line")
# What such a plan is said to cost is no reason to compile it.
_PLANS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
_LOOK_UP = "; ".join(f"SET LOCAL {name} = off" for name in _PLANS).encode()
_AS_BEFORE = "; ".join(f"SET LOCAL {name} = DEFAULT" for name in _PLANS).encode()


@dataclass(frozen=True, slots=True)
class Key:
    """Columns of which no two rows have the same."""

    columns: tuple[str, ...]
    identifies: bool  # an update is made where this is the same


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row that may not stand."""

    line: int
    taken: tuple[bool, ...]  # by key: it is in the table
    keys: tuple[tuple[str, ...] | None, ...]  # by key: the values; None where one is null
    missing: tuple[bool, ...]  # by foreign key: it is not in the table
    beside: tuple[bool, ...]  # by foreign key: it is of the same table, and in the stage
    references: tuple[tuple[str, ...], ...]  # by foreign key: the values


def keys_of(storage: Storage) -> tuple[Key, ...]:
    """The keys that a message brings; the one that identifies a row first."""
    found = [] if storage.generated or not storage.primary_key else [Key(storage.primary_key, identifies=True)]
    if storage.unique and storage.unique != storage.primary_key:
        found.append(Key(storage.unique, identifies=storage.generated))
    return tuple(found)


@contextmanager
def looking_up(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """While the block lasts, plans look keys up in their indexes.

    The planner knows nothing of a stage that was just filled, and would rather read the whole table for each of them.
    """
    connection.execute(_LOOK_UP)
    yield
    connection.execute(_AS_BEFORE)


def query(storage: Storage, keys: Sequence[Key], stage: str) -> str:
    """What finds the suspects. `read` takes its columns, in this order."""
    # Tables are joined: an EXISTS may be made a hash of the whole table, whatever the planner is told.
    facts: list[str] = []
    doubts: list[str] = []
    joins: list[str] = []
    for at, key in enumerate(keys):
        taken, twice = quoted(f"headgate_taken_{at}"), quoted(f"headgate_twice_{at}")
        columns = ", ".join(f"s.{quoted(column)}" for column in key.columns)
        joins.append(f"LEFT JOIN {quoted(storage.table)} k{at} ON {same(key.columns, key.columns, f'k{at}')}")
        facts += [
            f"k{at}.{quoted(key.columns[0])} IS NOT NULL AS {taken}",
            f"{_not_null(key.columns)} AND count(*) OVER (PARTITION BY {columns}) > 1 AS {twice}",
            *_texts(key.columns),
        ]
        doubts += [taken, twice]
    for at, reference in enumerate(storage.foreign_keys):
        missing = quoted(f"headgate_missing_{at}")
        there = same(reference.references, reference.columns, f"f{at}")
        joins.append(f"LEFT JOIN {quoted(reference.table)} f{at} ON {there}")
        facts += [
            f"{_not_null(reference.columns)} AND f{at}.{quoted(reference.references[0])} IS NULL AS {missing}",
            _is_in(stage, reference) if reference.table == storage.table else "false",
            *_texts(reference.columns),
        ]
        doubts.append(missing)
    return (
        f"SELECT * FROM (SELECT s.{LINE}, {', '.join(facts)} FROM {stage} s {' '.join(joins)}) found"
        f" WHERE {' OR '.join(doubts)} ORDER BY {LINE}"
    )


def read(row: Sequence[Any], storage: Storage, keys: Sequence[Key]) -> Suspect:
    """The suspect that a row of the query tells of."""
    line, *rest = row
    values = iter(rest)
    taken, found = [], []
    for key in keys:
        taken.append(bool(next(values)))
        next(values)  # whether it comes twice
        texts = tuple(islice(values, len(key.columns)))
        found.append(None if None in texts else texts)
    missing, beside, references = [], [], []
    for reference in storage.foreign_keys:
        missing.append(bool(next(values)))
        beside.append(bool(next(values)))
        references.append(tuple(text or "" for text in islice(values, len(reference.columns))))
    return Suspect(line, tuple(taken), tuple(found), tuple(missing), tuple(beside), tuple(references))


def same(columns: Sequence[str], others: Sequence[str], table: str = "t") -> str:
    """That a row of a table has the same in its columns as one of `s` in its own."""
    pairs = zip(columns, others, strict=True)
    return " AND ".join(f"{table}.{quoted(column)} = s.{quoted(other)}" for column, other in pairs)


def _texts(columns: Sequence[str]) -> list[str]:
    return [f"s.{quoted(column)}::text" for column in columns]


def _is_in(table: str, key: ForeignKey) -> str:
    return f"EXISTS (SELECT FROM {table} t WHERE {same(key.references, key.columns)})"


def _not_null(columns: Sequence[str]) -> str:
    return " AND ".join(f"s.{quoted(column)} IS NOT NULL" for column in columns)
