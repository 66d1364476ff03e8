"""The `.env` file beside a configuration: KEY=VALUE lines, with quotes, comments and `export`."""

import re

from headgate.errors import Problem

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<bare>(?!['"]).*?) )
    \s*(?:(?<=\s)\#.*)?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse(text: str, file: str) -> tuple[dict[str, str], list[Problem]]:
    """The variables that a text sets, and its other lines. No message repeats a line: it may be a secret."""
    variables: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if match := _LINE.fullmatch(line):
            variables[match["name"]] = _value(match)
        else:
            problems.append(Problem(file, number, 1, "this is not KEY=VALUE, or its quote is not closed"))
    return variables, problems


def _value(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), match["double"])
    return match["single"] if match["single"] is not None else match["bare"]
