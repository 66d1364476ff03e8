"""`python -m bench [part ...]`: measure, and print the table."""

import argparse
import platform
from collections.abc import Callable
from importlib import import_module

from bench.table import Row, render

PARTS = (
    "startup",
    "memory",
    "log",
    "kafka",
    "http",
    "boundary",
    "live",
    "sse",
    "entities",
    "ingest",
    "commands",
    "calls",
    "groups",
)


def main() -> None:
    """Measure the parts that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; everything by default")
    asked = parser.parse_args().parts or PARTS
    print(f"Python {platform.python_version()} on {platform.machine()}; ratios are medians of interleaved runs\n")
    rows: list[Row] = []
    for part in asked:
        print(f"==> {part}", flush=True)
        measure: Callable[[], list[Row]] = import_module(f"bench.{part}").rows
        rows += measure()
    print(f"\n{render(rows)}")


if __name__ == "__main__":
    main()
