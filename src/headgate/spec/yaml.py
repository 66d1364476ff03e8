"""YAML text becomes a tree with marks: one document, no tags, no surprises, within a budget."""

import re

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from headgate.errors import Problem
from headgate.spec.builder import Builder, GivenUpError
from headgate.spec.tree import Mark, Node

LARGEST_FILE = 256 * 1024  # bytes; the scanner needs up to 0.6 s for the worst of them

# The scanner takes quadratic time for a long run of these, and no tag has one.
_BANGS = re.compile("!{100}")

_PLAINLY = (
    ("found character '\\t'", "a tab cannot indent YAML; use spaces"),
    (
        "mapping values are not allowed here",
        'a ":" is not expected here: check the indentation, or quote the value',
    ),
    ("could not find expected ':'", 'a ":" is missing after this key'),
    ("expected ',' or '}'", 'a "," or a closing brace is missing here (it opens on line {opened})'),
    ("expected ',' or ']'", 'a "," or a closing bracket is missing here (it opens on line {opened})'),
    ("expected <block end>", "this does not line up with what is above it: check the indentation"),
    ("found unknown escape character", "this escape is unknown; in single quotes a backslash is a backslash"),
    ("that cannot start any token", "this character cannot start a value; quote it"),
    ("expected the node content", "a value is missing here"),
    ("found undefined tag handle", "tags are not used here"),
)
_UNCLOSED = "found unexpected end of stream"


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree of a text, if it has one, and what is wrong with it."""
    builder = Builder(file)
    try:
        if match := _BANGS.search(text):
            builder.fail(_mark_at(text, match.start(), file), "this run of exclamation marks is no YAML")
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except GivenUpError:
        return None, builder.problems
    # Besides its own errors, the scanner lets these through: impossible code points, cut-off escapes.
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        return None, [*builder.problems, _syntax(error, text, file)]
    return builder.root, builder.problems


def decode(content: bytes, file: str) -> tuple[str, list[Problem]]:
    """The text of a file; its problem if it is too large or not UTF-8."""
    if len(content) > LARGEST_FILE:
        return "", [Problem(file, 1, 1, f"the file is larger than {LARGEST_FILE // 1024} KiB")]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        return "", [_mark_at(before, len(before), file).problem("this is not UTF-8")]


def _syntax(error: Exception, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        return _mark_at(text, error.position, file).problem("this character is not allowed in YAML")
    place = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
    if not isinstance(error, MarkedYAMLError) or place is None:
        return Problem(file, 1, 1, "this is not YAML")
    if text[max(0, place.index - 1) : place.index + 1] == "${":
        return Problem(file, place.line + 1, place.column, 'quote "${...}" inside { } and [ ]')
    opened = error.context_mark or place
    if _UNCLOSED in str(error.problem):
        return Problem(file, opened.line + 1, opened.column + 1, "the quote that opens here is not closed")
    message = _plainly(str(error.problem), opened.line + 1)
    return Problem(file, place.line + 1, place.column + 1, message)


def _plainly(problem: str, opened: int) -> str:
    told = (plainly.format(opened=opened) for start, plainly in _PLAINLY if start in problem)
    return next(told, f"this is not YAML: {problem.splitlines()[0]}")


def _mark_at(text: str, index: int, file: str) -> Mark:
    before = text[:index]
    return Mark(file, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)
