"""What the ingest bench sends: messages in files, with bad lines and without, and the same split for COPY."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "tpch-ingest"
MAKER = [sys.executable, str(EXAMPLE / "make_messages.py")]
LINES_AT_SCALE_1 = {"L": 6_000_000, "O,L": 7_500_000}
PARENTS = "S,C,P,PS"
_STREAMS = 2


@dataclass(frozen=True)
class Messages:
    """A file of messages, how many it has, and the good ones split for COPY: in one file, and in two."""

    file: Path
    count: int
    split: tuple["Table", ...] = ()


@dataclass(frozen=True)
class Table:
    """The rows of one table, as COPY reads them."""

    name: str
    columns: str
    whole: Path
    halves: tuple[Path, ...]


_LINE_COLUMNS = """order_key, line_number, part_key, supplier_key, quantity, extended_price, discount, tax,
    return_flag, line_status, ship_date, commit_date, receipt_date"""
_ORDER_COLUMNS = """order_key, customer_key, order_status, total_price, order_date, order_priority, clerk,
    ship_priority, comment"""
_TABLES = {"L": ("order_line_items", _LINE_COLUMNS), "O": ("orders", _ORDER_COLUMNS)}


def arguments(only: str, count: int, *, first_order: int = 1) -> list[str]:
    """How the maker makes about so many."""
    return [*MAKER, "--only", only, "--scale", str(count / LINES_AT_SCALE_1[only]), "--first-order", str(first_order)]


def made(folder: Path, only: str, count: int, *, bad: int = 0, by: str = "layout", split: bool = False) -> Messages:
    """About so many messages of these prefixes; so many percent are refused by the layout, or by the database."""
    file = folder / f"{only.replace(',', '')}-{count}-{bad}-{by}"
    with file.open("wb") as out:
        subprocess.run([*arguments(only, count), "--bad", str(bad), "--bad-by", by], stdout=out, check=True)
    lines = file.read_bytes().splitlines()
    return Messages(file, len(lines), _split(file, lines, only.split(",")) if split else ())


def line(order: int) -> bytes:
    """A message of this order's only line."""
    return b"L|%d|1|155190|7706|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22" % order


def parents(folder: Path, count: int) -> Path:
    """What the orders and lines of as many messages refer to."""
    file = folder / f"parents-{count}"
    scale = str(count / LINES_AT_SCALE_1["O,L"])
    with file.open("wb") as out:
        out.write((EXAMPLE / "reference.txt").read_bytes())
        out.flush()
        subprocess.run([*MAKER, "--only", PARENTS, "--scale", scale], stdout=out, check=True)
    return file


def _split(file: Path, lines: Sequence[bytes], prefixes: Sequence[str]) -> tuple[Table, ...]:
    return tuple(_table(file, lines, prefix) for prefix in prefixes)


def _table(file: Path, lines: Sequence[bytes], prefix: str) -> Table:
    rows = [_row(line) for line in lines if line.startswith(prefix.encode() + b"|")]
    name, columns = _TABLES[prefix]
    half = -(-len(rows) // _STREAMS)
    parts = [rows, *(rows[at : at + half] for at in range(0, len(rows), half))]
    paths = [file.with_name(f"{file.name}-{name}-{number}") for number in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(b"".join(part))
    return Table(name, " ".join(columns.split()), paths[0], tuple(paths[1:]))


def _row(line: bytes) -> bytes:
    cells = line.replace(b"\\", b"\\\\").split(b"|")[1:]
    return b"\t".join(cell or b"\\N" for cell in cells) + b"\n"
