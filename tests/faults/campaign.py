"""`python -m tests.faults.campaign [row ...]`: run the long campaign and print its table.

FACTOR in the environment scales it: 1 takes some minutes, 0.1 shows that it works.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module

from tests.faults.result import Result

ROWS = {
    1: ("log_campaign", "http_campaign"),
    2: ("log_campaign",),
    3: ("log_campaign",),
    4: ("log_campaign", "disk_campaign"),
    5: ("kafka_campaign",),
    6: ("ingest_campaign",),
    7: ("groups_campaign",),
    10: ("command_campaign",),
    12: ("feed_campaign",),
    13: ("feed_campaign",),
    14: ("ingest_campaign",),
    15: ("life_campaign",),
    16: ("life_campaign",),
    17: ("life_campaign",),
    18: ("gate_campaign",),
    19: ("groups_campaign",),
    20: ("log_campaign", "http_campaign"),
    21: ("gate_campaign",),
    24: ("ingest_campaign",),
    29: ("spec_campaign",),
    30: ("http_campaign",),
    31: ("groups_campaign",),
    35: ("generated_campaign",),
}


def main() -> int:
    """Run the rows that were named, or all; the exit code says whether all kept their promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, help=f"of {', '.join(map(str, ROWS))}")
    asked = parser.parse_args().rows or list(ROWS)
    factor = float(os.environ.get("FACTOR", "1"))
    results = [_run(row, module, factor) for row in asked for module in ROWS[row]]
    print(f"\n{render(results)}")
    return 0 if all(result.passed for result in results) else 1


def _run(row: int, module: str, factor: float) -> Result:
    print(f"==> row {row} of {module}", flush=True)
    began = time.monotonic()
    run: Callable[[float], Result] = getattr(import_module(f"tests.faults.{module}"), f"row_{row}")
    try:
        result = run(factor)
    except Exception as error:  # noqa: BLE001 - a row that breaks is a row that failed
        result = Result(row, "broke", repr(error), passed=False)
    print(f"    {time.monotonic() - began:.0f} s: {result.figures}", flush=True)
    return result


def render(results: list[Result]) -> str:
    """The results as a table."""
    width = max(len(result.name) for result in results)
    lines = [
        f"{result.row:>3}  {'kept  ' if result.passed else 'BROKEN'}  {result.name:<{width}}  {result.figures}"
        for result in results
    ]
    return "\n".join([f"row  promise {'what':<{width}}  figures", *lines])


if __name__ == "__main__":
    sys.exit(main())
