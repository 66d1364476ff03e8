"""Entities: lines of messages become rows for COPY, against splitting them with no checks, and against pydantic."""

import random
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints, condecimal

from bench.table import Row, median_ratio
from headgate.core.records import RecordParser
from headgate.spec.entities.resolve import load_entities
from headgate.spec.tree import Mark

LINES, BLOCK, ROUNDS = 60_000, 65_536, 5
LAYOUTS = Path(__file__).parents[1] / "examples" / "tpch-ingest" / "entities"
Price = condecimal(max_digits=15, decimal_places=2)


class Item(BaseModel):
    """A line of an order, as somebody would check it row by row."""

    order_key: int
    line_number: int
    part_key: int
    supplier_key: int
    quantity: Price  # type: ignore[valid-type]
    extended_price: Price  # type: ignore[valid-type]
    discount: Price  # type: ignore[valid-type]
    tax: Price  # type: ignore[valid-type]
    return_flag: Literal["A", "N", "R"]
    line_status: Literal["F", "O"]
    ship_date: date
    commit_date: date
    receipt_date: date


class Order(BaseModel):
    """An order, likewise."""

    order_key: int
    customer_key: int
    order_status: Literal["F", "O", "P"]
    total_price: Price  # type: ignore[valid-type]
    order_date: date
    order_priority: Annotated[str, StringConstraints(max_length=15)]
    clerk: Annotated[str, StringConstraints(max_length=15)]
    ship_priority: int
    comment: Annotated[str, StringConstraints(max_length=79)]


MODELS: dict[str, type[Item | Order]] = {"L": Item, "O": Order}


def rows() -> list[Row]:
    """Orders with four lines each, lines alone, and with one line in a hundred and one in ten bad."""
    entities, problems = load_entities([(LAYOUTS, Mark("bench"))])
    assert not problems
    parser = RecordParser(entities)
    mixed, items = _lines(orders=True), _lines(orders=False)
    measured = [
        _row("entities, orders and their lines", parser, mixed, "split, no checks", _split),
        _row("entities, lines of one kind", parser, items, "split, no checks", _split),
    ]
    for name, every in (("1 %", 100), ("10 %", 10)):
        bad = [line.replace(b"1996", b"1996x") if at % every == 0 else line for at, line in enumerate(mixed)]
        measured.append(_row(f"entities, {name} of the lines bad", parser, bad, "split, no checks", _split))
    measured.append(_row("entities, orders and their lines", parser, mixed, "pydantic per row", _pydantic))
    return measured


def _row(path: str, parser: RecordParser, lines: list[bytes], floor: str, other: Callable[[bytes], object]) -> Row:
    blocks = list(_blocks(b"\n".join(lines) + b"\n"))
    rates: list[float] = []

    def ours() -> float:
        rates.append(_rate(parser.parse, blocks))
        return rates[-1]

    ratio = median_ratio(ours, lambda: _rate(other, blocks), rounds=ROUNDS)
    return Row(path, floor, ratio, f"fastest run: {max(rates) / 1e6:.2f}M lines/s")


def _rate(run: Callable[[bytes], object], blocks: list[bytes]) -> float:
    began = time.perf_counter()
    for block in blocks:
        run(block)
    return LINES / (time.perf_counter() - began)


def _split(block: bytes) -> None:
    [line.split(b"|") for line in block.split(b"\n")]


def _pydantic(block: bytes) -> None:
    for line in block.decode().splitlines():
        prefix, *cells = line.split("|")
        model = MODELS[prefix]
        model.model_validate_strings(dict(zip(model.model_fields, cells, strict=True)))


def _lines(*, orders: bool) -> list[bytes]:
    dice = random.Random(5)
    lines = [_order(at, dice) if orders and at % 5 == 0 else _item(at, dice) for at in range(LINES)]
    return [line.encode() for line in lines]


def _order(at: int, dice: random.Random) -> str:
    price = Decimal(dice.randrange(90_000, 40_000_000)) / 100
    return f"O|{at}|{dice.randrange(150_000)}|O|{price}|1996-01-02|5-LOW|Clerk#000000951|0|nstructions sleep furiously"


def _item(at: int, dice: random.Random) -> str:
    price = Decimal(dice.randrange(90_000, 9_000_000)) / 100
    keys = f"{at}|{dice.randrange(1, 8)}|{dice.randrange(1, 200_000)}|{dice.randrange(1, 10_000)}"
    return f"L|{keys}|{dice.randrange(1, 51)}.00|{price}|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22"


def _blocks(data: bytes) -> list[bytes]:
    blocks: list[bytes] = []
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + BLOCK) + 1
        blocks.append(data[at:end])
        at = end
    return blocks
