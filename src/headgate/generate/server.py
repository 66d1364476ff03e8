"""The server: the files of a standalone ingestion server, made from templates."""

import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.core.entity import Entity
from headgate.core.table import Dialect
from headgate.errors import HeadgateError
from headgate.generate import facts
from headgate.generate.literals import literal, literal_tuple, raw_literal

if TYPE_CHECKING:
    from jinja2 import Template

_FILES = {
    "main.py": "main.py",
    "config.py": "config.py",
    "models.py": "models.py",
    "parsers.py": "parsers.py",
    "database.py": "database.py",
    "requirements.txt": "requirements.txt",
    "Dockerfile": "Dockerfile",
    "docker-compose.yml": "docker-compose.yml",
    ".env.example": "env.example",
    "test_ingestion.sh": "test_ingestion.sh",
}


def server_files(entities: Sequence[Entity], dialect: Dialect, port: int) -> dict[str, str]:
    """The text of each file by its name. Raises a `HeadgateError` when there is nothing to serve."""
    templates = _templates()
    kept = [entity for entity in entities if entity.storage is not None]
    if not kept:
        raise HeadgateError("none of these entities has a table, so there is nothing to ingest into")
    models, patterns = facts.models(kept), facts.Patterns()
    lines = [facts.sample(layout) for entity in kept for layout in entity.layouts]
    given = {
        "database": dialect.value,
        "port": port,
        "layouts": facts.layouts(kept, patterns),
        "patterns": patterns.all(),
        "tables": facts.tables(kept, dialect),
        "statements": facts.statements(kept, dialect),
        "models": models,
        "model_imports": facts.model_imports(models),
        "sample": lines[0],
        "samples": lines[:3],
    }
    return {name: template.render(given) for name, template in templates.items()}


@cache
def _templates() -> dict[str, "Template"]:
    """The templates by the names of their files; the library for them is loaded by those who generate."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError:
        raise HeadgateError("templates need jinja2: pip install 'headgate[generate]'") from None
    # It makes Python, SQL and shell, where escapes of HTML have no place: each text goes through a filter of its own.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    environment.filters |= {"literal": literal, "raw": raw_literal, "tuple": literal_tuple, "shell": shlex.quote}
    folder = files("headgate.generate") / "templates"
    return {
        name: environment.from_string((folder / f"{template}.jinja").read_text()) for name, template in _FILES.items()
    }
