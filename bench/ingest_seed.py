"""Ingesting as it is usually done: FastAPI, a pydantic model for each row, and bulk inserts of SQLAlchemy.

`DATABASE_URL=postgresql+psycopg://... uvicorn ingest_seed:app`; its tables are there already.
"""

import os
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, StringConstraints
from sqlalchemy import MetaData, Table, create_engine, insert
from sqlalchemy.exc import IntegrityError

BATCH_SIZE = 1000
Short = Annotated[str, StringConstraints(max_length=15)]


class Order(BaseModel):
    """An order."""

    order_key: int
    customer_key: int
    order_status: str
    total_price: Decimal
    order_date: date
    order_priority: Short
    clerk: Short
    ship_priority: int
    comment: Annotated[str, StringConstraints(max_length=79)] | None = None


class OrderLineItem(BaseModel):
    """A line of an order."""

    order_key: int
    line_number: int
    part_key: int
    supplier_key: int
    quantity: Decimal
    extended_price: Decimal
    discount: Decimal
    tax: Decimal
    return_flag: str
    line_status: str
    ship_date: date
    commit_date: date
    receipt_date: date


def parse_order(cells: Sequence[str]) -> Order:
    """O|order_key|customer_key|..."""
    return Order(
        order_key=int(cells[1]),
        customer_key=int(cells[2]),
        order_status=cells[3],
        total_price=Decimal(cells[4]),
        order_date=_day(cells[5]),
        order_priority=cells[6],
        clerk=cells[7],
        ship_priority=int(cells[8]),
        comment=cells[9] or None,
    )


def parse_line(cells: Sequence[str]) -> OrderLineItem:
    """L|order_key|line_number|..."""
    return OrderLineItem(
        order_key=int(cells[1]),
        line_number=int(cells[2]),
        part_key=int(cells[3]),
        supplier_key=int(cells[4]),
        quantity=Decimal(cells[5]),
        extended_price=Decimal(cells[6]),
        discount=Decimal(cells[7]),
        tax=Decimal(cells[8]),
        return_flag=cells[9],
        line_status=cells[10],
        ship_date=_day(cells[11]),
        commit_date=_day(cells[12]),
        receipt_date=_day(cells[13]),
    )


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone


PARSERS: dict[str, Callable[[Sequence[str]], BaseModel]] = {"O": parse_order, "L": parse_line}
TABLES = {"O": "orders", "L": "order_line_items"}
app = FastAPI()
engine = create_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=20)


@cache
def table(prefix: str) -> Table:
    """The table of a message."""
    return Table(TABLES[prefix], MetaData(), autoload_with=engine)


@app.post("/ingest/message")
async def message(request: Request) -> dict[str, Any]:
    """Keep one message."""
    line = (await request.body()).decode()
    await run_in_threadpool(_insert, line.split("|"))
    return {"status": "success"}


def _insert(cells: Sequence[str]) -> None:
    row = PARSERS[cells[0]](cells).model_dump()
    with engine.begin() as connection:
        connection.execute(insert(table(cells[0])), row)


@app.post("/ingest/batch")
async def batch(request: Request, response: Response) -> dict[str, Any]:
    """Keep many."""
    text = (await request.body()).decode(errors="replace")
    answer = await run_in_threadpool(_batch, text)
    response.status_code = 207 if answer["failed"] else 200
    return answer


def _batch(text: str) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {prefix: [] for prefix in PARSERS}
    inserted, errors = 0, []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split("|")
        try:
            rows[cells[0]].append(PARSERS[cells[0]](cells).model_dump())
        except (ValueError, LookupError, ArithmeticError) as error:
            errors.append({"line_number": number, "message": str(error), "line": line})
        if sum(map(len, rows.values())) >= BATCH_SIZE:
            inserted += _flush(rows)
    inserted += _flush(rows)
    return {"inserted": inserted, "failed": len(errors), "errors": errors}


def _flush(rows: dict[str, list[dict[str, Any]]]) -> int:
    """Insert what waits, orders first. Where a row does not fit, they go one by one."""
    kept = 0
    for prefix, waiting in rows.items():
        if waiting:
            kept += _bulk(prefix, waiting)
            waiting.clear()
    return kept


def _bulk(prefix: str, rows: list[dict[str, Any]]) -> int:
    try:
        with engine.begin() as connection:
            connection.execute(insert(table(prefix)), rows)
    except IntegrityError:
        return sum(_alone(prefix, row) for row in rows)
    return len(rows)


def _alone(prefix: str, row: dict[str, Any]) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(insert(table(prefix)), row)
    except IntegrityError:
        return False
    return True
