"""Row 29: hostile and wrong configuration files, each answered with a place, quickly."""

import random
import time

from headgate.errors import ConfigError
from headgate.spec.resolve import plan_text
from tests.faults.result import Result

GOOD = """\
service: {name: line, port: 8080}
streams:
  a: {transport: memory, codec: json, retain: {messages: 10, age: 5m}}
  b: {transport: kafka, topic: t, delivery: queue}
runtime:
  web:
    interfaces:
      - {kind: messages, path: /messages, stream: a}
"""
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
HOSTILE = {
    "an alias bomb": BOMB,
    "10,000 levels": "a: " + "[" * 10_000,
    "10,000 levels of mappings": "\n".join(" " * n + "a:" for n in range(2000)),
    "a tag": "streams: !!python/object/apply:os.system [id]",
    "a loop": "a: &a [*a]",
    "2 MB": "# " + "x" * 2_000_000,
    "100,000 keys": "".join(f"k{n}: 1\n" for n in range(60_000)),
}


def row_29(factor: float) -> Result:
    """Hostile documents, and a good one with letters changed: a place for each mistake, under a second each."""
    slowest, unplaced = 0.0, 0
    for text in HOSTILE.values():
        seconds, placed = _try(text)
        slowest, unplaced = max(slowest, seconds), unplaced + (not placed)
    dice = random.Random(29)
    rounds = int(5000 * factor)
    for _ in range(rounds):
        seconds, placed = _try(_mutated(dice))
        slowest, unplaced = max(slowest, seconds), unplaced + (not placed)
    figures = f"{len(HOSTILE)} hostile and {rounds} mutated files, {unplaced} without a place, slowest {slowest:.2f} s"
    return Result(29, "configuration files", figures, passed=unplaced == 0 and slowest < 1)


def _try(text: str) -> tuple[float, bool]:
    began = time.perf_counter()
    try:
        plan_text(text)
        placed = True
    except ConfigError as error:
        placed = all(problem.line >= 1 for problem in error.problems) and bool(error.problems)
    return time.perf_counter() - began, placed


def _mutated(dice: random.Random) -> str:
    letters = list(GOOD)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(letters))
        letters[at] = dice.choice(["", "x", ":", "{", "}", "[", "&", "*", "!", '"', "\n", "\t", " ", "0", "\x00", "é"])
    return "".join(letters)
