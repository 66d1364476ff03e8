"""Messages like those of TPC-H, as many as you like: python make_messages.py --scale 0.01 > messages.txt

The same arguments make the same messages, and their foreign keys hold. With --bad, so many of a hundred lines are
spoilt copies of good ones, which stay: what is good is the same with them and without.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TextIO

PREFIXES = ("R", "N", "S", "C", "P", "PS", "O", "L", "LI")
BLOCK = 2000  # lines that are written at once
ABSENT = 900_000_000_000  # keys from here on are nobody's
_AT_SCALE_1 = (10_000, 150_000, 200_000, 1_500_000)
_SUPPLIERS_OF_A_PART, _VARIANTS, _EVERY_DBGEN = 4, 4093, 8
_TEXT = "carefully final deposits sleep furiously among quick ideas; naïve pinto beans, bold\\even requests"
_WORDS = _TEXT.split()


@dataclass(frozen=True)
class Sizes:
    """How many there are of each."""

    suppliers: int
    customers: int
    parts: int
    orders: int
    first_order: int = 1

    @classmethod
    def of(cls, scale: float, first_order: int = 1) -> "Sizes":
        """At scale 1 TPC-H has 6,000,000 lines of orders."""
        scaled = [max(_SUPPLIERS_OF_A_PART, round(count * scale)) for count in _AT_SCALE_1]
        suppliers, customers, parts, orders = scaled
        return cls(suppliers, customers, parts, orders, first_order)

    def supplier(self, part: int, which: int) -> int:
        """One of the four who have a part."""
        return (part + which * (self.suppliers // _SUPPLIERS_OF_A_PART)) % self.suppliers + 1


def messages(sizes: Sizes, wanted: Sequence[str] = PREFIXES) -> Iterator[str]:
    """Good messages, parents before their children."""
    made = Maker(sizes, wanted)
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "R": lambda: _reference("R"),
        "N": lambda: _reference("N"),
        "S": made.suppliers,
        "C": made.customers,
        "P": made.parts,
        "PS": made.part_suppliers,
    }
    yield from chain.from_iterable(make() for prefix, make in parts.items() if prefix in wanted)
    yield from made.orders()


class Maker:
    """Makes messages: the keys are counted, and the rest is one of a few thousand variants, which takes no time."""

    def __init__(self, sizes: Sizes, wanted: Sequence[str]) -> None:
        self._sizes, self._wanted = sizes, wanted

    def suppliers(self) -> Iterator[str]:
        """Those who have parts."""
        tails = _variants(lambda dice: f"{_place(dice)}|{_comment(dice, 101)}")
        for key in range(1, self._sizes.suppliers + 1):
            yield f"S|{key}|Supplier#{key:09}|{tails[key % _VARIANTS]}"

    def customers(self) -> Iterator[str]:
        """Those who order."""
        segments = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
        tails = _variants(lambda dice: f"{_place(dice)}|{dice.choice(segments)}|{_comment(dice, 117)}")
        for key in range(1, self._sizes.customers + 1):
            yield f"C|{key}|Customer#{key:09}|{tails[key % _VARIANTS]}"

    def parts(self) -> Iterator[str]:
        """What is ordered."""
        tails = _variants(_part)
        for key in range(1, self._sizes.parts + 1):
            yield f"P|{key}|{tails[key % _VARIANTS]}"

    def part_suppliers(self) -> Iterator[str]:
        """Who has which part."""
        tails = _variants(lambda dice: f"{dice.randint(0, 9999)}|{_money(dice, 1, 1000)}|{_comment(dice, 199)}")
        for part in range(1, self._sizes.parts + 1):
            for which in range(_SUPPLIERS_OF_A_PART):
                yield f"PS|{part}|{self._sizes.supplier(part, which)}|{tails[(part * 5 + which) % _VARIANTS]}"

    def orders(self) -> Iterator[str]:
        """Orders, each with its lines after it."""
        tails, first = _variants(_order), self._sizes.first_order
        lines = self._lines()
        for key in range(first, first + self._sizes.orders):
            if "O" in self._wanted:
                yield f"O|{key}|{key * 7919 % self._sizes.customers + 1}|{tails[key % _VARIANTS]}"
            yield from lines(key)

    def _lines(self) -> Callable[[int], Iterable[str]]:
        """What makes the lines of an order; some of them have the layout that dbgen writes."""
        if "LI" not in self._wanted:
            return self._short_lines() if "L" in self._wanted else lambda _: ()
        long = self._long_lines()
        if "L" not in self._wanted:
            return long
        short = self._short_lines()
        return lambda order: long(order) if order % _EVERY_DBGEN == 0 else short(order)

    def _short_lines(self) -> Callable[[int], Iterable[str]]:
        tails = _variants(_line)
        return lambda order: [
            f"L|{order}|{number}|{part}|{supplier}|{tails[(order + number * 31) % _VARIANTS]}"
            for number, part, supplier in self._supplied(order)
        ]

    def _long_lines(self) -> Callable[[int], Iterable[str]]:
        modes = ("AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK")
        tails = _variants(lambda dice: f"{_line(dice)}|DELIVER IN PERSON|{dice.choice(modes)}|{_comment(dice, 44)}")
        return lambda order: [
            f"LI|{order}|{part}|{supplier}|{number}|{tails[(order + number * 31) % _VARIANTS]}"
            for number, part, supplier in self._supplied(order)
        ]

    def _supplied(self, order: int) -> Iterator[tuple[int, int, int]]:
        parts, supplier = self._sizes.parts, self._sizes.supplier
        for number in range(1, order % 7 + 2):
            part = (order * 8 + number) * 2_654_435_761 % parts + 1
            yield number, part, supplier(part, (order + number) % _SUPPLIERS_OF_A_PART)


def _reference(prefix: str) -> Iterator[str]:
    text = (Path(__file__).parent / "reference.txt").read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line.startswith(f"{prefix}|"))


def _variants(make: Callable[[random.Random], str]) -> list[str]:
    dice = random.Random(7)
    return [make(dice) for _ in range(_VARIANTS)]


def _place(dice: random.Random) -> str:
    address = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz ,0123456789", k=dice.randint(10, 38)))
    nation = dice.randrange(25)
    phone = f"{nation + 10}-{dice.randint(100, 999)}-{dice.randint(100, 999)}-{dice.randint(1000, 9999)}"
    return f"x{address}|{nation}|{phone}|{_money(dice, -999, 9999)}"


def _part(dice: random.Random) -> str:
    maker = dice.randint(1, 5)
    kind = dice.choice(("ECONOMY BRUSHED STEEL", "PROMO BURNISHED COPPER", "SMALL PLATED BRASS"))
    names = " ".join(dice.sample(("almond", "azure", "blush", "chiffon", "goldenrod", "lace", "spring"), 5))
    brand = f"Manufacturer#{maker}|Brand#{maker}{dice.randint(1, 5)}"
    packed = f"{dice.randint(1, 50)}|{dice.choice(('JUMBO PKG', 'LG CASE', 'WRAP JAR'))}"
    return f"{names}|{brand}|{kind}|{packed}|{_money(dice, 900, 2000)}|{_comment(dice, 23)}"


def _order(dice: random.Random) -> str:
    priority = dice.choice(("1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"))
    price = _money(dice, 900, 400_000)
    return (
        f"{dice.choice('FOP')}|{price}|{_day(dice)}|{priority}|Clerk#{dice.randint(1, 1000):09}|0|{_comment(dice, 79)}"
    )


def _line(dice: random.Random) -> str:
    money = f"{dice.randint(1, 50)}|{_money(dice, 900, 95_000)}|0.0{dice.randint(0, 9)}|0.0{dice.randint(0, 8)}"
    return f"{money}|{dice.choice('ANR')}|{dice.choice('FO')}|{_day(dice)}|{_day(dice)}|{_day(dice)}"


def _money(dice: random.Random, least: int, most: int) -> str:
    return f"{dice.randint(least, most)}.{dice.randint(0, 99):02}"


def _day(dice: random.Random) -> str:
    return str(date(1992, 1, 1) + timedelta(days=dice.randrange(2500)))


def _comment(dice: random.Random, longest: int) -> str:
    """Some words, sometimes none, and once in a while what COPY would take for something else."""
    if dice.random() < 0.02:
        return dice.choice(("", "\\N", "\\."))
    return " ".join(dice.choices(_WORDS, k=12))[: dice.randint(5, longest)].strip()


@dataclass(frozen=True)
class Columns:
    """Where the cells of a message are that can be spoilt. The first is its prefix, the second a key."""

    foreign: int = 0
    decimal: int = 0
    date: int = 0
    choice: int = 0
    text: int = 0
    ranged: int = 0


COLUMNS = {
    "R": Columns(text=2),
    "N": Columns(foreign=3, text=2),
    "S": Columns(foreign=4, decimal=6, text=2),
    "C": Columns(foreign=4, decimal=6, text=2),
    "P": Columns(decimal=8, text=2, ranged=6),
    "PS": Columns(foreign=1, decimal=4, text=5, ranged=3),
    "O": Columns(foreign=2, decimal=4, date=5, choice=3, text=7),
    "L": Columns(foreign=1, decimal=6, date=11, choice=9, ranged=2),
    "LI": Columns(foreign=1, decimal=6, date=11, choice=9, text=14, ranged=4),
}
# By kind: the column that is spoilt, and what stands there then. Where a message has no such column, its key is spoilt.
SPOILT: dict[str, tuple[str, str]] = {
    "wrong type": ("key", "twelve"),
    "blank": ("key", ""),
    "sign": ("key", "+5"),
    "20 digits": ("key", "1" * 20),
    "NUL": ("text", "a\0b"),
    "bad UTF-8": ("key", "\udcff"),
    "exponent": ("decimal", "1e5"),
    "three decimals": ("decimal", "0.125"),
    "bad date": ("date", "1995-02-29"),
    "unknown word": ("choice", "Z"),
    "out of range": ("ranged", "-1"),
    "too long": ("text", "long " * 50),
}
KINDS = {
    "layout": (*SPOILT, "unknown prefix", "missing field", "one field more"),  # seen in the line itself
    "database": ("duplicate", "no parent"),  # seen by who knows the others
}


def spoilt(message: str, kind: str, number: int) -> str:
    """A bad copy of a message. What it lacks alone is bad in it; `number` tells those without a parent apart."""
    cells = message.split("|")
    columns = COLUMNS[cells[0]]
    if kind == "unknown prefix":
        cells[0] = "Q"
    elif kind == "missing field":
        cells = cells[:-1] if cells[-1] else cells[:-2]
    elif kind == "one field more":
        cells += ["more"]
    elif kind == "no parent":
        cells[1] = cells[columns.foreign] = str(ABSENT + number)
    elif kind != "duplicate":
        column, cell = SPOILT[kind]
        cells[getattr(columns, column, 0) or 1] = cell
    return "|".join(cells)


def kind_for(message: str, kind: str) -> str:
    """This kind, or the nearest that there is for such a message."""
    columns = COLUMNS[message.partition("|")[0]]
    if kind == "no parent" and not columns.foreign:
        return "duplicate"
    return kind if getattr(columns, SPOILT.get(kind, ("key", ""))[0], True) else "wrong type"


class Spoiler:
    """Puts bad lines among good ones, and tells which they are."""

    def __init__(self, percent: float, kinds: Sequence[str], told: TextIO | None = None) -> None:
        self._share, self._kinds, self._told = percent / 100, kinds, told
        self._dice = random.Random(11)
        self._line = 0
        self._debt = 0.0  # bad lines that are due

    def among(self, good: Sequence[str]) -> list[str]:
        """These good lines, and bad ones behind some of them."""
        self._debt += len(good) * self._share / (1 - self._share)
        behind = sorted(self._dice.choices(range(len(good)), k=int(self._debt)))
        self._debt -= len(behind)
        lines: list[str] = []
        begin = 0
        for at in behind:
            lines += good[begin : at + 1]
            begin = at + 1
            lines.append(self._bad(good[at], self._line + len(lines) + 1))
        lines += good[begin:]
        self._line += len(lines)
        return lines

    def _bad(self, message: str, number: int) -> str:
        kind = kind_for(message, self._dice.choice(self._kinds))
        if self._told is not None:
            self._told.write(f"{number}\t{kind}\n")
        return spoilt(message, kind, number)


def write(lines: Iterator[str], out: BinaryIO, spoiler: Spoiler | None = None) -> None:
    """Write them a block at a time."""
    while block := list(islice(lines, BLOCK)):
        if spoiler is not None:
            block = spoiler.among(block)
        out.write(("\n".join(block) + "\n").encode("utf-8", "surrogateescape"))


def main() -> None:
    """The command line."""
    asked = _arguments().parse_args()
    sizes = Sizes.of(asked.scale, asked.first_order)
    with ExitStack() as stack:
        told = stack.enter_context(asked.bad_to.open("w", encoding="utf-8")) if asked.bad_to else None
        kinds = KINDS[asked.bad_by] if asked.bad_by else [kind for kinds in KINDS.values() for kind in kinds]
        spoiler = Spoiler(asked.bad, kinds, told) if asked.bad else None
        try:
            write(messages(sizes, asked.only), sys.stdout.buffer, spoiler)
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stderr.close()  # the reader has seen enough


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.001, help="1 has 8.6 million messages (default: 0.001)")
    parser.add_argument("--only", type=_prefixes, default=PREFIXES, help=f"some of {','.join(PREFIXES)}")
    parser.add_argument("--first-order", type=int, default=1, help="the key of the first order (default: 1)")
    parser.add_argument("--bad", type=_percent, default=0, metavar="PERCENT", help="so many lines are bad")
    parser.add_argument("--bad-by", choices=KINDS, help="who can tell that they are bad (default: either)")
    parser.add_argument("--bad-to", type=Path, metavar="FILE", help="write the numbers of the bad lines, and why")
    return parser


def _prefixes(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if unknown := set(found) - set(PREFIXES):
        raise argparse.ArgumentTypeError(f"there is no {min(unknown)}")
    return found


def _percent(text: str) -> float:
    if not 0 <= (percent := float(text)) <= 90:
        raise argparse.ArgumentTypeError("between 0 and 90")
    return percent


if __name__ == "__main__":
    main()
