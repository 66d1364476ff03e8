"""Loading: files become one tree, with overlays laid on and the environment put in."""

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Variables
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import Problem
from headgate.spec import dotenv, yaml
from headgate.spec.files import yaml_files
from headgate.spec.interpolate import Interpolator
from headgate.spec.overlay import overlay
from headgate.spec.routes import is_transport_file, routed
from headgate.spec.tree import Entry, Items, Mapping, Mark, Node, Scalar, changed, child, find, quoted, show

Named = tuple[str, bytes | None]
NOTHING: Variables[str, object] = {}

_LOG_LEVEL = ("service", "log", "level")


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: the merged tree (None when a file has none), and what was wrong on the way."""

    tree: Node | None
    files: tuple[Path, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


def load(paths: Sequence[Path], *, environ: Variables[str, str], overrides: Variables[str, object] = NOTHING) -> Source:
    """Read files, the later ones laid over the earlier ones, and the `.env` beside the first.

    `overrides` are values by their dotted path; they win over all files. The environment wins over `.env`.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    variables = {**_dotenv(paths, problems), **environ}
    named = [(str(path), _read(path, problems)) for path in paths]
    tree = _assemble(named, variables, overrides, problems, warnings)
    return Source(tree, tuple(paths), tuple(problems), tuple(warnings))


def load_text(
    *texts: str, environ: Variables[str, str] | None = None, overrides: Variables[str, object] = NOTHING
) -> Source:
    """The same for texts, which go by the names headgate.yaml, overlay1.yaml, overlay2.yaml and so on."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    names = ["headgate.yaml", *(f"overlay{number}.yaml" for number in range(1, len(texts)))]
    named = [(name, text.encode("utf-8", "surrogatepass")) for name, text in zip(names, texts, strict=False)]
    tree = _assemble(named, environ or {}, overrides, problems, warnings)
    return Source(tree, tuple(Path(name) for name, _ in named), tuple(problems), tuple(warnings))


def load_tree(path: Path) -> tuple[Node | None, list[Problem]]:
    """The tree of one file by itself, if it has one, and what is wrong with it."""
    problems: list[Problem] = []
    return _parse(str(path), _read(path, problems), problems), problems


def _assemble(
    named: Iterable[Named],
    variables: Variables[str, str],
    overrides: Variables[str, object],
    problems: list[Problem],
    warnings: list[Problem],
) -> Node | None:
    trees = [_with_commands(_parse(file, content, problems), problems) for file, content in named]
    merged: Node | None = None
    for one in trees:
        if one is None:
            return None
        merged = one if merged is None else _laid_over(merged, one, variables, problems, warnings)
    if merged is None:
        return None
    interpolator = Interpolator(variables)
    tree = interpolator.node(_with_overrides(_with_log_level(merged, variables), overrides))
    problems.extend(interpolator.problems)
    return tree


def _with_commands(tree: Mapping | None, problems: list[Problem]) -> Mapping | None:
    """The tree with what the files hold that `commands` names, in the place of their names."""
    node = child(tree, "commands") if tree is not None else None
    names = node.nodes if isinstance(node, Items) else [node] if isinstance(node, Scalar) else []
    if tree is None or not names:
        return tree
    merged: dict[str, Entry] = {}
    for name in names:
        if isinstance(name, Scalar) and isinstance(name.value, str):
            place = Path(name.mark.file).parent / name.value
            for file in yaml_files(place, name.mark, problems):
                _merge(merged, _parse(str(file), _read(file, problems), problems), problems)
    assert node is not None
    entry = Entry(tree.entries["commands"].mark, Mapping(node.mark, merged))
    return Mapping(tree.mark, {**tree.entries, "commands": entry})


def _merge(merged: dict[str, Entry], tree: Node | None, problems: list[Problem]) -> None:
    for name, entry in tree.entries.items() if isinstance(tree, Mapping) else ():
        if name in merged:
            first = merged[name].mark
            problems.append(entry.mark.problem(f"{quoted(name)} is described in {first.file}:{first.line} already"))
        merged.setdefault(name, entry)


def _laid_over(
    base: Node, over: Mapping, variables: Variables[str, str], problems: list[Problem], warnings: list[Problem]
) -> Node:
    if is_transport_file(over):
        over = routed(base, over, variables, problems, warnings)
    return overlay(base, over, problems)


def _parse(file: str, content: bytes | None, problems: list[Problem]) -> Mapping | None:
    if content is None:
        return None
    text, found = yaml.decode(content, file)
    node, wrong = (None, found) if found else yaml.parse(text, file)
    problems.extend(wrong)
    if node is None:
        return None if wrong else Mapping(Mark(file), {})
    if not isinstance(node, Mapping):
        problems.append(node.mark.problem(f"a configuration is a mapping, not {show(node)}"))
        return None
    return node


def _with_overrides(tree: Node, overrides: Variables[str, object]) -> Node:
    for dotted, value in overrides.items():
        if value is None:  # an option of the command line that was not given
            continue
        assert isinstance(value, str | int | float)
        tree = _placed(tree, dotted.split("."), Scalar(Mark("command line"), value, str(value)))
    return tree


def _with_log_level(tree: Node, variables: Variables[str, str]) -> Node:
    level = variables.get("LOG_LEVEL")
    if not level or find(tree, _LOG_LEVEL) is not None:
        return tree
    return _placed(tree, _LOG_LEVEL, Scalar(Mark("environment"), level, level, sources=("${LOG_LEVEL}",)))


def _placed(tree: Node, path: Sequence[str], scalar: Scalar) -> Node:
    # What is no mapping on the way is a mistake in a file; it must stay to be reported.
    above = (find(tree, path[:end]) for end in range(1, len(path)))
    free = all(isinstance(node, Mapping | None) or show(node) == "nothing" for node in above)
    return changed(tree, path, scalar) if free else tree


def _dotenv(paths: Sequence[Path], problems: list[Problem]) -> dict[str, str]:
    beside = paths[0].parent / ".env" if paths else None
    if beside is None or not beside.is_file():
        return {}
    content = _read(beside, problems)
    if content is None:
        return {}
    text, found = yaml.decode(content, str(beside))
    variables, wrong = dotenv.parse(text, str(beside))
    problems.extend([*found, *wrong])
    return variables


def _read(path: Path, problems: list[Problem]) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(yaml.LARGEST_FILE + 1)
    except OSError as error:
        problems.append(Problem(str(path), 1, 1, f"this file cannot be read: {error.strerror}"))
        return None
