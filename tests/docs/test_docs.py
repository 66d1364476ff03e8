"""What the documentation shows is true: its YAML loads, its links lead somewhere, its options exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

import headgate
from headgate.cli.main import app
from headgate.spec.entities.grammar import EntityFile
from headgate.spec.entities.names import TYPES
from headgate.spec.entities.resolve import load_entities
from headgate.spec.entities.v1 import EntityV1File
from headgate.spec.reference import reference
from headgate.spec.resolve import plan_text
from headgate.spec.tree import Mark

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
ENTITY = re.compile(r"(?:#.*\n)*(?:entity|apiVersion):")
COMMAND = re.compile(r"^\$ headgate (\w[\w-]*)(.*?)(?:#.*)?$", re.MULTILINE)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str) -> list[object]:
    return list(_blocks(language))


def _blocks(language: str) -> Iterator[object]:
    for page in PAGES:
        for number, (found, text) in enumerate(BLOCK.findall(page.read_text())):
            # The reference is made from the grammar and shows overlays; entities are files of their own.
            if found == language and "reference" not in page.parts and not ENTITY.match(text):
                yield pytest.param(text, id=f"{named(page)}-{number}")


@pytest.mark.parametrize("text", blocks("yaml"))
def test_its_yaml_is_a_configuration(text: str) -> None:
    plan_text(text, environ={})


def test_its_entities_are_sound_together(tmp_path: Path) -> None:
    texts = [text for _, text in BLOCK.findall((ROOT / "docs" / "entities.md").read_text()) if ENTITY.match(text)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
    entities, problems = load_entities([(tmp_path, Mark("docs"))])
    assert not problems
    assert len(entities) == len(texts) - 1  # one is abstract


def test_every_key_and_type_of_an_entity_is_described() -> None:
    page = (ROOT / "docs" / "entities.md").read_text()
    grammar = [EntityFile.model_json_schema(), EntityV1File.model_json_schema()]
    models = [model for schema in grammar for model in [schema, *schema["$defs"].values()]]
    keys = {key for model in models for key in model.get("properties", ())}
    words = set(re.findall(r"[\w\[\]]+", page))
    assert keys | set(TYPES) <= words


def test_the_reference_is_what_the_grammar_says() -> None:
    committed = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert committed == reference(), "run `make reference`"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_its_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", page.read_text())):
        assert (page.parent / target).exists(), f"{named(page)} links to {target}"


@pytest.mark.parametrize("text", blocks("console"))
def test_its_commands_and_their_options_exist(text: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, rest in COMMAND.findall(text):
        command = commands[name]
        if hasattr(command, "commands"):
            command = command.commands[rest.split()[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<= )--?[a-z][\w-]*", rest):
            assert option in options, f"headgate {name} has no {option}"


def test_what_is_exported_is_described() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    missing = [name for name in headgate.__all__ if not name.startswith("__") and f"`{name}`" not in page]
    assert not missing


@pytest.mark.parametrize("text", [text for text in blocks("python") if "QueueBasedMessageSink" in str(text)])
def test_its_queue_runs(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(text, "docs/python.md", "exec"), {})
    assert "{'counts': [1, 2]}\n" in capsys.readouterr().out
