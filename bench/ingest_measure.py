"""What the parts of the ingest bench share: rates over tables that are empty at the start, and their rows."""

import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench.table import Row, ratio


def measured_row(
    path: str, ours: str, other: str, rates: dict[str, list[float]], aim: str = "", floor: str = ""
) -> Row:
    """The row of one way beside another."""
    medians = " beside ".join(f"{statistics.median(rates[name]) / 1e3:,.1f}k/s" for name in (ours, other))
    return Row(path, floor or other, ratio(rates[ours], rates[other]), "; ".join(filter(None, (medians, aim))))


def timed(count: int, before: Callable[[], None], run: Callable[[], object]) -> Callable[[], float]:
    """How many a second, when `run` deals with so many."""

    def rate() -> float:
        before()
        began = time.perf_counter()
        run()
        return count / (time.perf_counter() - began)

    return rate


def emptied(database: str, tables: str) -> Callable[[], None]:
    """Empties tables of PostgreSQL."""

    def empty() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {tables}".encode())
            connection.execute("CHECKPOINT")

    return empty


def cleared(file: Path) -> None:
    """Empty the table of a file of SQLite."""
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM order_line_items")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
