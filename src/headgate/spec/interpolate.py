"""Interpolation: `${VAR}`, `${VAR:-default}`, `${file:/run/secrets/x}`; `$${` stands for itself."""

import re
from collections.abc import Iterator
from collections.abc import Mapping as Variables
from dataclasses import replace
from pathlib import Path

from headgate.errors import Problem
from headgate.spec.tree import Entry, Items, Mapping, Mark, Node, Scalar, quoted

LARGEST_SECRET = 64 * 1024  # bytes of a file that ${file:...} names
_MOST_TEXT = 4 * 1024 * 1024  # characters that all interpolations of one configuration may put in

_PART = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)\}|(?P<broken>\$\{)")
_INSIDE = re.compile(r"file:(?P<file>.+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_FORMS = "write ${NAME}, ${NAME:-default}, ${file:/path}, or $${ for a plain ${"


class Interpolator:
    """Puts the environment and files into a tree, and collects what it could not find."""

    def __init__(self, variables: Variables[str, str]) -> None:
        self.problems: list[Problem] = []
        self._variables = variables
        self._files: dict[Path, str | OSError | ValueError] = {}
        self._room = _MOST_TEXT

    def node(self, node: Node) -> Node:
        """The same tree with every `${...}` in a value replaced. Keys are left alone."""
        if isinstance(node, Mapping):
            entries = {key: Entry(entry.mark, self.node(entry.node)) for key, entry in node.entries.items()}
            return Mapping(node.mark, entries)
        if isinstance(node, Items):
            return Items(node.mark, tuple(map(self.node, node.nodes)))
        return self._scalar(node) if isinstance(node.value, str) and "${" in node.text else node

    def _scalar(self, scalar: Scalar) -> Scalar:
        parts = list(_PART.finditer(scalar.text))
        before = len(self.problems)
        text = "".join(self._pieces(scalar, parts))
        sources = tuple(dict.fromkeys(_source(part["inside"]) for part in parts if part["inside"] is not None))
        whole = bool(sources) and parts[0].span() == (0, len(scalar.text))
        broken = len(self.problems) > before
        return replace(scalar, value=text, text=text, sources=sources, retypable=whole and scalar.plain, broken=broken)

    def _pieces(self, scalar: Scalar, parts: list[re.Match[str]]) -> Iterator[str]:
        end = 0
        for part in parts:
            yield scalar.text[end : part.start()]
            yield self._limited(self._part(scalar.mark, part), scalar.mark)
            end = part.end()
        yield scalar.text[end:]

    def _part(self, mark: Mark, part: re.Match[str]) -> str:
        if part["inside"] is None and not part["broken"]:
            return "${"
        match = _INSIDE.fullmatch(part["inside"] or "")
        if match is None:
            return self._fail(mark, f'this "${{...}}" is no interpolation: {_FORMS}')
        return self._file(mark, match["file"]) if match["file"] else self._variable(mark, match)

    def _variable(self, mark: Mark, match: re.Match[str]) -> str:
        # As in a shell, `:-` counts for a variable that is set to nothing, too.
        value, default = self._variables.get(match["name"]), match["default"]
        if default is not None:
            return value or default
        if value is None:
            return self._fail(mark, f"${{{match['name']}}} is not set; set it, or write ${{{match['name']}:-default}}")
        return value

    def _file(self, mark: Mark, name: str) -> str:
        path = Path(mark.file).parent / name
        if path not in self._files:
            self._files[path] = _read(path)
        content = self._files[path]
        if isinstance(content, str):
            return content
        reason = (content.strerror or "it cannot be read") if isinstance(content, OSError) else str(content)
        return self._fail(mark, f"${{file:{quoted(name)[1:-1]}}}: {reason}")

    def _limited(self, text: str, mark: Mark) -> str:
        before, self._room = self._room, self._room - len(text)
        if self._room >= 0:
            return text
        return self._fail(mark, "the interpolations of this configuration put in too much") if before >= 0 else ""

    def _fail(self, mark: Mark, message: str) -> str:
        self.problems.append(mark.problem(message))
        return ""


def _source(inside: str) -> str:
    return f"${{{quoted(inside.partition(':-')[0])[1:-1]}}}"


def _read(path: Path) -> str | OSError | ValueError:
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting
            return ValueError("it is not a file")
        with path.open("rb") as file:
            content = file.read(LARGEST_SECRET + 1)
        if len(content) > LARGEST_SECRET:
            return ValueError(f"it is larger than {LARGEST_SECRET // 1024} KiB")
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return ValueError("it is not UTF-8")
    except (OSError, ValueError) as error:
        return error
